"""The tests' own PostgreSQL and Redis, as commands that others run with them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.redis import Redis
from tests.servers import CHECKOUT, PATIENCE, wait_until

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


#: A test that tells where its worker's PostgreSQL is, and never ends.
ENDLESS = """
import os, pathlib, signal

def test_endless():
    pathlib.Path({told!r}).write_text(os.environ["PGHOST"])
    signal.pause()
"""


def test_tests_that_are_ended_leave_nothing(tmp_path):
    """As `timeout` ends tests, each process of theirs at once: no worker's PostgreSQL stays."""
    test, told = tmp_path / "test_endless.py", tmp_path / "told"
    test.write_text(ENDLESS.format(told=str(told)))
    options = ["-c", CHECKOUT / "pyproject.toml", "-p", "tests.conftest", "-n", "1"]
    pytest_alone = [sys.executable, "-m", "pytest", *options, test]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.postgresql", "--", *pytest_alone],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_until(lambda: told.exists() and told.read_text())
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            printed, _ = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in printed, printed
    assert not Path(told.read_text()).parent.exists()


#: Starts a server as tests do, and is killed before it can end it.
KILLED = """
import subprocess, sys, tempfile, time
from tests import nursery

with tempfile.NamedTemporaryFile() as log:
    output = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
    line = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    print(nursery.popen(line, cwd="/", env={}, **output).pid, flush=True)
    time.sleep(600)
"""


def test_tests_that_are_killed_leave_no_server():
    """However tests end, what was forked for them does."""
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as tests:
        server = psutil.Process(int(tests.stdout.readline()))
        tests.kill()

    def ended():
        try:
            return server.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(ended)


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
