"""Periodic jobs that leave traces in the file that NOTES names."""

import os
import time


def note():
    for what in ("begin", "end"):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{what} {os.getpid()} {time.time()}\n")
        time.sleep(0.05)


def fail():
    raise RuntimeError("as planned")
