"""Many clients of one audience: who is in step shares a frame, and nobody waits for another."""

import asyncio
import contextlib
import json
import threading
import time

import pytest
from channels.db import database_sync_to_async as in_database
from channels.sessions import InstanceSessionWrapper
from django.test import override_settings

from databinding import protocol
from databinding.connection import Connection
from databinding.difference import Rows
from databinding.hub import Hub, running_hub
from databinding.relay import relay_for
from databinding.subscription import Subscription
from databinding.tally import HubTally
from tests.databinding.clients import PATIENCE, Client, Socket, eventually, named
from tests.shapes.bindings import NamedBinding
from tests.shapes.models import Named
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


@in_database
def create(name):
    return IntegerValue.objects.create(name=name).pk


@in_database
def update(value):
    IntegerValue.objects.update(value=value)


async def subscribed(stack, count):
    sockets = [await stack.enter_async_context(Socket(Demultiplexer)) for _ in range(count)]
    for socket in sockets:
        socket.say("intval", "subscribe")
    for socket in sockets:
        await eventually(lambda socket=socket: len(socket.frames()) == 2)
    return sockets


async def test_those_in_step_share_one_frame():
    """The same text object goes to everybody who was told the same so far."""
    await create("a")
    async with contextlib.AsyncExitStack() as stack:
        sockets = await subscribed(stack, 5)
        await update(1)
        for socket in sockets:
            await eventually(lambda socket=socket: len(socket.sent) == 3)
        assert len({id(socket.sent[-1]["text"]) for socket in sockets}) == 1


async def test_one_that_does_not_read_leaves_the_others_in_step():
    """While one client doesn't read, the others get every state, and no task is made for them."""
    pk = await create("a")
    async with contextlib.AsyncExitStack() as stack:
        slow, *others = await subscribed(stack, 5)
        slow.stall()
        for value in range(1, 6):
            await update(value)
            for socket in others:
                await eventually(lambda socket=socket, n=value: len(socket.frames()) == 2 + n)
        connections = running_hub().connections()
        assert sum(connection._task is not None for connection in connections) == 1
        slow.read_on()
        await slow.until("intval", {pk: {"name": "a", "value": 5}})


async def test_a_subscription_that_fails_leaves_the_others_served(monkeypatch, caplog):
    """A fault while one subscription is served is logged, and the rest of the round goes on."""
    pk = await create("a")
    push = Subscription.push
    async with contextlib.AsyncExitStack() as stack:
        sockets = await subscribed(stack, 4)
        failing = []

        def fails(subscription, text, frame, number):
            if not failing:
                failing.append(subscription)
                raise ValueError("a fault")
            return push(subscription, text, frame, number)

        monkeypatch.setattr(Subscription, "push", fails)
        await update(1)
        held = {pk: {"name": "a", "value": 1}}
        await eventually(lambda: sum(one.copy("intval") == held for one in sockets) == 3)
        await update(2)
        for socket in sockets:
            await socket.until("intval", {pk: {"name": "a", "value": 2}})
    assert "can't be served" in caplog.text


async def test_a_slow_client_hears_of_all_its_streams():
    """Where a client takes one frame at a time, streams that always have news take turns."""
    await create("a")
    await in_database(Named.objects.create)(code="a")
    both = named(
        {"intval": IntegerValueBinding, "named": NamedBinding}, ["intval-updates", "named"]
    )
    taken = asyncio.Event()
    async with Socket(both) as socket:
        for stream in ("intval", "named"):
            socket.say(stream, "subscribe")
        await eventually(lambda: len(socket.frames()) == 4)

        async def slowly(message):
            socket.sent.append(message)
            await taken.wait()

        socket.sending = slowly
        for value in range(1, 13):
            await update(value)
            await in_database(Named.objects.update)(value=value)
            came = len(socket.sent)
            await eventually(lambda value=value: all_read(value))
            taken.set()
            taken.clear()
            await eventually(lambda came=came: len(socket.sent) > came)
        streams = [frame["stream"] for frame in socket.frames()[4:]]
        assert min(streams.count("intval"), streams.count("named")) > 2, streams
        socket.sending = socket._send
        taken.set()


def all_read(value):
    """Has the relay read that all rows have this value?"""
    held = relay_for("default").holdings.rows.values()
    texts = [text for rows in held for text in rows.fragments.values()]
    return all(json.loads(text)["value"] == value for text in texts)


async def test_half_of_a_change_is_never_told(monkeypatch):
    """Who asks for news while they are being applied waits until all of them are."""
    pks = {await create(name) for name in "ab"}
    put, entered, go = Rows.put, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slowly(self, key, *args):
        put(self, key, *args)
        loop.call_soon_threadsafe(entered.set)
        assert go.wait(PATIENCE)

    async with Client(Demultiplexer) as client:
        await client.ask("intval", "subscribe", window=1)
        await client.receive()
        monkeypatch.setattr(Rows, "put", slowly)
        await update(7)
        await entered.wait()
        await client.send("intval", "ack", frames=1)
        assert await client.nothing_comes()
        go.set()
        batch = (await client.receive())["payload"]
        assert {event["pk"] for event in batch["events"]} == pks


async def test_a_fresh_cursor_covers_nothing_that_was_not_told():
    """Who is behind gets what he lacks before any cursor that covers it."""
    pk = await create("a")
    with override_settings(DATABINDING={"CURSOR_INTERVAL": 0.05}):
        async with Client(Demultiplexer) as client, Client(Demultiplexer) as other:
            await client.ask("intval", "subscribe", window=1)
            await client.receive()
            await other.subscribe("intval")
            await update(7)
            await other.until("intval", {pk: {"name": "a", "value": 7}})
            cursor = other.cursors["intval"]
            await in_database(Named.objects.create)(code="elsewhere")
            while other.cursors["intval"] == cursor:
                await other.receive()
            await client.send("intval", "ack", frames=1)
            await client.until("intval", {pk: {"name": "a", "value": 7}})


async def test_a_large_audience_is_served_in_slices(monkeypatch):
    """The loop does other things while news go to very many; what comes meanwhile follows."""
    monkeypatch.setattr(Hub, "SLICE", 0.0)
    monkeypatch.setattr(Hub, "LOOK_AFTER", 1)
    pk = await create("a")
    async with contextlib.AsyncExitStack() as stack:
        sockets = await subscribed(stack, 6)
        loop = asyncio.get_running_loop()
        turns = []

        def turn():
            turns.append(sum(len(socket.sent) == 3 for socket in sockets))
            if turns[-1] < len(sockets):
                loop.call_soon(turn)

        turn()
        await update(1)
        await eventually(lambda: turns[-1] == len(sockets))
        assert set(turns) == set(range(7))
        for value in range(2, 8):
            await update(value)
        for socket in sockets:
            await socket.until("intval", {pk: {"name": "a", "value": 7}})


async def test_many_audiences_are_served_in_slices(monkeypatch):
    """The loop does other things also between audiences, and the time for all of them is known."""
    monkeypatch.setattr(Hub, "SLICE", 0.0)
    hub = Hub(asyncio.get_running_loop())
    served = []

    class Alone:
        stream, classic, number = "intval", False, 0

        def __init__(self, audience):
            self.audience = audience

        def deliver(self):
            time.sleep(0.001)
            served.append(self)

    class Nothing:
        def made(self, stream, classic, since):
            return None

    audiences = [Nothing() for _ in range(5)]
    for audience in audiences:
        hub.add(Alone(audience))
    hub._deliver(audiences, time.monotonic())
    assert len(served) == 1
    hub._deliver(audiences[:1], time.monotonic())
    await eventually(lambda: len(served) == 6)
    await eventually(lambda: hub.took >= 0.006)


async def test_frames_pass_by_the_session_middleware():
    """Channels' session wrapper, which does nothing for a websocket's frames, isn't asked."""

    async def send(message):
        raise AssertionError("not called here")

    wrapper = InstanceSessionWrapper({"cookies": {}, "type": "websocket"}, send)
    assert Connection(wrapper.send, HubTally())._send is send


async def test_a_middleware_that_does_something_is_asked():
    """A session wrapper that saves at websocket frames, or another's send, stays in the way."""

    class Saving(InstanceSessionWrapper):
        save_message_types = ("websocket.send",)

    class Another(InstanceSessionWrapper):
        async def send(self, message):
            await super().send(message)

    for kind in (Saving, Another):
        wrapper = kind({"cookies": {}, "type": "websocket"}, None)
        assert Connection(wrapper.send, HubTally())._send == wrapper.send


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"stream":"a","payload":{"action":"ack","frames":4}}', ("a", 4)),
        ('{"payload": {"frames": 1, "action": "ack"}, "stream": "b"}', ("b", 1)),
        ('{"stream":"a","payload":{"action":"ack","frames":0}}', None),
        ('{"stream":"a","payload":{"action":"ack","frames":true}}', None),
        ('{"stream":"a","payload":{"action":"ack","frames":1.0}}', None),
        ('{"stream":"a","payload":{"action":"ack"}}', None),
        ('{"stream":"a","payload":{"action":"ack","frames":4,"request_id":1}}', None),
        ('{"stream":"a","payload":{"action":"ack","frames":4,"more":1}}', None),
        ('{"stream":null,"payload":{"action":"ack","frames":4}}', None),
        ('{"stream":"a","payload":{"action":"update","pk":1,"data":{"name":"ack"}}}', None),
        ('{"stream":"a","payload":["ack"]}', None),
        ('{"stream":"a","payload":{"action":"ack","frames":4}', None),
    ],
)
def test_plain_acks_are_known_by_their_text(text, meant):
    """Only a frame that acknowledges, and says nothing else, is taken without being parsed."""
    assert protocol.acknowledged(text) == meant
    assert protocol.acknowledged(text) == meant
