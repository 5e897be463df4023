"""The tests' own PostgreSQL and Redis, as commands that others run with them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis import Redis
from tests.servers import CHECKOUT, PATIENCE

#: What a command is told, and the file that it can connect to.
SERVICES = {
    "postgresql": ("echo $DATABASE_URL $PGHOST", ".s.PGSQL.5432"),
    "redis": ("echo $REDIS_URL ${REDIS_URL#unix://}", ""),
}
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def start():
    """A function that starts a shell's command with a service of its own."""
    processes = []

    def run(service, line):
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.{service}", "--", "sh", "-c", line],
            cwd=CHECKOUT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with process:
            process.terminate()


def said(process):
    """What names the service to the command: the URL, and a path."""
    url, path = process.stdout.readline().split()
    return url, Path(path)


@each_service
def test_the_status_is_the_commands(service, start):
    """The command finds the service; its exit status is handed on, and nothing is left."""
    say, name = SERVICES[service]
    process = start(service, f"{say}; read go; exit 7")
    url, path = said(process)
    assert url.startswith(("postgres://", "unix://"))
    assert (path / name).is_socket()
    process.communicate("go\n", timeout=PATIENCE)
    assert process.returncode == 7
    assert not path.parent.exists()


@each_service
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_from_outside_nothing_is_left(number, service, start):
    """Told to end, it tells the command, and ends when that has."""
    process = start(service, f"{SERVICES[service][0]}; exec cat")
    _, path = said(process)
    assert path.exists()
    process.send_signal(number)
    assert process.wait(PATIENCE) == 128 + number
    assert not path.parent.exists()


def test_redis_can_be_killed_and_started_again():
    """It comes back at the same address, empty; paused, it goes on where it was."""
    with Redis() as redis:
        with redis.connect() as connection:
            connection.set("name", "value")
            redis.pause()
            redis.resume()
            assert connection.get("name") == b"value"
        redis.crash()
        redis.start()
        with redis.connect() as connection:
            assert connection.get("name") is None
