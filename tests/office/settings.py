"""The project's settings with the office."""

import os

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403
from dashboard.settings import DATABINDING, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.office"]

# Rights are looked up often, lest the tests take long.
DATABINDING = {**DATABINDING, "RIGHTS_INTERVAL": 0.2}
