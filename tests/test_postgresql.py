"""The tests' own PostgreSQL, as the command that others run with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import CHECKOUT, PATIENCE

SAY = "echo $DATABASE_URL $PGHOST"


@pytest.fixture
def start():
    """A function that starts a shell's command with a PostgreSQL of its own."""
    processes = []

    def run(line):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.postgresql", "--", "sh", "-c", line],
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
    """What names the PostgreSQL to the command: the URL, and the socket's folder."""
    url, folder = process.stdout.readline().split()
    return url, Path(folder)


def test_the_status_is_the_commands(start):
    """The command finds a PostgreSQL; its exit status is handed on, and nothing is left."""
    process = start(f"{SAY}; ls $PGHOST/.s.PGSQL.5432; exit 7")
    url, folder = said(process)
    assert url == "postgres://postgres@/app"
    assert process.stdout.readline() == f"{folder}/.s.PGSQL.5432\n"
    assert process.wait(PATIENCE) == 7
    assert not folder.parent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_from_outside_nothing_is_left(number, start):
    """Told to end, it tells the command, and ends when that has."""
    process = start(f"{SAY}; exec cat")
    _, folder = said(process)
    assert folder.exists()
    process.send_signal(number)
    assert process.wait(PATIENCE) == 128 + number
    assert not folder.parent.exists()
