"""The tutorial's first rungs, typed in as they stand; tests/acceptance has the others."""

import re
import runpy
import signal

import pytest

from tests.examples.programs import run, start
from tests.ladder import rung
from tests.servers import CHECKOUT, PATIENCE, reserve_port

#: The port of the tutorial's echo, on which something else may listen here.
PORT = 8765


@pytest.fixture
def port():
    """Another port than the tutorial's, which nothing listens on."""
    with reserve_port() as reservation:
        yield str(reservation.getsockname()[1])


def test_coroutines():
    """The first rung prints what the tutorial shows, whatever the time."""
    (command,), _, (shown,) = rung(1)
    status, printed, errors = run(*command)
    assert (status, errors) == (0, "")
    assert re.sub(r"\d\.\d s", "", printed) == re.sub(r"\d\.\d s", "", shown)


def test_echo(port):
    """The second rung's server and client print what the tutorial shows; Ctrl-C ends the server."""
    (serve, ask), _, (listening, answer, received) = rung(2)
    with start(*serve, PORT=port) as server:
        try:
            assert server.stdout.readline() == listening.replace(str(PORT), port)
            assert run(*ask, PORT=port) == (0, answer, "")
            assert server.stdout.readline() == received
            server.send_signal(signal.SIGINT)
            assert server.communicate(timeout=PATIENCE) == ("", "")
        finally:
            server.kill()


@pytest.mark.parametrize("program", ["echo_server.py", "echo_client.py"])
def test_the_port_of_the_echo(program, monkeypatch):
    """Unless it is told another one, each end takes the port that the tutorial shows."""
    monkeypatch.delenv("PORT", raising=False)
    assert runpy.run_path(CHECKOUT / "examples" / program)["PORT"] == PORT
    assert f":{PORT}" in rung(2).shown[0]
