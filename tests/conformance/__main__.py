"""Writes the table of docs/reference/writes.md anew: ``python -m tests.conformance``."""

import os
import subprocess
import sys

TESTS = [sys.executable, "-m", "pytest", "-q", "tests/conformance"]

if __name__ == "__main__":
    os.environ["CONFORMANCE"] = "write"
    os.environ.pop("DATABASE_URL", None)
    on_postgresql = [sys.executable, "-m", "tests.postgresql", "--", *TESTS]
    sys.exit(max(subprocess.call(command) for command in (TESTS, on_postgresql)))
