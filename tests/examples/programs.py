"""Programs as somebody starts them in the checkout: `python examples/echo_server.py`."""

import asyncio
import os
import subprocess
import sys

from tests.servers import CHECKOUT, PATIENCE


def start(*arguments, **environment):
    """Start `python ARGUMENTS`; the caller waits for it or ends it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments, **environment):
    """Run `python ARGUMENTS` to its end; return exit status, what it printed, and its errors."""
    with start(*arguments, **environment) as process:
        try:
            printed, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, printed, errors


async def run_meanwhile(*arguments, **environment):
    """`run`, while the event loop of the caller goes on."""
    return await asyncio.to_thread(run, *arguments, **environment)
