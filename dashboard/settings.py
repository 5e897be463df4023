"""Settings of the project, from the environment (twelve-factor).

SECRET_KEY      signs sessions and cursors; every process of one site needs the same.
                Without it this is somebody's own machine: DEBUG is on, the key is a known one.
DEBUG           on or off; off by default as soon as there is a SECRET_KEY
ALLOWED_HOSTS   comma-separated; this machine by default
CSRF_TRUSTED_ORIGINS  comma-separated, `https://…`, behind a proxy that ends TLS
HTTPS           on where browsers come by TLS: cookies go only there, HSTS; off by default
HSTS_SUBDOMAINS  on if all hosts below this one's name come by TLS, too; off by default
TRUSTED_PROXIES  how many proxies in front write X-Forwarded-For; none by default
ASKING_RATE     requests for values of one user or address, in each process; 30/sec by default
DATABASE_URL    a file db.sqlite3 in the checkout by default
REDIS_URL       the channel layer that carries doorbells between hosts; none by default
METRICS_TOKEN   what a scraper of /metrics brings; without one nobody is served
RUN_PERIODIC_JOBS  on by default; off where not the servers, but cron does them
SAMPLES_RAW, SAMPLES_MINUTES, SAMPLES_HOURS  seconds for which the past of the values is kept
LOG_LEVEL       INFO by default
"""

import logging
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Security

SECRET_KEY = env.str("SECRET_KEY", default="")
DEBUG = env.bool("DEBUG", default=not SECRET_KEY)
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("DEBUG is off: set SECRET_KEY to a long random string.")
    SECRET_KEY = "insecure: known to everybody, for development on this machine only"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Behind proxies, whose word on addresses and TLS is taken.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
if HTTPS := env.bool("HTTPS", default=False):
    SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked inside, at each process
    SECURE_HSTS_SECONDS = 365 * 86400
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.bool(
        "HSTS_SUBDOMAINS", default=False
    )
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Everything in a page is a file of this site: nothing inline, nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
# Django REST framework's pages and Swagger's have styles in them (and no scripts).
INLINE_STYLES = ["/api/"]

# Applications

INSTALLED_APPS = [
    "whitenoise.runserver_nostatic",  # first: `runserver` leaves static files to WhiteNoise too
    "dashboard.runserver",  # before staticfiles: `runserver` speaks ASGI
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "dashboard",  # before rest_framework: its template of that one's pages counts
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "databinding",
    "databinding.admin",
    "values",
    "chat",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "dashboard.middleware.ContentSecurityPolicy",
    "dashboard.middleware.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "databinding.acting.ActingUserMiddleware",  # whose changes of values are
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database. SQLite as several processes on one machine need it: readers beside one writer (WAL),
# the write lock taken at the start of a transaction (no deadlock between two readers that both
# want to write), a wait for it instead of an error.

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR}/db.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    } | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The channel layer carries only doorbells between processes; without one they are polled for.

if redis_url := env.str("REDIS_URL", default=""):
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_url]},
        },
    }

# Live data binding

DATABINDING = {
    # Nothing here leaves anything in a database session, so the next request may have it.
    "DATABASE_KEEP": 60,
    "METRICS_TOKEN": env.str("METRICS_TOKEN", default=""),
    "TRUSTED_PROXIES": TRUSTED_PROXIES,
}

# Who is limited by address is so by the same one, at every door.

REST_FRAMEWORK = {
    "NUM_PROXIES": TRUSTED_PROXIES,
    "DEFAULT_THROTTLE_RATES": {"asking": env.str("ASKING_RATE", default="30/sec") or None},
}

# The page that describes REST comes from here, not from another host.

SPECTACULAR_SETTINGS = {
    "TITLE": "Live values",
    "VERSION": "1",
    "ENUM_NAME_OVERRIDES": {"StateEnum": "values.models.BooleanValue.State"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# For how long the past of the values is kept, in seconds: every change, and what it was in each
# minute and hour.

SAMPLES = {
    "raw": env.int("SAMPLES_RAW", default=6 * 3600),
    "minutes": env.int("SAMPLES_MINUTES", default=7 * 86400),
    "hours": env.int("SAMPLES_HOURS", default=400 * 86400),
}

# What servers do now and then, once however many they are: functions, and the seconds between.

PERIODIC_JOBS = {
    "values.jobs.keep_samples": 60,
    "chat.jobs.remove_expired_presence": 5,
    "chat.jobs.remove_empty_rooms": 600,
}
RUN_PERIODIC_JOBS = env.bool("RUN_PERIODIC_JOBS", default=True)

# In each process: throttles count there.

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}

# Users

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "dashboard"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Language and time

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# Static files: found where they lie, no collecting step, compressed on their way. ES modules
# import each other by plain name, so a browser asks about each at every load (304 when unchanged)
# and never mixes versions.

STATIC_URL = "static/"
OWN_MODULES = ["databinding", "dashboard", "chat"]
CHARTS = BASE_DIR / "frontend" / "node_modules" / "uplot" / "dist"
STATICFILES_DIRS = [
    ("databinding", BASE_DIR / "frontend" / "databinding"),
    ("dashboard", BASE_DIR / "frontend" / "dashboard"),
    ("chat", BASE_DIR / "frontend" / "chat"),
    # Installed by npm; without it the page shows the numbers alone.
    *([("uplot", CHARTS)] if CHARTS.is_dir() else []),
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 0

# Logging, to standard error

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
    },
    # What rows hold is nothing for a log: exceptions stand there without their texts.
    "filters": {"contents": {"()": "databinding.logs.WithoutContents"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["contents"],
        },
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # With Redis away it prints a traceback a second; our doorbell says it once.
        "channels_redis": {"level": "CRITICAL"},
        "databinding": {"level": env.str("LOG_LEVEL", default="INFO")},
        "dashboard": {"level": env.str("LOG_LEVEL", default="INFO")},
        # Each line once: without Django's own handlers, which print beside the root's.
        "django": {"level": "INFO", "handlers": []},
        "django.server": {"level": "INFO", "handlers": []},
        # The server program's: its own handler would print what exceptions say. The level is what
        # it has set by now, by its `--log-level`.
        "uvicorn": {
            "level": logging.getLogger("uvicorn.error").level or "INFO",
            "handlers": [],
            "propagate": True,
        },
    },
}
