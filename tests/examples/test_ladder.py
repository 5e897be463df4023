"""The tutorial's first rungs, typed in as they stand; tests/acceptance has the others."""

import fcntl
import os
import re
import signal
import tempfile

import pytest

from tests.examples.programs import run, start
from tests.ladder import rung
from tests.servers import PATIENCE


@pytest.fixture
def turn():
    """Test runs of one machine take turns at the port that the tutorial names."""
    shared = os.open(tempfile.gettempdir(), os.O_RDONLY)  # whoever runs them may read it
    fcntl.flock(shared, fcntl.LOCK_EX)
    yield
    os.close(shared)


def test_coroutines():
    """The first rung prints what the tutorial shows, whatever the time."""
    (command,), _, (shown,) = rung(1)
    status, printed, errors = run(*command)
    assert (status, errors) == (0, "")
    assert re.sub(r"\d\.\d s", "", printed) == re.sub(r"\d\.\d s", "", shown)


def test_echo(turn):
    """The second rung's server and client print what the tutorial shows; Ctrl-C ends the server."""
    (serve, ask), _, (listening, answer, received) = rung(2)
    with start(*serve) as server:
        try:
            assert server.stdout.readline() == listening, server.stderr.read()
            assert run(*ask) == (0, answer, "")
            assert server.stdout.readline() == received
            server.send_signal(signal.SIGINT)
            assert server.communicate(timeout=PATIENCE) == ("", "")
        finally:
            server.kill()
