"""What a result was measured on."""

import platform
import sqlite3
import subprocess
from importlib.metadata import version

import psutil

PACKAGES = ("django", "channels", "djangochannelsrestframework", "daphne", "uvicorn", "uvloop")


def described():
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": psutil.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
    }
