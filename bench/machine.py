"""What a result was measured on."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version

import psutil

PACKAGES = ("django", "channels", "djangochannelsrestframework", "daphne", "uvicorn", "uvloop")


def load_average():
    """Of the last 1, 5 and 15 minutes."""
    return [round(load, 1) for load in os.getloadavg()]


def described():
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": psutil.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        # What else was going on: with more than there are cores, sleepers come back to cold caches.
        "load_average": load_average(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
    }
