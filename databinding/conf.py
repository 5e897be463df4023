"""The library's settings: the keys of ``settings.DATABINDING``, read anew at each use.

    from databinding.conf import settings
    settings.KEY_LIMIT

Every setting, its default and its meaning stands in `DEFAULTS`; docs/reference/settings.md says
more. Reading live means that ``override_settings`` works.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings as django_settings

DEFAULTS: Final[dict[str, Any]] = {
    # How changes get into the journal: "triggers" or "signals".
    "CAPTURE": "triggers",
    # Seconds between looks for other processes' commits: after recent ones, and at rest.
    "POLL_BUSY": 0.01,
    "POLL_REST": 0.05,
    # The same on PostgreSQL, always: for writers that ring no bell here.
    "POLL_POSTGRESQL": 0.25,
    # The channel layer that carries doorbells between processes; None: none does.
    "DOORBELL": "default",
    # Longest pause, in seconds, between two passes (else five times the last and its sending).
    "PASS_PAUSE": 0.05,
    # More changed keys than this since the last pass: the rows are asked anew instead.
    "KEY_LIMIT": 10_000,
    # More events than this for one client at once: it gets a snapshot instead.
    "BATCH_LIMIT": 5_000,
    # Rows in one frame of a snapshot.
    "SNAPSHOT_CHUNK": 500,
    # A constant group with more rows than this isn't held in memory but paged from the database.
    "GROUP_LIMIT": 100_000,
    # Seconds that a process keeps rows which nobody subscribes to any more.
    "LINGER": 30.0,
    # Seconds for which the journal is kept: how long a client may be away and still resume.
    "RETENTION": 3600.0,
    # Seconds for which a create that is sent again, with the same key, is known again.
    "IDEMPOTENCY_RETENTION": 86_400.0,
    # Seconds after which a quiet client gets a fresh cursor, if the journal has grown meanwhile.
    "CURSOR_INTERVAL": 60.0,
    # Seconds between looks whether open connections' sessions have ended or rights have changed.
    "RIGHTS_INTERVAL": 2.0,
    # Fields of the user model whose changes say nothing of a user's rights.
    "RIGHTS_IGNORE": ("last_login",),
    # Seconds to wait for the database before a request is answered 503.
    "DATABASE_TIMEOUT": 10.0,
    # Threads of a process in which clients' requests ask the database.
    "DATABASE_THREADS": 8,
    # Seconds for which such a thread keeps its connection, where CONN_MAX_AGE is 0.
    "DATABASE_KEEP": 0.0,
    # Largest frame that a client may send, in characters; a larger one closes with 1009.
    "MAX_FRAME": 262_144,
    # Frames a second that one connection may send, for long and at once. More are answered 429;
    # who goes on is closed with 4429.
    "FRAME_RATE": 100.0,
    "FRAME_BURST": 300,
    # Connections of one user, and of one address, in each process; one more is closed with 4429.
    "MAX_USER_CONNECTIONS": 200,
    "MAX_ADDRESS_CONNECTIONS": 1_000,
    # Proxies of ours in front, and the header into which they write who asked them.
    "TRUSTED_PROXIES": 0,
    "FORWARDED_HEADER": "X-Forwarded-For",
    # Subscriptions of one connection.
    "MAX_SUBSCRIPTIONS": 50,
    # Snapshots that one connection may be getting at once.
    "MAX_SNAPSHOTS": 16,
    # Requests of one connection that may wait at once.
    "MAX_REQUESTS": 100,
    # Largest "window" of a subscription, in frames.
    "MAX_WINDOW": 64,
    # Rows that one "list" answers at most.
    "LIST_LIMIT": 1_000,
    # Texts are written to the sockets of servers that we know past ASGI's ``send``, and
    # acknowledgements taken past its ``receive``.
    "PAST_ASGI": True,
    # Seconds for which a classic client may leave a frame unread before it is closed with 1013.
    "SEND_TIMEOUT": 60.0,
    # Origins allowed besides the host's own and ALLOWED_HOSTS, as "https://example.com".
    "ALLOWED_ORIGINS": (),
    # Django REST framework classes that know programs by their headers, beside the session.
    "AUTHENTICATION": ("databinding.authentication.TokenAuthentication",),
    # What a scraper of /metrics brings as its bearer token; without one nobody is served.
    "METRICS_TOKEN": "",
}


class Settings:
    """Attribute access to ``settings.DATABINDING`` over `DEFAULTS`."""

    def __getattr__(self, name: str) -> Any:
        try:
            default = DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"DATABINDING has no setting {name!r}") from None
        return configured().get(name, default)


def configured() -> dict[str, Any]:
    """What the project set itself."""
    return getattr(django_settings, "DATABINDING", None) or {}


settings: Final = Settings()
