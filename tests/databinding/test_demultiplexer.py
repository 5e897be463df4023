"""One websocket with many streams: who may open it, what it carries, how it is bounded."""

import asyncio
import json
import threading

import pytest
from channels.db import database_sync_to_async as in_database
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from djangochannelsrestframework.decorators import action
from djangochannelsrestframework.generics import GenericAsyncAPIConsumer
from djangochannelsrestframework.mixins import ListModelMixin
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny
from rest_framework.serializers import ModelSerializer

from databinding.connection import Connection
from databinding.hub import running_hub
from databinding.journal import open_journal
from databinding.relay import relay_for
from databinding.rights import Basis
from databinding.session import Session
from databinding.websockets import TURN, WebSocketDemultiplexer, WebsocketDemultiplexer
from tests.databinding.clients import (
    PATIENCE,
    Client,
    Communicator,
    Socket,
    eventually,
    named,
    stays,
)
from tests.shapes.bindings import ChildBinding, NamedBinding, PaperBinding, Parrot
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.models import Message, Named, Room
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


@in_database
def create(*names, value=0):
    return [IntegerValue.objects.create(name=name, value=value).pk for name in names]


@in_database
def update(**fields):
    IntegerValue.objects.update(**fields)


# The handshake


def connecting(demultiplexer=Demultiplexer, headers=(), subprotocols=None):
    headers = [(name.encode(), value.encode()) for name, value in headers]
    return Communicator(
        demultiplexer.as_asgi(), "/stream/", headers=headers, subprotocols=subprotocols
    )


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        (["databinding"], "databinding"),
        (["other", "databinding"], "databinding"),
        (["x"], None),
        (None, None),
    ],
)
async def test_the_subprotocol(offered, accepted):
    """The subprotocol is accepted where it is offered, and no other is."""
    socket = connecting(subprotocols=offered)
    assert await socket.connect(timeout=PATIENCE) == (True, accepted)
    await socket.disconnect(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("HTTP://LOCALHOST", True),
        ("https://page.example", True),
        ("https://app.example:444", True),
        ("https://app.example", False),
        ("https://evil.example", False),
        ("https://localhost.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("file://", False),
    ],
)
async def test_foreign_origins_are_refused(origin, allowed):
    """Pages of other hosts are refused before the handshake; programs, which say none, are not."""
    with override_settings(
        ALLOWED_HOSTS=["localhost", "127.0.0.1", "[::1]", "page.example"],
        DATABINDING={"ALLOWED_ORIGINS": ("https://app.example:444",)},
    ):
        socket = connecting(headers=[] if origin is None else [("origin", origin)])
        connected, code = await socket.connect(timeout=PATIENCE)
        assert connected is allowed
        if allowed:
            await socket.disconnect(timeout=PATIENCE)
        else:
            assert code == 4403
            assert not relay_for("default").running


async def test_only_websockets_are_served():
    """A scope of another type is refused by its name."""
    with pytest.raises(ValueError, match="can't serve http connections"):
        await Demultiplexer.as_asgi()({"type": "http"}, None, None)


def test_channels_1_spelling():
    """`WebsocketDemultiplexer` is the same class."""
    assert WebsocketDemultiplexer is WebSocketDemultiplexer


# Groups


class Sync(WebSocketDemultiplexer):
    consumers = {"message": Shapes.consumers["message"]}

    def connection_groups(self):
        return [f"room-{room.pk}" for room in Room.objects.filter(name=self.scope["owner"])]


class Async(Sync):
    async def connection_groups(self):
        return [f"room-{room.pk}" async for room in Room.objects.filter(name=self.scope["owner"])]


class WithKwargs(Sync):
    def connection_groups(self, name):
        return [f"room-{room.pk}" for room in Room.objects.filter(name=name)]


class WithAnyKwargs(Sync):
    async def connection_groups(self, **kwargs):
        assert kwargs == {"name": "mine", "page": 3}
        return [f"room-{room.pk}" async for room in Room.objects.filter(name=kwargs["name"])]


@pytest.mark.parametrize("demultiplexer", [Sync, Async, WithKwargs, WithAnyKwargs])
async def test_connection_groups(demultiplexer):
    """Groups may be told by sync or async code, from the scope or the route."""
    rooms = [await in_database(Room.objects.create)(name=name) for name in ("mine", "other")]
    mine, _ = [await in_database(Message.objects.create)(room=room, text="x") for room in rooms]
    route = {"args": (), "kwargs": {"name": "mine", "page": 3}}
    async with Client(demultiplexer, owner="mine", url_route=route) as client:
        await client.subscribe("message")
        assert list(client.rows["message"]) == [mine.pk]


@pytest.mark.parametrize("modern", [True, False])
async def test_groups_that_are_asked_for_too_often(modern):
    """A `Throttled` of `connection_groups` is answered 429, with the time to wait, and closes."""

    class Slow(Sync):
        def connection_groups(self):
            raise Throttled(30, "Too many rooms.")

    async with Client(Slow, modern=modern) as client:
        frame = await client.receive()
        assert frame["stream"] is None
        assert frame["payload"]["response_status"] == 429
        assert frame["payload"]["errors"][0].startswith("Too many rooms.")
        assert frame["payload"]["retry_after"] == 30
        assert await client.receive_output() == {"type": "websocket.close", "code": 4429}


async def test_without_groups_there_are_no_rows():
    """A connection in no group is served, and sees nothing."""
    await create("a")
    async with Client(named({"intval": IntegerValueBinding}, [])) as client:
        await client.subscribe("intval")
        assert client.rows["intval"] == {}
        await create("b")
        assert await client.nothing_comes()


# Other consumers


class Serializer(ModelSerializer):
    class Meta:
        model = Named
        fields = ["code", "value"]


class Rest(ListModelMixin, GenericAsyncAPIConsumer):
    queryset = Named.objects.all()
    serializer_class = Serializer
    permission_classes = (AllowAny,)

    @action()
    async def fail(self, **kwargs):
        raise RuntimeError("as asked")


class Rejecting(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.close()


class Talkative(AsyncJsonWebsocketConsumer):
    left = None

    async def connect(self):
        await self.accept()
        await self.send_json({"hello": self.scope["path"]})

    async def disconnect(self, code):
        Talkative.left.set()


async def test_a_dcrf_consumer_is_carried():
    """A DCRF consumer answers in its own stream as it would alone; a failure ends only it."""
    await in_database(Named.objects.create)(code="x", value=5)
    streams = {"rest": Rest, "named": NamedBinding}
    async with Client(named(streams, ["named"])) as client:
        await client.subscribe("named")
        reply = await client.ask("rest", "list")
        assert reply["data"] == [{"code": "x", "value": 5}]
        await client.send("rest", "fail", request_id="f")
        frame = await client.receive()
        assert (frame["stream"], frame["payload"]["response_status"]) == ("rest", 500)
        await client.send("rest", "list", request_id="l")
        assert (await client.receive())["payload"]["response_status"] == 404
        await in_database(Named.objects.update)(value=6)
        await client.until("named", {"x": {"value": 6}})


@pytest.mark.parametrize("content", ["fail", "end"])
async def test_a_consumer_that_ends_ends_only_its_stream(content, caplog):
    """When another consumer raises or closes, its stream is over and the others go on."""
    streams = {"parrot": Parrot, "other": Parrot, "intval": IntegerValueBinding}
    async with Client(named(streams, ["intval-updates"])) as client:
        await client.subscribe("intval")
        await client.send_text(json.dumps({"stream": "parrot", "payload": {"a": 1}}))
        assert await client.receive() == {"stream": "parrot", "payload": {"said": {"a": 1}}}
        await client.send_text(json.dumps({"stream": "parrot", "payload": content}))
        if content == "fail":
            frame = await client.receive()
            assert frame["stream"] == "parrot"
            assert frame["payload"]["errors"] == ["Something went wrong on the server."]
            assert "\nRuntimeError\n" in caplog.text
        else:
            assert await client.nothing_comes()
        await client.send_text(json.dumps({"stream": "parrot", "payload": "again"}))
        frame = await client.receive()
        assert frame["payload"]["errors"] == ["This stream has ended."]
        await client.send_text(json.dumps({"stream": "other", "payload": "x"}))
        assert (await client.receive())["payload"] == {"said": "x"}
        (pk,) = await create("a")
        await client.until("intval", {pk: {"name": "a", "value": 0}})


async def test_a_consumer_lives_as_long_as_the_connection():
    """Another consumer is connected with the socket's scope, and told when it is over."""
    Talkative.left = asyncio.Event()
    async with Client(named({"talk": Talkative, "no": Rejecting}, [])) as client:
        assert await client.receive() == {"stream": "talk", "payload": {"hello": "/stream/"}}
        await client.send("no", "list")
        assert (await client.receive())["payload"]["response_status"] == 404
        assert not Talkative.left.is_set()
    assert Talkative.left.is_set()


async def test_what_is_no_consumer_is_refused():
    """An entry of `consumers` that can carry nothing is named."""
    with pytest.raises(ImproperlyConfigured, match=r"consumers\['s'\] must be a binding or"):
        Session({"s": IntegerValue}, frozenset(), {}, None, None, None, Basis())


def test_what_is_no_consumer_is_refused_where_it_is_declared():
    """A demultiplexer with such an entry can't even be imported."""
    with pytest.raises(ImproperlyConfigured, match=r"consumers\['s'\] must be a binding or"):
        named({"s": IntegerValue}, [])


def test_which_streams_carry_a_binding():
    """A stream carries a binding as itself, as its consumer, or as a subclass of that."""

    class Own(IntegerValueBinding.consumer):
        pass

    streams = {"a": IntegerValueBinding, "b": IntegerValueBinding.consumer, "c": Own, "d": Parrot}
    demultiplexer = named(streams, [])
    for stream in "abc":
        assert demultiplexer.binding_of(stream) is IntegerValueBinding
    assert demultiplexer.binding_of("d") is None
    assert demultiplexer.binding_of("e") is None


# Subscriptions


async def test_subscriptions_are_limited():
    """More subscriptions than MAX_SUBSCRIPTIONS are refused; one that ended makes room."""
    streams = {"named": NamedBinding, "child": ChildBinding, "paper": PaperBinding}
    demultiplexer = named(streams, ["named", "children", "papers"])
    with override_settings(DATABINDING={"MAX_SUBSCRIPTIONS": 2}):
        async with Client(demultiplexer) as client:
            await client.subscribe("named")
            await client.subscribe("child")
            assert (await client.ask("paper", "subscribe"))["response_status"] == 429
            await client.subscribe("named")
            await client.ask("named", "unsubscribe")
            await client.subscribe("paper")


async def test_snapshots_at_once_are_limited():
    """While MAX_SNAPSHOTS snapshots are on their way to a client, it gets no more."""
    socket = Socket(named({"a": NamedBinding, "b": NamedBinding}, ["named"]))
    with override_settings(DATABINDING={"MAX_SNAPSHOTS": 1, "SNAPSHOT_CHUNK": 1}):
        await in_database(lambda: [Named.objects.create(code=c) for c in "xyz"])()
        async with socket:
            socket.stall(after=1)
            socket.say("a", "subscribe", request_id=1)
            await eventually(lambda: socket.stalled)
            socket.say("b", "subscribe", request_id=2)
            await eventually(lambda: socket.handed_over())
            socket.read_on()
            assert (await socket.reply(2))["response_status"] == 429
            await socket.until("a", {code: {"value": 0} for code in "xyz"})
            socket.say("b", "subscribe", request_id=3)
            assert (await socket.reply(3))["response_status"] == 200


@pytest.mark.parametrize("window", [0, -1, 65, True, "8", 1.5, [1]])
async def test_windows_have_bounds(window):
    """A window is a number from 1 to MAX_WINDOW; the error says so."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("intval", "subscribe", window=window)
        assert reply["response_status"] == 400
        assert reply["errors"] == ['"window" must be a number from 1 to 64.']
        await client.subscribe("intval", window=64)


async def test_unknown_parameters_of_subscribe_are_an_error():
    """What a stream's subscription doesn't take is named, not ignored."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("intval", "subscribe", room=1, limit=2)
        assert reply["response_status"] == 400
        assert reply["errors"] == ["This stream has no such parameter: limit, room."]
        await create("a")
        assert await client.nothing_comes()


async def test_subscribing_twice_starts_anew():
    """A second subscription of a stream replaces the first; each change comes once."""
    (pk,) = await create("a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        assert await client.subscribe("intval") is False
        cursor = client.cursors["intval"]
        assert await client.subscribe("intval", cursor=cursor, window=3) is True
        await update(value=1)
        await client.until("intval", {pk: {"name": "a", "value": 1}})
        assert await client.nothing_comes()
        assert [one.users for one in relay_for("default").holdings.audiences()] == [1]


async def test_unsubscribe_ends_a_stream():
    """After `unsubscribe` nothing comes of the stream, and asking again brings a snapshot."""
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        assert (await client.ask("intval", "unsubscribe"))["response_status"] == 200
        (pk,) = await create("a")
        assert await client.nothing_comes()
        await client.subscribe("intval")
        assert client.rows["intval"] == {pk: {"name": "a", "value": 0}}
        await client.ask("intval", "unsubscribe")
    await eventually(lambda: not relay_for("default").holdings.in_use())


async def test_a_client_that_leaves_while_it_joins_gives_its_place_back(monkeypatch):
    """A connection that ends in the middle of subscribing leaves no subscriber behind."""
    asked, go = threading.Event(), threading.Event()
    journal = type(open_journal("default"))
    state = journal.state

    def slow(self):
        asked.set()
        assert go.wait(PATIENCE)
        return state(self)

    relay = relay_for("default")
    async with Client(Demultiplexer) as first:
        await first.subscribe("intval")
        (audience,) = relay.holdings.audiences()
        async with Client(Demultiplexer) as client:
            monkeypatch.setattr(journal, "state", slow)
            await client.send("intval", "subscribe", request_id=1)
            assert await asyncio.to_thread(asked.wait, PATIENCE)
        go.set()
        await first.ask("intval", "unsubscribe")
        await eventually(lambda: not relay._departures and audience.users == 0)


# A client that doesn't read


async def test_a_client_that_does_not_read_gets_the_latest_states():
    """One that stops reading holds up nobody, is sent nothing more, and then just what is now."""
    (pk,) = await create("a")
    async with Socket(Demultiplexer) as slow, Client(Demultiplexer) as other:
        await other.subscribe("intval")
        slow.say("intval", "subscribe")
        await slow.until("intval", {pk: {"name": "a", "value": 0}})
        slow.stall()
        for value in range(1, 21):
            await update(value=value)
            await other.until("intval", {pk: {"name": "a", "value": value}})
        await eventually(lambda: slow.stalled)
        assert len(slow.frames()) == 3
        slow.read_on()
        await slow.until("intval", {pk: {"name": "a", "value": 20}})
        assert len(slow.frames()) == 4


async def test_replies_to_one_that_does_not_read_wait_in_a_short_line():
    """A client that asks and doesn't read is asked to wait in turn: the line is bounded."""
    (pk,) = await create("a")
    most = Connection.waiting_replies
    async with Socket(Demultiplexer) as slow:
        slow.stall()
        for number in range(3 * most):
            slow.say("intval", "retrieve", pk=pk, request_id=number)
        await eventually(lambda: slow.stalled)
        await stays(lambda: len(slow.frames()) == 1)
        slow.read_on()
        await slow.reply(3 * most - 1)
        assert [frame["payload"]["request_id"] for frame in slow.frames()] == list(range(3 * most))


async def test_requests_of_one_that_does_not_read_are_bounded():
    """While replies wait, requests pile up only to their limit; the rest are refused."""
    with override_settings(DATABINDING={"MAX_REQUESTS": 20}):
        async with Socket(Demultiplexer) as slow:
            slow.stall()
            for number in range(200):
                slow.say("intval", "list", request_id=number)
            await eventually(lambda: slow.stalled)
            # Errors wait for the client too: the server stops taking in what it says.
            await stays(lambda: not slow.handed_over())
            slow.read_on()
            statuses = [(await slow.reply(n))["response_status"] for n in range(200)]
    assert set(statuses) == {200, 429}


async def test_a_classic_client_that_does_not_read_is_closed():
    """Without acks there is no other bound: after SEND_TIMEOUT it is closed with 1013."""
    with override_settings(DATABINDING={"SEND_TIMEOUT": 0.05}):
        async with Socket(Demultiplexer, modern=False) as slow, Client(Demultiplexer) as other:
            await other.subscribe("intval")
            slow.stall()
            await create("a")
            await eventually(lambda: slow.sent[-1:] == [{"type": "websocket.close", "code": 1013}])
            (pk,) = await create("b")
            while pk not in other.rows["intval"]:
                await other.receive()
            assert len(slow.sent) == 2


async def test_a_classic_client_that_reads_again_in_time_stays(monkeypatch):
    """A classic client that was slow gets the latest states, and isn't closed."""
    loop, in_an_hour, due = asyncio.get_running_loop(), 3600, []
    later = loop.call_later

    def call_later(seconds, *what, **more):
        if seconds != in_an_hour:
            return later(seconds, *what, **more)
        due.extend(what)

    monkeypatch.setattr(loop, "call_later", call_later)
    with override_settings(DATABINDING={"SEND_TIMEOUT": in_an_hour}):
        async with Socket(Demultiplexer, modern=False) as slow:
            (pk,) = await create("a")
            await eventually(lambda: len(slow.sent) == 1)
            slow.stall()
            for value in range(1, 6):
                await update(value=value)
            await eventually(lambda: slow.stalled)
            (connection,) = running_hub().connections()
            slow.read_on()
            await eventually(lambda: slow.frames()[-1]["payload"]["data"]["value"] == 5)
            await eventually(lambda: not connection.blocked)
            assert len(slow.sent) < 7
            assert due
            for give_up in due:
                give_up()
            await update(value=6)
            await eventually(lambda: slow.frames()[-1]["payload"]["data"]["value"] == 6)
            assert slow.frames()[-1]["payload"]["pk"] == pk


async def test_a_client_that_is_gone_disturbs_nobody():
    """What a server raises when it sends to a client that has gone ends only that connection."""

    class Gone(Socket):
        gone = False

        async def _send(self, message):
            if self.gone:
                raise OSError("gone")
            await super()._send(message)

    (pk,) = await create("a")
    async with Gone(Demultiplexer) as gone, Client(Demultiplexer) as other:
        gone.say("intval", "subscribe")
        await gone.until("intval", {pk: {"name": "a", "value": 0}})
        await other.subscribe("intval")
        gone.gone = True
        for value in (1, 2):
            await update(value=value)
            await other.until("intval", {pk: {"name": "a", "value": value}})
        gone.say("intval", "list", request_id=1)
        await eventually(gone.handed_over)


async def test_a_crowd_of_frames_leaves_others_their_turn():
    """Frames that lie there already are worked on a few at a time; the event loop goes on."""
    async with Client(Demultiplexer) as client:
        for _ in range(4 * TURN):
            await client.send_text("ping")
        answers, turns = client._communicator.output_queue, 0
        while answers.qsize() < 4 * TURN:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 3
