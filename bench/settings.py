"""The project's settings, with tables that aren't bound, and the channel layers of the peers."""

import os

from dashboard import settings as project
from dashboard.settings import *  # noqa: F403

INSTALLED_APPS = [*project.INSTALLED_APPS, "bench"]
CHANNEL_LAYERS = getattr(project, "CHANNEL_LAYERS", {})
if CHANNEL_LAYERS:
    # Many servers have one Redis here, and none hears of another.
    CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = os.environ.get("BENCH_PREFIX", "bench")
if os.environ.get("BENCH_LAYER") == "memory":
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
