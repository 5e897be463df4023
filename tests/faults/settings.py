"""The project's settings for servers under test; DATABINDING (JSON) sets the library's."""

import json
import os

from dashboard.settings import *  # noqa: F403

DATABINDING = json.loads(os.environ.get("DATABINDING", "{}"))
