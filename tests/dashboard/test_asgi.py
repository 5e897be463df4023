"""Who serves what: `dashboard.asgi`."""

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dashboard.asgi import application
from dashboard.websocket import websocket_application
from tests.servers import COMMANDS


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
    """On a real server the seeds' exchange works and other messages go unanswered."""
    server = start_server(kind)
    async with connect(server.websocket_url + "/") as websocket:
        for message in ("ignored", b"ping", "ping"):
            await websocket.send(message)
        assert await websocket.recv() == "pong!"
        await websocket.send("ping")
        assert await websocket.recv() == "pong!"
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
