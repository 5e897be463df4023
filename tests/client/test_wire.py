"""The wire vectors shared with the JavaScript client: what this one sends, and understands."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from databinding.client import RequestError, connect
from databinding.client.requests import Reply
from tests.client.peer import Peer, eventually

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text())


def vectors(kind):
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"])


def options_of(vector):
    """A stream's options in Python's words."""
    given = vector.get("options", {})
    initial = given.get("initial")
    options = {"window": given["window"]} if "window" in given else {}
    if initial:
        options["rows"] = {item["pk"]: item["data"] for item in initial["items"]}
        options["since"] = initial["cursor"]
    return options


@vectors("client")
async def test_what_the_client_sends(vector):
    """Each call sends this frame, which a server accepts."""
    method, arguments = vector["call"]["method"], vector["call"]["args"]
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval", **options_of(vector))
        page = await peer.visitor()
        frame = await page.receive()
        if method == "ack":
            await page.reply(frame["payload"], data={"resumed": True})
            for number in range(arguments[0]):
                await page.batch({}, f"c{number}")
            frame = await page.receive()
        elif method != "subscribe":
            await page.reply(frame["payload"], data={"resumed": True})
            more = arguments.pop() if method == "create" or arguments[2:] else {}
            call = asyncio.create_task(getattr(ints, method)(*arguments, **more))
            frame = await page.receive()
            await page.reply(frame["payload"])
            await call
        assert frame == vector["frame"]


@vectors("server")
async def test_what_the_client_understands(vector, caplog):
    """A reply ends its request so; an error that answers none is logged."""
    payload = vector["frame"]["payload"]
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        if vector["settles"] == "event":
            await page.send(vector["frame"]["stream"], payload)
            await eventually(lambda: payload["errors"][0] in caplog.text)
            assert caplog.records[-1].levelno == logging.WARNING
            return
        asking = asyncio.create_task(ints.request(payload["action"], {"pk": 1}))
        asked = await page.receive()
        answer = payload | {"request_id": asked["payload"]["request_id"]}
        await page.send(vector["frame"]["stream"], answer)
        status, pk, data = payload["response_status"], payload.get("pk"), payload["data"]
        if vector["settles"] == "resolved":
            assert await asking == Reply(status, pk, data)
        else:
            with pytest.raises(RequestError) as caught:
                await asking
            error = caught.value
            assert (error.status, error.errors) == (status, payload["errors"])
            assert (error.pk, error.data, error.stream) == (pk, data, "intval")


@vectors("connection")
async def test_what_is_asked_about_the_connection(vector):
    """What belongs to no stream goes out with a stream of null, and its answer comes back."""
    async with Peer() as peer, connect(peer.url) as live:
        if vector["call"] == "connect":
            assert not hasattr(live, "authenticate")  # The header of the handshake has the token.
            return
        page = await peer.visitor()
        asking = asyncio.create_task(getattr(live, vector["call"])())
        frame = await page.receive()
        assert frame == vector["frame"]
        await page.reply(frame["payload"], data=vector["data"])
        assert await asking == vector["data"]
