"""Past ASGI: what is written to a known server's transport is what its own `send` would send."""

import json
import time
import urllib.request

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from databinding.servers import text_frame, wire_of
from tests.servers import PATIENCE, Server, wait_until

KINDS = {"uvicorn": "_Uvicorn", "daphne": "_Daphne"}


@given(st.text())
@example("x" * 125)
@example("x" * 126)
@example("é" * 63)
@example("x" * 65_535)
@example("x" * 65_536)
def test_a_frame_is_what_others_make_of_the_text(text):
    """`websockets` serializes the text to the same bytes, whatever its length and characters."""
    assert text_frame(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def test_a_send_of_somebody_else_is_used():
    """Whoever wraps `send` sees every frame."""

    async def wrapped(message):
        raise AssertionError(message)

    assert wire_of(wrapped) is None


@pytest.fixture(scope="module", params=KINDS)
def server(request):
    server = Server(
        request.param,
        "/nowhere",
        application="tests.databinding.wires:application",
        DJANGO_SETTINGS_MODULE="tests.settings",
    )
    server.start()
    yield request.param, server
    server.close()


def ask(client, **asked):
    client.send(json.dumps(asked))


def texts(sizes):
    return [f"{number} ".ljust(size, "é") for number, size in enumerate(sizes)]


def test_texts_arrive_in_their_order(server):
    """Past ASGI and through it in turns, short and long, to a client that lags and reads."""
    kind, server = server
    sizes = [9, 125, 126, 127, 60_000, 300_000, 1, 70_000, 10] * 20
    with connect(server.websocket_url, compression=None, max_queue=1) as client:
        for ways in (["wire"], ["wire", "send"], ["send", "wire", "wire"]):
            count = len(sizes) // len(ways) * len(ways)
            ask(client, ways=ways * (count // len(ways)), sizes=sizes[:count])
            time.sleep(0.2)  # 9 MB don't fit into what lies between.
            assert [client.recv(PATIENCE) for _ in range(count)] == texts(sizes[:count])
            said = json.loads(client.recv(PATIENCE))
            assert said["wire"] == KINDS[kind]
            # A client that doesn't read is uvicorn's to wait for.
            assert said["written"][0] == ways.index("wire")
        # One that reads is written to each time.
        ask(client, ways=["wire"] * 20, sizes=[200] * 20)
        assert [client.recv(PATIENCE) for _ in range(20)] == texts([200] * 20)
        assert json.loads(client.recv(PATIENCE))["written"] == list(range(20))


def taken_and_received(client):
    client.send("said")
    return json.loads(client.recv(PATIENCE))


def test_what_is_taken_is_not_received(server):
    """Texts that somebody takes past `receive` are gone; others are received, in their order."""
    kind, server = server
    with connect(server.websocket_url, compression=None) as client:
        assert taken_and_received(client) == [[], []]  # By now it is tapped.
        client.send("take 1")
        client.send(b"take bytes")
        client.send(["take", " in parts"])
        client.send("take 2")
        taken, received = taken_and_received(client)
        if kind == "uvicorn":
            # Parts are put together afterwards.
            assert (taken, received) == (["take 1", "take 2"], [None, "take in parts"])
        else:
            assert (taken, received) == (["take 1", "take in parts", "take 2"], [None])
        client.send("untap")
        taken_and_received(client)
        client.send("take 3")
        assert "take 3" in taken_and_received(client)[1]


def test_a_receive_of_somebody_else_is_given_everything(server):
    """Whoever wraps `receive` sees every frame."""
    _, server = server
    with connect(server.websocket_url.rstrip("/") + "/wrapped", compression=None) as client:
        client.send("take 1")
        assert taken_and_received(client) == [[], ["take 1"]]


def test_who_closes_is_written_nothing(server):
    """After its goodbye a connection is written nothing more, and the next is served."""
    _, server = server
    with connect(server.websocket_url, compression=None) as client:
        ask(client, close=True)
        with pytest.raises(Exception, match="4000") as closed:
            client.recv(PATIENCE)
    assert closed.value.rcvd.code == 4000

    def said():
        with urllib.request.urlopen(server.url) as response:
            return json.loads(response.read())

    wait_until(said)
    assert said() == [False]


def test_a_setting_turns_it_off(server):
    """With PAST_ASGI off every text is handed to `send`, and received."""
    _, server = server
    with connect(server.websocket_url, compression=None) as client:
        for setting in (True, False):
            ask(client, setting=setting)
            assert json.loads(client.recv(PATIENCE)) is setting


def test_who_compresses_is_sent_to():
    """A connection that compresses is written nothing past its server."""
    server = Server(
        "uvicorn",
        "/nowhere",
        application="tests.databinding.wires:application",
        DJANGO_SETTINGS_MODULE="tests.settings",
    )
    server._command.remove("--ws-per-message-deflate")
    server._command.remove("false")
    server.start()
    try:
        with connect(server.websocket_url) as client:
            assert client.protocol.extensions
            ask(client, ways=["wire"] * 3, sizes=[200] * 3)
            assert [client.recv(PATIENCE) for _ in range(3)] == texts([200] * 3)
            assert json.loads(client.recv(PATIENCE)) == {"wire": None, "written": []}
    finally:
        server.close()
