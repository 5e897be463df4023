"""The oracle's client against a server that says what the test tells it to."""

import asyncio
import json
from contextlib import asynccontextmanager
from random import Random

import pytest
from websockets.asyncio.server import serve

from databinding.testing import Copy, Report, Visitor
from databinding.testing.client import Client
from tests.databinding.clients import PATIENCE, eventually

SNAPSHOT = {"action": "snapshot", "items": [{"pk": 1, "data": {}}], "complete": True}


def reply(status=200, resumed=False):
    return {"action": "subscribe", "response_status": status, "data": {"resumed": resumed}}


def frame(payload, stream="s", **more):
    return json.dumps({"stream": stream, "payload": payload, **more})


class Scene:
    """A client and a server that answers each subscription with the next of its lists of texts;
    a number among them closes the connection."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.heard = []
        self.told = asyncio.Queue()
        self.report = Report()

    async def serve(self, socket):
        async for text in socket:
            payload = json.loads(text)["payload"]
            self.heard.append(payload)
            if payload["action"] == "subscribe" and self.answers:
                for answer in self.answers.pop(0):
                    if isinstance(answer, int):
                        await socket.close(answer)
                    else:
                        await socket.send(answer)

    @asynccontextmanager
    async def play(self, window=None):
        async with serve(self.serve, "127.0.0.1", 0, subprotocols=["databinding"]) as server:
            host, port = server.sockets[0].getsockname()
            copy = Copy()
            copy.window = window
            client = Client(
                "client",
                Visitor("/", frozenset()),
                {"s": copy},
                [f"ws://{host}:{port}"],
                self.report,
                chance=Random(1),
                broken=lambda what, frames: self.told.put_nowait(what),
            )
            await client.connect()
            try:
                async with asyncio.timeout(PATIENCE):
                    yield client
            finally:
                await client.end()


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        (["{}"], "can't be understood"),
        (["no JSON"], "can't be understood"),
        ([frame(SNAPSHOT, "other", cursor="c")], "Nobody asked for this"),
        ([frame({"action": "error"})], "Nobody asked for this"),
        ([frame(reply(403))], "refused with 403"),
        ([frame(reply()), frame(SNAPSHOT)], "Complete: True, with the cursor None"),
        ([1011], "closed the connection with 1011"),
    ],
)
async def test_what_a_server_may_not_say_is_told(answers, complaint):
    """A frame or a close that the protocol doesn't have is a violation."""
    scene = Scene([answers])
    async with scene.play():
        assert complaint in await scene.told.get()


async def test_it_comes_back_and_resumes():
    """Told "later", it subscribes again; closed in order, it reconnects with its cursor."""
    empty = {"action": "batch", "events": []}
    scene = Scene(
        [
            [frame(reply(503))],
            [frame(reply()), frame(SNAPSHOT, cursor="c1"), 1012],
            [frame(reply(resumed=True)), frame(empty, cursor="c2")],
        ]
    )
    async with scene.play(window=1) as client:
        while client.copies["s"].cursor != "c2":
            client.news.clear()
            await client.news.wait()
        assert client.copies["s"].rows == {1: {}}
        await eventually(lambda: scene.heard[-1] == {"action": "ack", "frames": 1})
    asked = [payload.get("cursor") for payload in scene.heard if payload["action"] == "subscribe"]
    assert asked == [None, None, "c1"]
    assert scene.told.empty()
    assert scene.report.connections == 2
    assert (scene.report.snapshots, scene.report.resumed) == (1, 1)
    assert scene.report.faults == {
        "subscription refused (503)": 1,
        "closed by the server (1012)": 1,
    }


async def test_what_it_withholds_it_acknowledges_later():
    """While it withholds nothing is acknowledged; going on, all of it is, at once."""
    batch = frame({"action": "batch", "events": []}, cursor="c")
    scene = Scene([[frame(reply()), frame(SNAPSHOT, cursor="c"), *[batch] * 2]])
    async with scene.play(window=3) as client:
        await client.withhold()
        while client.copies["s"].unacknowledged < 3:
            client.news.clear()
            await client.news.wait()
        assert [payload["action"] for payload in scene.heard] == ["subscribe"]
        await client.go_on()
        await eventually(lambda: scene.heard[-1] == {"action": "ack", "frames": 3})
