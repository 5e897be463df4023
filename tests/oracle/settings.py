"""The project's settings with the tests' models, for servers, writers and the soak."""

import os

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403
from dashboard.settings import DATABINDING, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shapes"]

# Rights are looked up often: programs are short.
DATABINDING = {**DATABINDING, "RIGHTS_INTERVAL": 0.2}
