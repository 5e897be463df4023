"""The programs of `examples/`, as processes."""

import asyncio
import os
import subprocess
import sys

from tests.servers import CHECKOUT, PATIENCE


def start(program, *arguments, port=None):
    """Start a program of `examples/`; the caller waits for it or ends it."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if port is not None:
        environment["PORT"] = str(port)
    return subprocess.Popen(
        [sys.executable, CHECKOUT / "examples" / program, *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(program, *arguments, port=None):
    """Run a program to its end; return its exit status, what it printed, and its errors."""
    with start(program, *arguments, port=port) as process:
        try:
            printed, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, printed, errors


async def run_meanwhile(program, *arguments, port=None):
    """`run`, while the event loop of the caller goes on."""
    return await asyncio.to_thread(run, program, *arguments, port=port)
