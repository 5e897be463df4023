"""The second rung: the echo server and its client, as processes."""

import asyncio
import http.server
import signal
import threading
from contextlib import contextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.examples.programs import run, run_meanwhile, start
from tests.servers import PATIENCE, reserve_port

SERVER = "examples/echo_server.py"
CLIENT = "examples/echo_client.py"


@pytest.fixture
def port():
    """A port that nothing listens on, as long as the test itself doesn't."""
    with reserve_port() as reservation:
        yield str(reservation.getsockname()[1])


@contextmanager
def listening(port):
    """The echo server, when it listens."""
    with start(SERVER, PORT=port) as server:
        try:
            assert server.stdout.readline() == f"Listening on ws://localhost:{port}\n"
            yield server
        finally:
            server.kill()


def test_a_conversation(port):
    """The server prints what it receives, the client what is answered."""
    with listening(port) as server:
        assert run(CLIENT, PORT=port) == (0, "Echo: Hello!\n", "")
        assert server.stdout.readline() == "Received message: Hello!\n"
        several = run(CLIENT, "One", "grüß dich", "", PORT=port)
        assert several == (0, "Echo: One\nEcho: grüß dich\nEcho: \n", "")
        said = [server.stdout.readline() for _ in range(3)]
    assert said == [f"Received message: {text}\n" for text in ("One", "grüß dich", "")]


async def test_only_texts_are_answered(port):
    """A binary frame goes unanswered, and the conversation goes on."""
    with listening(port):
        async with connect(f"ws://localhost:{port}") as websocket:
            await websocket.send(b"Hello!")
            await websocket.send("Hello!")
            async with asyncio.timeout(PATIENCE):
                assert await websocket.recv() == "Echo: Hello!"


async def test_clients_do_not_wait_for_each_other(port):
    """A client that stays silent, and one that was cut off, hold up nobody."""
    with listening(port) as server:
        async with connect(f"ws://localhost:{port}"), connect(f"ws://localhost:{port}") as gone:
            await gone.send("farewell")
            gone.transport.abort()
            assert await run_meanwhile(CLIENT, PORT=port) == (0, "Echo: Hello!\n", "")
        server.terminate()
        assert server.communicate(timeout=PATIENCE)[1] == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_goodbye(port, number):
    """Ctrl-C and SIGTERM close what is open with 1001, and end the server without a complaint."""
    with listening(port) as server:
        async with connect(f"ws://localhost:{port}") as websocket:
            server.send_signal(number)
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(PATIENCE):
                    await websocket.recv()
        assert closed.value.rcvd.code == 1001
        assert server.communicate(timeout=PATIENCE) == ("", "")
        assert server.returncode == 0


def test_a_taken_port_is_named(port):
    """Where something listens already, the server ends with a sentence that says so."""
    with listening(port):
        status, printed, errors = run(SERVER, PORT=port)
    assert (status, printed) == (1, "")
    assert errors.startswith(f"Port {port} is taken")
    assert len(errors.splitlines()) == 1


def test_a_server_that_is_not_there_is_missed(port):
    """Where nothing listens, the client ends with a sentence that says so."""
    status, printed, errors = run(CLIENT, PORT=port)
    assert (status, printed) == (1, "")
    assert errors.startswith(f"There is no server at ws://localhost:{port}")
    assert len(errors.splitlines()) == 1


async def test_a_server_that_breaks_off_is_told(port):
    """Where the server goes in the middle, the client ends with a sentence that says so."""

    async def break_off(websocket):
        await websocket.recv()
        websocket.transport.abort()

    async with serve(break_off, "localhost", port):
        status, printed, errors = await run_meanwhile(CLIENT, PORT=port)
    assert (status, printed) == (1, "")
    assert f"ws://localhost:{port} ended the conversation" in errors
    assert len(errors.splitlines()) == 1


def test_another_kind_of_server_is_told():
    """Where a server answers that speaks no websocket, the client says so."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever).start()
        port = str(other.server_address[1])
        status, printed, errors = run(CLIENT, PORT=port)
        other.shutdown()
    assert (status, printed) == (1, "")
    assert f"ws://localhost:{port} is no websocket server" in errors
