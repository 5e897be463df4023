"""`/metrics`: what Prometheus is told."""

import json
import urllib.request
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic
from websockets.asyncio.client import connect

from databinding import inspection, triggers
from databinding import journal as journals
from databinding.metrics import FAMILIES
from databinding.models import Mark
from tests.databinding.clients import Client, Socket, eventually
from tests.redis import Redis
from tests.servers import PATIENCE
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "for tests only"
DATABASE = {"database": "default"}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A database that a busy machine has no time for isn't away."""
    monkeypatch.setattr(inspection, "PATIENCE", PATIENCE)


def value(name, **labels):
    return REGISTRY.get_sample_value(f"databinding_{name}", labels)


class Change:
    """How much a metric has grown since this was made: counters are the process's."""

    def __init__(self, name, **labels):
        self.now = lambda: value(name, **labels) or 0
        self.before = self.now()

    def __call__(self):
        return self.now() - self.before


async def measured(name, **labels):
    return await in_database(value)(name, **labels)


# Access


async def test_without_a_token_nobody_is_served(async_client):
    """Where the project sets no token there are no metrics, for whatever is brought."""
    with override_settings(DATABINDING={}):
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
            response = await async_client.get("/metrics", headers=headers)
            assert response.status_code == 404
            assert b"databinding_" not in response.content


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", TOKEN])
async def test_who_brings_another_token_is_not_served(async_client, authorization):
    """Anything but the bearer token is answered 401."""
    headers = {} if authorization is None else {"Authorization": authorization}
    with override_settings(DATABINDING={"METRICS_TOKEN": TOKEN}):
        response = await async_client.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert b"databinding_" not in response.content


@pytest.mark.parametrize(
    ("accept", "kind", "parse"),
    [
        (None, "text/plain", classic),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text",
            openmetrics,
        ),
    ],
)
async def test_who_brings_the_token_is_served(async_client, accept, kind, parse):
    """With the token every metric is served, in the form that the scraper asks for, uncached."""
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Accept": accept} if accept else {})
    with override_settings(DATABINDING={"METRICS_TOKEN": TOKEN}):
        response = await async_client.get("/metrics", headers=headers)
    assert response.status_code == 200
    assert response["Content-Type"].startswith(kind)
    assert "no-store" in response["Cache-Control"]
    found = {family.name for family in parse(response.content.decode())}
    assert {name.removesuffix("_total") for name in FAMILIES} <= found
    assert "process_resident_memory_bytes" in found


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_server_tells_of_itself(start_server, kind):
    """A real server counts its websockets, frames and doorbells, and is asked over HTTP."""
    with Redis() as redis:
        server = start_server(kind, METRICS_TOKEN=TOKEN, **redis.environment())
        request = urllib.request.Request(
            f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )

        def scraped():
            with urllib.request.urlopen(request) as response:
                families = list(classic(response.read().decode()))
            samples = [sample for family in families for sample in family.samples]
            return {(one.name, *one.labels.values()): one.value for one in samples}

        async with connect(server.websocket_url + "/stream/", subprotocols=["databinding"]) as live:
            payload = {"action": "subscribe", "request_id": 1}
            await live.send(json.dumps({"stream": "intval", "payload": payload}))
            for _ in ("reply", "snapshot"):
                await live.recv()
            found = scraped()
            assert found["databinding_connections",] == 1
            assert found["databinding_subscriptions", "intval"] == 1
            assert found["databinding_frames_sent_total",] == 2
            assert found["databinding_snapshots_total",] == 1
            await eventually(lambda: scraped()["databinding_doorbell_up",] == 1)
            # Asked for the first time a busy machine takes longer to tell than anybody waits.
            await eventually(lambda: scraped()["databinding_database_up", "default"] == 1)
        await eventually(lambda: scraped()["databinding_connections",] == 0)


# What is counted


async def test_subscriptions_frames_and_events(database):
    """Who is connected and subscribed is told as it is, what was sent as it was."""
    events, frames = Change("events_sent_total"), Change("frames_sent_total")
    opened, snapshots = Change("connections_opened_total"), Change("snapshots_total")
    delivered = Change("delivery_seconds_count")
    async with Client(Demultiplexer) as one, Client(Demultiplexer) as other:
        for client in (one, other):
            await client.subscribe("intval")
        assert await measured("connections") == 2
        assert await measured("subscriptions", stream="intval") == 2
        assert await measured("relay_running", **DATABASE) == 1
        row = await in_database(IntegerValue.objects.create)(name="a")
        for client in (one, other):
            await client.until("intval", {row.pk: {"name": "a", "value": 0}})
        assert await measured("relay_rows", **DATABASE) == 1
        assert events() == 2
        assert frames() == 6  # reply, snapshot and batch for each
        assert (opened(), snapshots()) == (2, 2)
        assert delivered() >= 1
    assert await measured("connections") == 0


async def test_resumes(database):
    """A cursor that is honoured and one that isn't are told apart."""
    honoured = Change("resumes_total", outcome="honoured")
    refused = Change("resumes_total", outcome="refused")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor = client.cursors["intval"]
    async with Client(Demultiplexer) as client:
        assert await client.subscribe("intval", cursor=cursor)
        assert (honoured(), refused()) == (1, 0)
    async with Client(Demultiplexer) as client:
        assert not await client.subscribe("intval", cursor="forged")
        assert (honoured(), refused()) == (1, 1)


async def test_the_relay(database):
    """Passes, keys and refreshes are counted, delays measured; at rest nothing is behind."""
    keys, passes = (
        Change("relay_keys_read_total", **DATABASE),
        Change("relay_pass_seconds_count", **DATABASE),
    )
    delays = Change("relay_delay_seconds_count", **DATABASE)
    refreshes = Change("relay_refreshes_total", **DATABASE)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        rows = await in_database(IntegerValue.objects.bulk_create)(
            [IntegerValue(name=name) for name in "abc"]
        )
        await client.until("intval", {row.pk: {"name": row.name, "value": 0} for row in rows})
        await eventually(lambda: keys() == 3)
        await eventually(lambda: delays() >= 1)
        await eventually(lambda: passes() >= 2)
        assert refreshes() == 0
        with override_settings(DATABINDING={"KEY_LIMIT": 2}):
            await in_database(IntegerValue.objects.update)(value=1)
            await client.until("intval", {row.pk: {"name": row.name, "value": 1} for row in rows})
        await eventually(lambda: refreshes() == 1)
        await eventually(lambda: value("relay_behind_seconds", **DATABASE) == 0)
        assert await measured("relay_last_pass_timestamp_seconds", **DATABASE) > 1.7e9


async def test_a_database_that_is_away(database, monkeypatch):
    """While passes fail the relay is ever further behind, and they are counted."""

    def away(self):
        raise OperationalError("away")

    failures = Change("relay_failures_total", **DATABASE)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        with monkeypatch.context() as patched:
            patched.setattr(type(journals.open_journal("default")), "grown", away)
            await eventually(lambda: failures() >= 2)
            first = await measured("relay_behind_seconds", **DATABASE)
            await eventually(lambda: value("relay_behind_seconds", **DATABASE) > first > 0)
        await eventually(lambda: value("relay_behind_seconds", **DATABASE) == 0)


async def test_rows_that_are_owed(database, monkeypatch):
    """A row that can't be rendered is told until it can."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    render = IntegerValueBinding.serialize_data

    def fail(self, instance):
        raise ValueError("not this one")

    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        with monkeypatch.context() as patched:
            patched.setattr(IntegerValueBinding, "serialize_data", fail)
            await in_database(IntegerValue.objects.update)(value=1)
            await eventually(lambda: value("relay_owed_rows", **DATABASE) == 1)
        assert IntegerValueBinding.serialize_data is render
        await client.until("intval", {row.pk: {"name": "a", "value": 1}})
        await eventually(lambda: value("relay_owed_rows", **DATABASE) == 0)


async def test_clients_that_do_not_read(database):
    """A client that doesn't read is told as blocked, one that doesn't acknowledge as held back."""
    async with Socket(Demultiplexer) as silent, Socket(Demultiplexer) as slow:
        silent.say("intval", "subscribe", request_id=1)
        slow.say("intval", "subscribe", request_id=1, window=1)
        for one in (silent, slow):
            await one.reply(1)
            await one.until("intval", {})
        await eventually(lambda: value("subscriptions_held_back", stream="intval") == 1)
        assert await measured("connections_blocked") == 0
        silent.stall()
        await in_database(IntegerValue.objects.create)(name="a")
        await eventually(lambda: value("connections_blocked") == 1)
        silent.say("intval", "list", request_id=2)
        await eventually(lambda: value("replies_waiting") == 1)
        silent.read_on()
        await eventually(lambda: value("connections_blocked") == 0)
        assert await measured("replies_waiting") == 0
        slow.say("intval", "ack", frames=1)
        await eventually(lambda: len(slow.copy("intval")) == 1)


def test_the_journal_and_its_triggers(monkeypatch):
    """The journal's size and triggers out of step are told, and for how long back it tells all."""
    monkeypatch.setattr(inspection, "FRESH", 0)
    inspection._questions.clear()
    before = value("journal_entries", **DATABASE)
    IntegerValue.objects.bulk_create(IntegerValue(name=name) for name in "abc")
    assert value("journal_entries", **DATABASE) == before + 3
    assert value("triggers_out_of_step", **DATABASE) == 0
    assert value("journal_kept_seconds", **DATABASE) is None
    Mark.objects.create(position=0, recorded_at=timezone.now() - timedelta(seconds=600))
    assert 600 <= value("journal_kept_seconds", **DATABASE) < 660
    wanted = len(triggers.wanted("default"))
    triggers.uninstall("default")
    try:
        assert value("triggers_out_of_step", **DATABASE) == wanted
    finally:
        triggers.install("default")


def test_a_database_that_does_not_answer(monkeypatch):
    """A database that is away is told as down, and nothing else is said of it."""
    monkeypatch.setattr(inspection, "FRESH", 0)
    inspection._questions.clear()
    assert value("database_up", **DATABASE) == 1

    def away(alias):
        raise OperationalError("away")

    monkeypatch.setattr(inspection, "_look", away)
    assert value("database_up", **DATABASE) == 0
    assert value("journal_entries", **DATABASE) is None
