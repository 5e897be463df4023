"""The project's settings, for servers of rows of every shape, at /rooms/1-2/."""

import os

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403
from dashboard.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shapes"]

ROOT_URLCONF = "tests.rest.urls"
