"""Who serves what: `dashboard.asgi`."""

import asyncio
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dashboard.asgi import application
from dashboard.websocket import websocket_application
from tests.servers import COMMANDS, PATIENCE


async def unused(*args):
    raise AssertionError("Nothing is to be received or sent.")


class Conversation:
    """The server's side of an ASGI connection, scripted: what arrives, and what was sent."""

    def __init__(self, *events):
        self.events = list(events)
        self.sent = []

    async def receive(self):
        return self.events.pop(0)

    async def send(self, event):
        self.sent.append(event)


async def test_an_unknown_scope_type_is_refused_by_name():
    """A scope type nobody serves raises an error that names it."""
    with pytest.raises(ValueError, match="'carrier-pigeon'"):
        await application({"type": "carrier-pigeon"}, unused, unused)


async def test_lifespan_is_answered():
    """A server that announces its start and its end gets both acknowledged."""
    talk = Conversation({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await application({"type": "lifespan"}, talk.receive, talk.send)
    assert [event["type"] for event in talk.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_events_out_of_order_are_ignored():
    """The raw websocket application accepts once and answers no ping before that."""
    talk = Conversation(
        {"type": "websocket.receive", "text": "ping"},
        {"type": "websocket.connect"},
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": None, "bytes": b"ping"},
        {"type": "websocket.receive", "bytes": b"ping"},
        {"type": "websocket.receive", "text": "pong"},
        {"type": "websocket.receive", "text": "ping"},
        {"type": "websocket.disconnect", "code": 1000},
    )
    await websocket_application({"type": "websocket", "path": "/"}, talk.receive, talk.send)
    assert talk.sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "pong!"},
    ]


async def test_a_peer_that_left_ends_the_conversation():
    """An answer that can't be sent any more ends the raw websocket application quietly."""
    talk = Conversation(
        {"type": "websocket.connect"}, {"type": "websocket.receive", "text": "ping"}
    )

    async def send(event):
        if event["type"] == "websocket.send":
            raise OSError("The peer is gone.")

    await websocket_application({"type": "websocket", "path": "/"}, talk.receive, send)
    assert talk.events == []


@pytest.mark.parametrize("kind", COMMANDS)
async def test_ping_pong(start_server, kind):
    """On a real server each `ping` is answered, in whatever pieces it comes, and nothing else."""
    server = start_server(kind)
    async with connect(server.websocket_url + "/") as websocket:

        async def in_pieces():
            yield "pi"
            await websocket.ping()
            yield "ng"

        others = ("", "PING", "ping\n", "pong!", '{"stream":"intval"}', b"ping", b"", b"\xff")
        for message in (*others, "ping"):
            await websocket.send(message)
        await websocket.send(in_pieces())
        for _ in range(100):
            await websocket.send("ping")
        async with asyncio.timeout(PATIENCE):
            assert [await websocket.recv() for _ in range(102)] == ["pong!"] * 102
        await websocket.close()
        assert [message async for message in websocket] == []
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("kind", COMMANDS)
async def test_echo(start_server, kind):
    """On a real server `/echo/` answers each text and no binary frame."""
    server = start_server(kind)
    async with connect(server.websocket_url + "/echo/") as websocket:
        for message in (b"binary", "Hello!", b"", "", "grüß dich\n"):
            await websocket.send(message)
        async with asyncio.timeout(PATIENCE):
            answers = [await websocket.recv() for _ in range(3)]
    assert answers == ["Echo: Hello!", "Echo: ", "Echo: grüß dich\n"]
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("level", ["info", "warning"])
async def test_the_servers_own_level_counts(start_server, level):
    """What `--log-level` keeps uvicorn from printing the project's logging doesn't bring back."""
    server = start_server("uvicorn", arguments=["--log-level", level])
    async with connect(server.websocket_url + "/echo/") as websocket:
        await websocket.send("Hello!")
        assert await websocket.recv() == "Echo: Hello!"
    said = server.log()
    assert ("connection open" in said) is ("/static/admin/" in said) is (level == "info")


async def failing(scope, receive, send):
    """The project's application, with something in it that fails."""
    if scope.get("path") == "/fails/":
        raise ValueError(SAID)
    await application(scope, receive, send)


SAID = "what a row holds"


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_what_exceptions_say_is_not_in_the_servers_log(start_server, kind):
    """What fails past Django's handling is told by the server program, without what rows hold."""
    server = start_server(kind, application=f"{__name__}:failing")
    with pytest.raises(HTTPError) as failed:
        await asyncio.to_thread(urlopen, server.url + "/fails/")
    failed.value.close()
    assert "ValueError" in server.log()
    assert f"ValueError: {SAID}" not in server.log()


#: Frames that no client sends, their masks zeros.
BROKEN = (
    b"\x80\x84\0\0\0\0ping",  # a continuation of nothing
    b"\x01\x82\0\0\0\0pi\x81\x84\0\0\0\0ping",  # a text within another one
    b"\x83\x84\0\0\0\0ping",  # of an unknown kind
    b"\xc1\x84\0\0\0\0ping",  # with a reserved bit
    b"\x81\x04ping",  # without a mask
    b"GET / HTTP/1.1\r\n\r\n",
)


@pytest.mark.parametrize(("path", "answer"), [("/", "pong!"), ("/echo/", "Echo: ping")])
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_what_breaks_one_connection_leaves_others_alone(start_server, kind, path, answer):
    """On a real server broken frames, and a client that is cut off, end their connection alone."""
    server = start_server(kind)
    async with connect(server.websocket_url + path) as other:
        for broken in BROKEN:
            async with connect(server.websocket_url + path) as websocket:
                websocket.transport.write(broken)
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(PATIENCE):
                        await websocket.recv()
        async with connect(server.websocket_url + path) as websocket:
            for _ in range(1_000):
                await websocket.send("ping")
            websocket.transport.abort()
        await other.send("ping")
        async with asyncio.timeout(PATIENCE):
            assert await other.recv() == answer
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("kind", COMMANDS)
async def test_an_unknown_websocket_path_is_refused(start_server, kind):
    """On a real server a path nobody serves is refused with 403, without a traceback."""
    server = start_server(kind)
    with pytest.raises(InvalidStatus) as refusal:
        await connect(server.websocket_url + "/nowhere/")
    assert refusal.value.response.status_code == 403
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_server_can_be_killed_and_started_again(start_server, kind):
    """The tests' own server refuses connections while it is dead and comes back on its port."""
    server = start_server(kind)
    server.kill()
    assert not server.answers()
    server.start()
    assert server.answers()
    server.stop()
    assert not server.answers()
