"""Large snapshots: frame by frame, as the client takes them."""

import json

import pytest
from channels.db import database_sync_to_async as in_database
from django.test import override_settings

from databinding import protocol, reading
from databinding.subscription import Subscription
from tests.databinding.clients import Client
from tests.shapes.models import Named
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


@in_database
def create(many):
    IntegerValue.objects.bulk_create(IntegerValue(name=f"n{i}") for i in range(many))


@in_database
def rows():
    return {row.pk: {"name": row.name, "value": row.value} for row in IntegerValue.objects.all()}


@pytest.mark.parametrize("limit", [100, 2], ids=["held", "paged"])
async def test_the_frames_of_a_snapshot_count_for_the_window(limit):
    """Of a large snapshot no more frames come than the window lets through, then the rest."""
    await create(10)
    with override_settings(DATABINDING={"GROUP_LIMIT": limit, "SNAPSHOT_CHUNK": 2}):
        async with Client(Demultiplexer) as client:
            await client.send("intval", "subscribe", window=2)
            came = [await client.receive_text() for _ in range(3)]
            assert await client.nothing_comes()
            assert [json.loads(text).get("cursor") for text in came] == [None, "", ""]
            await client.send("intval", "ack", frames=1)
            came = [await client.receive_text()]
            assert await client.nothing_comes()
            await client.send("intval", "ack", frames=2)
            came = [json.loads(await client.receive_text()) for _ in range(2)]
            assert [bool(frame["cursor"]) for frame in came] == [False, True]


async def test_who_joins_while_only_other_rows_change_shares_a_snapshot(monkeypatch):
    """Of rows that nobody has changed frames are made once, whatever else was committed."""
    await create(6)
    made = []
    whole = protocol.snapshot

    def snapshot(stream, items, cursor=protocol.NO_CURSOR):
        made.append(cursor)
        return whole(stream, items, cursor)

    monkeypatch.setattr(protocol, "snapshot", snapshot)
    with override_settings(DATABINDING={"SNAPSHOT_CHUNK": 2}):
        async with Client(Demultiplexer) as client, Client(Demultiplexer) as other:
            await client.subscribe("intval")
            await in_database(Named.objects.create)(code="elsewhere")
            await other.subscribe("intval")
            assert client.rows == other.rows == {"intval": await rows()}
            assert client.cursors != other.cursors
            assert [bool(cursor) for cursor in made] == [False, False, True, True]
            await in_database(IntegerValue.objects.update)(value=7)
            await client.until("intval", await rows())
            await other.subscribe("intval")
            assert other.rows == {"intval": await rows()}


async def test_a_snapshot_taken_slowly_is_of_one_state():
    """However long it takes, a snapshot is what was there at its beginning; then comes the rest."""
    await create(6)
    with override_settings(DATABINDING={"SNAPSHOT_CHUNK": 2}):
        async with Client(Demultiplexer) as other, Client(Demultiplexer) as client:
            await other.subscribe("intval")
            await client.send("intval", "subscribe", window=1)
            came = [json.loads(await client.receive_text()) for _ in range(2)]
            await in_database(IntegerValue.objects.update)(value=7)
            await in_database(IntegerValue.objects.filter(name__in=["n2", "n5"]).delete)()
            await other.until("intval", await rows())
            for _ in range(3):
                await client.send("intval", "ack", frames=1)
                came.append(json.loads(await client.receive_text()))
    _, *snapshot, batch = [frame["payload"] for frame in came]
    items = [item["data"] for payload in snapshot for item in payload["items"]]
    assert items == [{"name": f"n{i}", "value": 0} for i in range(6)]
    assert sorted(event["action"] for event in batch["events"]) == ["delete"] * 2 + ["update"] * 4


async def test_a_stream_whose_pages_fail_goes_on_when_they_work_again(monkeypatch, caplog):
    """A snapshot whose next page can't be read is taken up again, not left for ever."""
    page = reading.Reader.page
    failures = [RuntimeError("bug")]

    def failing(self, binding, after, size):
        if after is not None and failures:
            raise failures.pop()
        return page(self, binding, after, size)

    await create(6)
    monkeypatch.setattr(reading.Reader, "page", failing)
    monkeypatch.setattr(Subscription, "AWAY", 0.01)
    with override_settings(DATABINDING={"GROUP_LIMIT": 1, "SNAPSHOT_CHUNK": 2}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await client.until("intval", await rows())
    assert "snapshot can't be read" in caplog.text
