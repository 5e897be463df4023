"""How much is too much: token buckets, connections of one user or address, at their edges."""

import asyncio
import contextlib
import json
import time
from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from databinding import crowd, session
from databinding.limits import UNIT, Tenancy, TokenBucket, cost
from tests.databinding.clients import PATIENCE, Client, eventually, named
from tests.databinding.events import Response
from tests.databinding.test_metrics import Change
from tests.shapes.bindings import Parrot
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

# A bucket, which is told the time


def test_a_bucket_holds_its_burst():
    """As much as it holds is fair at once, one more isn't."""
    bucket = TokenBucket(rate=1, burst=3, now=0)
    assert [bucket.take(1, now=0) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_fills_while_one_waits():
    """After the time that it names, one more is fair; a moment before it isn't."""
    for early, fair in ((0.01, False), (0, True)):
        bucket = TokenBucket(rate=2, burst=3, now=10)
        while bucket.take(1, now=10):
            pass
        assert bucket.take(1, now=10 + bucket.wait() - early) is fair


def test_who_goes_on_exhausts_it():
    """When as much was refused as it holds it is exhausted, and not before."""
    bucket = TokenBucket(rate=1, burst=3, now=0)
    seen = []
    for _ in range(7):
        bucket.take(1, now=0)
        seen.append(bucket.exhausted)
    assert seen == [False] * 6 + [True]


def test_what_is_larger_than_a_bucket_takes_all_of_it():
    """A frame that costs more than the burst is fair after a pause, and a debt then."""
    bucket = TokenBucket(rate=1, burst=3, now=0)
    assert bucket.take(5, now=0)
    assert bucket.wait() == 3
    assert not bucket.take(5, now=3)


def test_what_is_given_back_was_never_taken():
    """What is given back may be taken again, and never fills a bucket beyond its burst."""
    bucket = TokenBucket(rate=1, burst=2, now=0)
    for _ in range(10):
        assert bucket.take(1, now=0)
        bucket.give_back(1)
    bucket.give_back(5)
    assert bucket.level == 2


@given(
    st.floats(0.1, 1000),
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 70)), max_size=50),
)
def test_a_bucket_never_grants_more_than_its_rate(rate, burst, steps):
    """Whatever comes whenever: what is granted fits into the burst and what has flowed in since,
    but for the last, which may be a debt."""
    bucket, now, granted, last = TokenBucket(rate, burst, 0), 0.0, 0, 0
    for pause, amount in steps:
        now += pause
        if bucket.take(amount, now):
            granted, last = granted + amount, max(last, amount)
    assert granted <= burst + now * rate + last + 1e-6
    assert bucket.level <= burst


def test_large_frames_cost_more():
    """A frame costs one, and one more for each `UNIT` characters."""
    assert [cost(0), cost(UNIT - 1), cost(UNIT), cost(10 * UNIT)] == [1, 1, 2, 11]


def test_each_may_hold_so_many():
    """One more than the most is refused; what is given back makes room; nobody is remembered."""
    tenancy = Tenancy()
    assert [tenancy.take("a", 2) for _ in "123"] == [True, True, False]
    assert tenancy.take("b", 2)
    tenancy.give_back("a")
    assert tenancy.take("a", 2)
    for who in "aab":
        tenancy.give_back(who)
    assert len(tenancy) == 0


# Frames of one connection


SLOWLY = {"FRAME_RATE": 0.01, "FRAME_BURST": 5}


def database_settings(**more):
    return override_settings(DATABINDING=SLOWLY | more)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("frame", ["request", "nonsense", "foreign", "unknown"])
async def test_too_many_frames_are_refused_and_then_too_many(frame):
    """So many frames at once are served; more are answered 429; as many again, and it is over."""
    text = {
        "request": '{"stream":"intval","payload":{"action":"list","request_id":7}}',
        "foreign": '{"stream":"parrot","payload":{"action":"list","request_id":7}}',
        "unknown": '{"stream":"x","payload":{"action":"list","request_id":7}}',
        "nonsense": "{",
    }[frame]
    frames, closed = Change("limits_total", limit="frames"), Change("limits_total", limit="closed")
    streams = named({"intval": IntegerValueBinding, "parrot": Parrot}, ["intval-updates"])
    began = time.monotonic()
    with database_settings():
        async with Client(streams) as client:
            for _ in range(5):
                await client.send_text(text)
                assert '"response_status":429' not in await client.receive_text()
            for number in range(5):
                await client.send_text(text)
                answer = json.loads(await client.receive_text())
                assert answer["payload"]["response_status"] == 429
                assert answer["payload"]["errors"] == ["Too many frames came too fast."]
                # Less what has flowed in since it came.
                waited = 100 * (number + 2) - answer["payload"]["retry_after"]
                assert 0 <= waited <= time.monotonic() - began
                if frame in ("request", "foreign"):
                    assert answer["stream"] == json.loads(text)["stream"]
                    assert answer["payload"]["request_id"] == 7
                else:
                    assert answer["stream"] is None
            await client.send_text(text)
            assert await client.receive_output() == {"type": "websocket.close", "code": 4429}
    assert (await in_database(frames)(), await in_database(closed)()) == (6, 1)


@pytest.mark.django_db(transaction=True)
async def test_heartbeats_count_too():
    """A ping is answered also where a frame wouldn't be, until it is over."""
    with database_settings():
        async with Client(Demultiplexer) as client:
            for _ in range(10):
                await client.send_text("ping")
                assert await client.receive_text() == "pong!"
            await client.send("intval", "list", request_id=1)
            assert await client.receive_output() == {"type": "websocket.close", "code": 4429}


@pytest.mark.django_db(transaction=True)
async def test_who_pauses_is_served_again(monkeypatch):
    """After `retry_after` seconds a frame is worked on; what was refused was not."""
    now = 1_000.0
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now))
    with override_settings(DATABINDING={"FRAME_RATE": 2, "FRAME_BURST": 3}):
        async with Client(Demultiplexer) as client:
            for number in range(4):
                await client.send("intval", "create", data={"name": str(number)}, request_id=number)
            replies = [(await client.receive())["payload"] for _ in range(4)]
            (refused,) = [reply for reply in replies if reply["response_status"] == 429]
            assert (refused["request_id"], refused["action"]) == (3, "create")
            now += refused["retry_after"]
            assert (await client.ask("intval", "list"))["response_status"] == 200
    assert await IntegerValue.objects.acount() == 3


@pytest.mark.django_db(transaction=True)
async def test_acks_of_what_was_sent_cost_nothing():
    """However many frames a client is sent, it may acknowledge each; acks of nothing are frames."""
    row = await IntegerValue.objects.acreate(name="a")
    with database_settings():
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval", window=1)
            for value in range(1, 30):
                await IntegerValue.objects.aupdate(value=value)
                await client.until("intval", {row.pk: {"name": "a", "value": value}})
            assert not [f for f in client.frames if f["payload"].get("response_status") == 429]
            for _ in range(5):
                await client.send("intval", "ack", frames=1)
            assert (await client.receive())["payload"]["response_status"] == 429


@pytest.mark.django_db(transaction=True)
async def test_an_ack_opens_a_window_also_of_one_who_is_too_fast():
    """A client that is refused isn't left with a window that stays shut."""
    row = await IntegerValue.objects.acreate(name="a")
    with database_settings():
        async with Client(Demultiplexer) as client:
            client.acknowledging = False
            await client.subscribe("intval", window=1)
            for _ in range(5):
                await client.send_text("ping")
                assert await client.receive_text() == "pong!"
            assert (await client.ask("intval", "list"))["response_status"] == 429
            await IntegerValue.objects.aupdate(value=1)
            assert await client.nothing_comes()
            await client.acknowledge("intval")
            await client.until("intval", {row.pk: {"name": "a", "value": 1}})


@pytest.mark.django_db(transaction=True)
async def test_frames_that_wait_for_another_consumer():
    """Of frames that a carried consumer hasn't taken only MAX_REQUESTS wait; one more is 429."""
    taken, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Parrot):
        async def receive_json(self, content, **kwargs):
            taken.set()
            await go_on.wait()
            await super().receive_json(content, **kwargs)

    with override_settings(DATABINDING={"MAX_REQUESTS": 2}):
        async with Client(named({"slow": Slow}, [])) as client:
            for number in range(3):
                await client.send("slow", "say", number=number)
                await taken.wait()  # One is being worked on.
            assert await client.nothing_comes()
            await client.send("slow", "say", number=3)
            assert (await client.receive())["payload"]["response_status"] == 429
            go_on.set()
            said = [(await client.receive())["payload"]["said"]["number"] for _ in range(3)]
            assert said == [0, 1, 2]


@pytest.mark.django_db(transaction=True)
async def test_large_frames_are_fewer():
    """What is long counts as more than one frame."""
    with database_settings():
        async with Client(Demultiplexer) as client:
            await client.send_text(" " * 4 * UNIT)
            assert (await client.receive())["payload"]["response_status"] == 400
            assert (await client.ask("intval", "list"))["response_status"] == 429


@pytest.mark.alike
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_servers_close_who_is_too_fast(start_server, kind):
    """On real servers a flood ends with 4429, and another client is served meanwhile."""
    server = await in_database(start_server, thread_sensitive=False)(kind)
    async with (
        connect(server.websocket_url + "/stream/", subprotocols=["databinding"]) as flood,
        connect(server.websocket_url + "/stream/", subprotocols=["databinding"]) as other,
        asyncio.timeout(PATIENCE),
    ):
        statuses = set()

        async def read():
            with contextlib.suppress(ConnectionClosed):
                while True:
                    statuses.add(json.loads(await flood.recv())["payload"]["response_status"])

        # Who doesn't read meanwhile may have the connection cut off under the goodbye: daphne waits
        # a second for an answer to it.
        reading = asyncio.create_task(read())
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20):
                await asyncio.gather(*(flood.send("{") for _ in range(100)))
        await reading
        assert (statuses, flood.close_code) == ({400, 429}, 4429)
        await other.send("ping")
        assert await other.recv() == "pong!"
    assert "Traceback" not in server.log()


@pytest.mark.alike
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "length", "code"),
    [
        ("uvicorn", 262_145, 1009),
        ("uvicorn", 2**20 + 1, 1009),
        ("daphne", 262_145, 4009),  # It can't send 1009,
        ("daphne", 2**20 + 1, 1006),  # and of its own limit it says nothing.
    ],
)
async def test_servers_close_what_is_too_large(start_server, kind, length, code):
    """On real servers a frame of MAX_FRAME is read, and a larger one ends the connection."""
    server = await in_database(start_server, thread_sensitive=False)(kind)
    async with (
        connect(server.websocket_url + "/stream/", subprotocols=["databinding"]) as client,
        asyncio.timeout(PATIENCE),
    ):
        frame = '{"stream":"intval","payload":{"action":"list","request_id":1}}'
        await client.send(frame + " " * (262_144 - len(frame)))
        assert json.loads(await client.recv())["payload"]["response_status"] == 200
        await client.send("x" * length)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == code
    assert "Traceback" not in server.log()


# Connections of one user, and of one address


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert len(crowd._open) == 0


async def turned_away(client):
    """It is told why, and closed."""
    async with client:
        frame = await client.receive()
        assert frame["stream"] is None
        assert await client.receive_output() == {"type": "websocket.close", "code": 4429}
        return frame["payload"]["response_status"], frame["payload"]["errors"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("modern", [True, False])
async def test_connections_of_a_user(modern):
    """One more than the limit is answered 429 and closed with 4429; one that ends makes room."""
    ana, bob = [await User.objects.acreate(username=name) for name in ("ana", "bob")]
    counted = Change("limits_total", limit="user")
    with override_settings(DATABINDING={"MAX_USER_CONNECTIONS": 2}):
        async with Client(Demultiplexer, user=ana):
            async with Client(Demultiplexer, user=ana), Client(Demultiplexer, user=bob):
                assert await turned_away(Client(Demultiplexer, user=ana, modern=modern)) == (
                    429,
                    ["There are too many connections of this user."],
                )
            async with Client(Demultiplexer, user=ana) as again:
                await again.subscribe("intval")
    assert await in_database(counted)() == 1


@pytest.mark.django_db(transaction=True)
async def test_nobody_is_no_user():
    """Visitors who aren't logged in are many."""
    with override_settings(DATABINDING={"MAX_USER_CONNECTIONS": 1}):
        async with (
            Client(Demultiplexer, user=AnonymousUser()),
            Client(Demultiplexer, user=AnonymousUser()) as second,
        ):
            await second.subscribe("intval")


@pytest.mark.django_db(transaction=True)
async def test_connections_of_an_address():
    """An IPv6 network counts as one address, whoever its users are; another one is another."""
    counted = Change("limits_total", limit="address")
    with override_settings(DATABINDING={"MAX_ADDRESS_CONNECTIONS": 2}):
        async with (
            Client(Demultiplexer, client=("2001:db8::1", 1)),
            Client(Demultiplexer, client=("2001:db8::2", 1)),
            Client(Demultiplexer, client=("2001:db8:0:1::1", 1)),
        ):
            assert await turned_away(Client(Demultiplexer, client=("2001:db8::3", 1))) == (
                429,
                ["There are too many connections of this address."],
            )
        async with Client(Demultiplexer, client=("2001:db8::3", 1)) as again:
            await again.subscribe("intval")
    assert await in_database(counted)() == 1


@pytest.mark.django_db(transaction=True)
async def test_this_machine_is_no_address():
    """A proxy that nobody told of stands for many: connections of this machine aren't counted."""
    with override_settings(DATABINDING={"MAX_ADDRESS_CONNECTIONS": 1}):
        async with (
            Client(Demultiplexer, client=("127.0.0.1", 1)),
            Client(Demultiplexer, client=("127.0.0.1", 2)) as second,
            Client(Demultiplexer, client=None),
            Client(Demultiplexer, client=None) as fourth,
        ):
            await second.subscribe("intval")
            await fourth.subscribe("intval")


@pytest.mark.django_db(transaction=True)
async def test_connections_behind_proxies():
    """With TRUSTED_PROXIES each client counts by itself, and none by what it claims."""

    def claiming(text):
        headers = [(b"x-forwarded-for", text.encode())]
        return Client(Demultiplexer, headers=headers, client=("10.0.0.9", 1))

    with override_settings(DATABINDING={"MAX_ADDRESS_CONNECTIONS": 1, "TRUSTED_PROXIES": 1}):
        async with claiming("192.0.2.1"), claiming("192.0.2.2"):
            status, _ = await turned_away(claiming("192.0.2.3, 192.0.2.1"))
            assert status == 429


@pytest.mark.django_db(transaction=True)
async def test_event_streams_count_too():
    """Connections of server-sent events are a user's connections as websockets are."""
    ana = await User.objects.acreate(username="ana")
    with override_settings(DATABINDING={"MAX_USER_CONNECTIONS": 1}):
        async with Response(Demultiplexer, "intval", user=ana) as source:
            await source.until({})
            status, _ = await turned_away(Client(Demultiplexer, user=ana))
            assert status == 429
            async with Response(Demultiplexer, "intval", user=ana) as second:
                assert second.refusal() == (
                    "intval",
                    429,
                    ["There are too many connections of this user."],
                )
        await eventually(lambda: len(crowd._open) == 0)
        async with Client(Demultiplexer, user=ana) as client:
            await client.subscribe("intval")


@pytest.mark.alike
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_servers_turn_away_whoever_is_too_many(start_server, kind):
    """On real servers the one too many is told so in words and by its close code."""
    configured = {"MAX_ADDRESS_CONNECTIONS": 1, "TRUSTED_PROXIES": 1}
    server = await in_database(start_server, thread_sensitive=False)(
        kind, settings="tests.faults.settings", DATABINDING=json.dumps(configured)
    )

    def coming(address):
        return connect(
            server.websocket_url + "/stream/",
            subprotocols=["databinding"],
            additional_headers={"X-Forwarded-For": address},
        )

    async with (
        coming("192.0.2.1") as first,
        coming("192.0.2.1") as second,
        coming("192.0.2.2") as other,
        asyncio.timeout(PATIENCE),
    ):
        answer = json.loads(await second.recv())
        assert answer["payload"]["response_status"] == 429
        with pytest.raises(ConnectionClosed) as ended:
            await second.recv()
        assert ended.value.rcvd.code == 4429
        for one in (first, other):
            await one.send("ping")
            assert await one.recv() == "pong!"
