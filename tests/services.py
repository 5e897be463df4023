"""Running a command with a service of the tests' own: PostgreSQL, Redis."""

import contextlib
import os
import signal
import subprocess
import sys


def run_with(service, arguments, usage):
    """Run a command with a service, which ends with it; return its exit status.

    `service()` is a context manager; `environment()` of what it gives names it to the command.
    """
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        print(usage)
        return 2
    process = None

    def end(number, frame):
        # The command ends as it is told to, and the service after it.
        if process is None:
            sys.exit(128 + number)
        if number == signal.SIGINT and sys.stdin.isatty():
            return  # The terminal has told the command as well.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    with service() as running:
        process = subprocess.Popen(arguments, env=os.environ | running.environment())
        status = process.wait()
    return status if status >= 0 else 128 - status
