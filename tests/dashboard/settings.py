"""The project's settings with periodic jobs of the tests."""

import os

os.environ.setdefault("SECRET_KEY", "for tests only")

from dashboard.settings import *  # noqa: F403

PERIODIC_JOBS = {"tests.dashboard.jobs.fail": 0.5, "tests.dashboard.jobs.note": 0.5}
