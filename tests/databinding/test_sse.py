"""Streams as server-sent events."""

import asyncio
import gc
import json
import urllib.request
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from prometheus_client.parser import text_string_to_metric_families as parse

from databinding import sse
from databinding.relay import relay_for
from databinding.sse import sse_view
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, eventually, named
from tests.databinding.events import Response, Source
from tests.servers import PATIENCE
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.models import Message, Room
from tests.talk.bindings import Demultiplexer as Talk
from tests.talk.models import IntegerValue as TalkValue
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/stream/intval/events"
TOKEN = "for tests only"


@pytest.fixture(params=["uvicorn", "daphne"])
def server(request, start_server):
    return start_server(request.param, METRICS_TOKEN=TOKEN)


@in_database
def stored(model=IntegerValue):
    return {row.pk: {"name": row.name, "value": row.value} for row in model.objects.all()}


def measured(server, name):
    """The sum of a metric's samples on this server."""
    request = urllib.request.Request(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as response:
        families = {one.name: one for one in parse(response.read().decode())}
    return sum(sample.value for sample in families[f"databinding_{name}"].samples)


async def until_measured(server, name, value):
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(measured, server, name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def users():
    """Places in audiences that are taken, in this process."""
    return sum(one.users for one in relay_for("default").holdings.audiences())


# With real servers


async def test_a_snapshot_and_what_changes(server):
    """Who asks gets the rows and then every change, as a websocket's subscriber does."""
    row = await IntegerValue.objects.acreate(name="a", value=1)
    async with Source(server.url, PATH) as source:
        assert source.status == 200
        assert source.headers["content-type"] == "text/event-stream"
        assert source.headers["cache-control"] == "no-store, no-transform"
        assert source.headers["x-accel-buffering"] == "no"
        await source.until({row.pk: {"name": "a", "value": 1}})
        assert not source.resumed
        assert sse.RETRY[0] <= source.retry <= sse.RETRY[1]
        await IntegerValue.objects.aupdate(value=2)
        await IntegerValue.objects.acreate(name="b")
        await row.adelete()
        await source.until(await stored())


@pytest.mark.parametrize("by", ["header", "query"])
async def test_after_a_killed_server_it_resumes(server, by):
    """Who comes back with the last event's id gets what was missed, and nothing else."""
    await IntegerValue.objects.abulk_create(IntegerValue(name=name) for name in "abc")
    async with Source(server.url, PATH) as source:
        await source.until(await stored())
        server.kill()
        while not source.ended:
            await source.receive()
    await IntegerValue.objects.filter(name="a").adelete()
    await IntegerValue.objects.filter(name="b").aupdate(value=7)
    await asyncio.to_thread(server.start)

    cursor = source.last_event_id
    path, headers = (
        (PATH, {"Last-Event-ID": cursor})
        if by == "header"
        else (f"{PATH}?cursor={quote(cursor)}", {})
    )
    async with Source(server.url, path, headers) as again:
        again.resume(source.copy)
        await again.until(await stored())
        assert again.resumed
        assert len(again.frames) == 2


@pytest.mark.alike
async def test_who_never_reads_harms_nobody(server):
    """Others get every change meanwhile; when the silent one goes, its place is free again."""
    await IntegerValue.objects.abulk_create(IntegerValue(name=f"{n:0100}") for n in range(2000))
    async with Source(server.url, PATH) as reader:
        async with Source(server.url, PATH, limit=2**10):
            for value in range(1, 25):
                await IntegerValue.objects.aupdate(value=value)
                await reader.until(await stored())
            assert await asyncio.to_thread(measured, server, "subscriptions") == 2
        await until_measured(server, "subscriptions", 1)
    await until_measured(server, "connections", 0)


@pytest.mark.alike
async def test_who_stops_reading_for_a_while_gets_less(start_server):
    """A client that reads again gets fewer frames than there were commits, and the latest rows."""
    server = start_server("uvicorn")
    await IntegerValue.objects.abulk_create(IntegerValue(name=f"{n:0100}") for n in range(2000))
    async with (
        Source(server.url, PATH) as reader,
        # Frames of 340 kB, and the two sockets' buffers take some megabytes.
        Source(server.url, PATH, limit=2**10) as lazy,
    ):
        for value in range(1, 46):
            await IntegerValue.objects.aupdate(value=value)
            await reader.until(await stored())
        await lazy.until(await stored())
    assert len(lazy.frames) < len(reader.frames) - 10


async def test_a_server_that_is_told_to_end_ends(start_server):
    """An open stream doesn't hold up uvicorn for longer than it grants."""
    server = start_server("uvicorn")
    async with Source(server.url, PATH) as source:
        await source.until({})
        await asyncio.to_thread(server.stop)
        while not source.ended:
            await source.receive()
    assert "Traceback" not in server.log().split("Cancel 1 running task")[0]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/stream/none/events", {}, 404),
        (PATH, {"Origin": "https://evil.example"}, 403),
        (f"{PATH}?room=1", {}, 400),
    ],
)
async def test_refusals_come_before_the_stream(start_server, path, headers, status):
    """What can't be had is answered with its status, and the wire's error frame."""
    async with Source(start_server().url, path, headers) as source:
        assert source.status == status
        assert source.headers["content-type"] == "application/json"
        size = int(source.headers["content-length"])
        frame = json.loads(await source.reader.readexactly(size))
        assert frame["payload"]["response_status"] == status


# In this process


async def test_permission_first(registry_as_it_was):
    """Who isn't logged in is answered 401, who may not subscribe 403."""

    class Closed(WebsocketBinding):
        model = TalkValue
        fields = ["name"]

        @classmethod
        def group_names(cls, instance):
            return ["all"]

        def has_permission(self, user, action, pk):
            return user.username == "ana"

    demultiplexer = named({"closed": Closed.consumer}, ["all"])
    ana, bob = [await User.objects.acreate(username=name) for name in ("ana", "bob")]
    async with Response(demultiplexer, "closed") as nobody:
        assert nobody.refusal() == ("closed", 401, ["Log in to subscribe to this stream."])
    async with Response(demultiplexer, "closed", user=bob) as refused:
        assert refused.refusal() == ("closed", 403, ["You may not subscribe to this stream."])
    async with Response(demultiplexer, "closed", user=ana) as allowed:
        await allowed.until({})
    await eventually(lambda: users() == 0)


async def test_groups_parameters_and_window():
    """The route's arguments choose the connection's groups, the query what it says besides."""
    rooms = [await Room.objects.acreate(name=name) for name in ("one", "two")]
    for text in "dcba":
        await Message.objects.acreate(room=rooms[0], text=text)
    await Message.objects.acreate(room=rooms[1], text="z")
    both = {"rooms": f"{rooms[0].pk}-{rooms[1].pk}"}

    def texts(source):
        return sorted(row["text"] for row in source.rows.values())

    async def first(query, **kwargs):
        async with Response(Shapes, "latest", query, **kwargs) as source:
            if source.status != 200:
                return source.status
            while source.copy.cursor is None:
                await source.receive()
            return texts(source)

    assert await first("", **both) == ["a", "b", "c"]
    assert await first("limit=4", **both) == ["a", "b", "c", "d"]
    assert await first(f"room={rooms[1].pk}", **both) == ["z"]
    assert await first(f"room={rooms[1].pk}", rooms=str(rooms[0].pk)) == 403
    for wrong in ("limit=0", "limit=many", "limit=1&limit=2", "room=x", "window=8", "action=list"):
        assert await first(wrong, **both) == 400, wrong

    async with Response(Shapes, "latest", "limit=2", **both) as source:
        while source.copy.cursor is None:
            await source.receive()
        await Message.objects.acreate(room=rooms[0], text="aa")
        while texts(source) != ["a", "aa"]:
            await source.receive()


async def test_a_slow_reader_is_told_the_latest():
    """What changes while nobody asks for a frame is in few frames, the last one current."""
    row = await TalkValue.objects.acreate(name="a", value=0)
    async with Response(Talk, "intval") as slow, Client(Talk) as quick:
        await slow.until({row.pk: {"name": "a", "value": 0}})
        await quick.subscribe("intval")
        for value in range(1, 31):
            await TalkValue.objects.aupdate(value=value)
            await quick.until("intval", {row.pk: {"name": "a", "value": value}})
        before = len(slow.frames)
        await slow.until({row.pk: {"name": "a", "value": 30}})
        # One waited in the line, one behind it.
        assert len(slow.frames) - before <= 3


async def test_a_snapshot_in_parts():
    """The parts of a large snapshot have no id, only the last one, so nobody resumes in between."""
    await TalkValue.objects.abulk_create(TalkValue(name=name) for name in "abcde")
    with override_settings(DATABINDING={"SNAPSHOT_CHUNK": 2}):
        async with Response(Talk, "intval") as source:
            await source.receive()  # retry
            ids = []
            while source.copy.cursor is None:
                await source.receive()
                ids.append(bool(source.last_event_id))
    assert ids == [False, False, False, True]  # The reply, and three parts.
    assert len(source.rows) == 5


async def test_silence_is_filled_with_comments(monkeypatch):
    """Where nothing happens a comment keeps proxies from ending the response."""
    monkeypatch.setattr(sse, "KEEPALIVE", 0.05)
    async with Response(Talk, "intval") as source:
        await source.until({})
        while source.comments < 2:
            await source.receive()
        await TalkValue.objects.acreate(name="a", value=1)
        await source.until(await stored(TalkValue))


async def test_a_response_ends_after_much(monkeypatch):
    """It ends where it can be resumed from, never inside a snapshot; its place is free again."""
    monkeypatch.setattr(sse, "MOST", 1)
    await TalkValue.objects.abulk_create(TalkValue(name=name) for name in "abc")
    with override_settings(DATABINDING={"SNAPSHOT_CHUNK": 1}):
        async with Response(Talk, "intval") as source:
            while not source.ended:
                await source.receive()
    assert source.rows == await stored(TalkValue)
    await eventually(lambda: users() == 0)


async def test_a_response_that_nobody_begins_with_gives_its_place_back():
    """A client that goes before the first byte leaves nothing behind."""
    request = AsyncRequestFactory().get("/")
    request.user = AnonymousUser()
    response = await sse_view(Talk)(request, stream="intval")
    assert users() == 1
    del response
    gc.collect()
    await eventually(lambda: users() == 0)


async def test_a_response_holds_no_connection_to_the_database():
    """What the request has opened in its thread is closed before the stream begins."""

    @sync_to_async
    def opened():
        return connection.connection is not None

    async with Response(Talk, "intval") as source:
        await TalkValue.objects.acount()
        assert await opened()
        await source.until({})
        assert not await opened()


async def test_a_database_that_is_away_is_503(monkeypatch):
    """Who can't be told who they are is asked to try again."""

    def away(self):
        raise OperationalError("away")

    monkeypatch.setattr(Talk, "connection_groups", away)
    async with Response(Talk, "intval") as source:
        assert source.refusal() == (
            "intval",
            503,
            ["The database is away or busy; try again."],
        )


async def test_a_fault_of_the_binding_is_500(monkeypatch, caplog):
    """What a binding raises is logged, and the client told no more than that it happened."""

    def broken(self):
        raise KeyError("secret")

    monkeypatch.setattr(Talk, "connection_groups", broken)
    async with Response(Talk, "intval") as source:
        assert source.refusal() == ("intval", 500, ["Something went wrong on the server."])
    assert "\nKeyError\n" in caplog.text


def test_other_methods_are_refused(client):
    """Only GET is answered."""
    assert client.post(PATH).status_code == 405


def test_without_asgi_it_says_so():
    """A server that can't wait for events is told to be another one."""
    view = sse_view(Talk)
    with pytest.raises(ImproperlyConfigured):
        asyncio.run(view(RequestFactory().get("/"), stream="intval"))
