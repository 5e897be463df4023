"""Real processes on the test database: ASGI servers that can be killed and started again, and
`manage.py` commands.

    server = Server("daphne", database)     # or "uvicorn", or "runserver"
    server.start()              # answers HTTP when this returns
    server.url, server.websocket_url
    server.kill()               # as `kill -9`: connections break, new ones are refused
    server.start()              # the same port again
    server.log()                # everything it said
    server.close()
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).resolve().parent.parent
COMMANDS = {
    # Twisted has but 50 connections wait to be accepted, unless it is told otherwise.
    "daphne": "-m daphne -e tcp:{port}:interface=127.0.0.1:backlog=2048 {application}",
    "uvicorn": (
        "-m uvicorn --host 127.0.0.1 --port {port} --ws websockets-sansio"
        " --ws-per-message-deflate false --ws-max-size 1048576"
        " --timeout-graceful-shutdown 3 {application}"
    ),
    "runserver": "manage.py runserver 127.0.0.1:{port}",
}
#: How long a process may take to start or to stop, in seconds, on a busy machine.
PATIENCE = 60


def environment(database, settings="dashboard.settings", **more):
    """The environment of a process on this database, with the tests' own SECRET_KEY.

    A path is a SQLite file; a name is a database where the tests' DATABASE_URL points to.
    """
    if os.path.isabs(database):
        url = f"sqlite:///{database}"
    else:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
    return os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": settings,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(CHECKOUT),
        **more,
    }


def command(database, *arguments, settings="dashboard.settings", **options):
    """Start `manage.py …` in a process of its own; the caller waits for it or ends it."""
    return subprocess.Popen(
        [sys.executable, CHECKOUT / "manage.py", *arguments],
        env=environment(database, settings),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def shell(database, code):
    """Run code in a `manage.py shell` of its own to its end; return what it printed."""
    with command(database, "shell", "--verbosity", "0", "--command", code) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return printed


def wait_until(condition):
    """Wait for what another process or thread does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "It never came."
        time.sleep(0.02)


def reserve_port():
    """Return a socket that holds a free port for as long as it lives, without listening on it."""
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


class Server:
    """A server process on a port that stays its own between its lives.

    The port is reserved rather than inherited as a listening socket: while no server runs,
    connections are refused, as they are when a real one is down.
    """

    #: What starts it: for the time of tests, `tests.nursery`.
    popen = staticmethod(subprocess.Popen)

    def __init__(
        self,
        kind,
        database,
        *,
        application="dashboard.asgi:application",
        settings="dashboard.settings",
        folder=CHECKOUT,
        arguments=(),
        **more,
    ):
        self._reservation = reserve_port()
        self.port = self._reservation.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.websocket_url = f"ws://127.0.0.1:{self.port}"
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in close()
        line = COMMANDS[kind].format(port=self.port, application=application)
        self._command = [sys.executable, *line.split(), *arguments]
        self._folder = folder
        self._environment = environment(database, settings, **{"PYTHONPATH": str(folder)} | more)
        self.process = None

    def start(self):
        """Start the process; return when it answers."""
        self.process = self.popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with the child that `runserver` has, one group
        )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert self.process.poll() is None, f"The server ended at its start:\n{self.log()}"
            assert time.monotonic() < deadline, f"The server does not answer:\n{self.log()}"
            time.sleep(0.02)

    def answers(self):
        """Whether it answers HTTP now, with whatever status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/static/admin/css/base.css")
                connection.getresponse().read()
            except OSError:
                return False
        return True

    def kill(self):
        """End it as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """End it as a deployment would; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def log(self):
        """What it has printed so far, in all its lives."""
        return Path(self._log.name).read_text()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self._log.close()
        self._reservation.close()
