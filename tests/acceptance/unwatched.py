"""The project's settings, but for looks whether sessions have ended: none while a test goes on."""

import os

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403
from dashboard.settings import DATABINDING

DATABINDING = {**DATABINDING, "RIGHTS_INTERVAL": 3600}
