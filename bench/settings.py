"""The project's settings, with tables that aren't bound, and the channel layers of the peers."""

import os

from dashboard import settings as project
from dashboard.settings import *  # noqa: F403

INSTALLED_APPS = [*project.INSTALLED_APPS, "bench"]
# Opening a database takes longer than all that is measured where rows are saved in the server.
for database in DATABASES.values():  # noqa: F405
    database["CONN_MAX_AGE"] = None
CHANNEL_LAYERS = getattr(project, "CHANNEL_LAYERS", {})
if CHANNEL_LAYERS:
    # Many servers have one Redis here, and none hears of another.
    CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = os.environ.get("BENCH_PREFIX", "bench")
if os.environ.get("BENCH_LAYER") == "memory":
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
