"""The project's settings, for tests.

The database is a file of SQLite (threads and processes share it), or what DATABASE_URL says.
"""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403
from dashboard.settings import DATABASES, INSTALLED_APPS

FOLDER = tempfile.mkdtemp(prefix="databinding-tests-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(FOLDER, "test.sqlite3")}

# Apps of the tests: the talk's, as it stands, and models of other shapes.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.talk", "tests.shapes"]
