"""The project's settings, for tests.

The database is a file of SQLite (threads and processes share it), or what DATABASE_URL says.
"""

import atexit
import os
import shutil
import tempfile

from tests.postgresql import start_for_worker

os.environ.setdefault("SECRET_KEY", "for tests only")
# Tests ask more often than anybody would, from one address.
os.environ.setdefault("ASKING_RATE", "")

cluster = start_for_worker()  # tests.conftest ends it

from dashboard.settings import *  # noqa: E402, F403
from dashboard.settings import DATABASES, INSTALLED_APPS  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix="databinding-tests-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
# A second database, for the models of one app (test_aliases.py).
DATABASES["other"] = DATABASES["default"] | {"NAME": f"{DATABASES['default']['NAME']}_other"}
for alias, database in DATABASES.items():
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["TEST"] = {"NAME": os.path.join(FOLDER, f"{alias}.sqlite3")}
DATABASE_ROUTERS = ["tests.elsewhere.routers.Router"]

# Periodic jobs run in processes of their own, not beside the tests in this one.
RUN_PERIODIC_JOBS = False

# Apps of the tests: the talk's, as it stands, models of other shapes, and the other database's.
INSTALLED_APPS = [
    *INSTALLED_APPS,
    *("tests.talk", "tests.shapes", "tests.conformance", "tests.writing", "tests.elsewhere"),
    "tests.office",
]

# Passwords of tests are worth nothing: quickly hashed. Servers under test, which have the project's
# settings, know the second alone.
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "PBKDF2")
]
