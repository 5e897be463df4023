"""PostgreSQL: what others have locked is waited for, but not for ever."""

from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError
from django.db.models import Count
from django.test import override_settings

from databinding import journal as journals
from databinding import triggers
from databinding.journal.postgresql import PostgreSQLJournal
from databinding.relay import relay_for
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, eventually, named
from tests.databinding.programs import connect
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import Open
from tests.shapes.models import Message, Named, Paper, Room
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

BRIEFLY = override_settings(DATABINDING={"DATABASE_TIMEOUT": 0.1})


async def test_a_row_that_is_locked_for_long_is_answered_503():
    """Who writes a row that another transaction holds waits for DATABASE_TIMEOUT, not for ever."""
    pk = (await in_database(IntegerValue.objects.create)(name="a")).pk
    with closing(connect()) as other, BRIEFLY:
        other.execute("UPDATE talk_integervalue SET value = 1")
        async with Client(Demultiplexer) as client:
            for action, more in (("update", {"data": {"value": 2}}), ("delete", {})):
                reply = await client.ask("intval", action, pk=pk, **more)
                assert reply["response_status"] == 503, reply
            other.commit()
            reply = await client.ask("intval", "update", pk=pk, data={"name": "b"})
            assert reply["data"] == {"name": "b", "value": 1}


async def test_a_locked_table_holds_up_its_own_stream_alone(monkeypatch):
    """While somebody has a table for himself other streams go on, its new subscribers are answered
    503, and what he did is told when he is done."""
    monkeypatch.setattr(PostgreSQLJournal, "lock_wait", 50)

    @in_database
    def prepare():
        room = Room.objects.create(name="r")
        Named.objects.create(code="a")
        return room.pk, Message.objects.create(room=room, text="a").pk

    room, pk = await prepare()
    data = {"room": room, "text": "a", "hidden": False, "tags": []}
    here, elsewhere = ({"kwargs": {"rooms": str(one)}} for one in (room, room + 1))
    with closing(connect()) as other:
        async with (
            Client(Shapes, url_route=here) as client,
            Client(Shapes, url_route=elsewhere) as late,
        ):
            await client.subscribe("named")
            await client.subscribe("message")
            assert client.rows["message"] == {pk: data}
            other.execute("LOCK TABLE shapes_message IN ACCESS EXCLUSIVE MODE")
            await in_database(journals.append)("default", [("shapes.message", str(pk))])
            await in_database(Named.objects.update)(value=5)
            await client.until("named", {"a": {"value": 5}})
            await eventually(lambda: relay_for("default").tally.owed)
            reply = await late.ask("message", "subscribe")
            assert reply["response_status"] == 503, reply
            other.execute("UPDATE shapes_message SET text = 'b'")
            other.commit()
            await client.until("message", {pk: data | {"text": "b"}})
            await late.subscribe("message")


def test_triggers_wait_for_a_writer_no_longer_than_a_request():
    """`migrate` gives up where a table stays busy, before all its writers have queued up."""
    triggers.uninstall("default")
    try:
        with closing(connect()) as other, BRIEFLY:
            other.execute("INSERT INTO talk_integervalue (name, value) VALUES ('a', 1)")
            with pytest.raises(OperationalError, match="lock timeout"):
                triggers.install("default")
    finally:
        triggers.install("default")
    assert not triggers.drift("default")


async def test_rows_of_any_queryset_can_be_written(registry_as_it_was):
    """A row is locked by itself: what its binding's queryset joins and groups is no matter."""

    class JoinedBinding(Open, WebsocketBinding):
        model = Paper
        fields = ["amount", "room"]

        @classmethod
        def get_queryset(cls):
            return Paper.objects.select_related("room").annotate(n=Count("room")).distinct()

        @classmethod
        def group_names(cls, instance):
            return ["papers"]

    paper = await in_database(Paper.objects.create)(amount=1)
    async with Client(named({"paper": JoinedBinding}, ["papers"])) as client:
        reply = await client.ask("paper", "update", pk=str(paper.pk), data={"amount": "2.00"})
        assert reply["data"] == {"amount": "2.00", "room": None}, reply
        reply = await client.ask("paper", "delete", pk=str(paper.pk))
        assert reply["response_status"] == 204, reply
