"""PostgreSQL behind a transaction pooler: each transaction may be on another session."""

import re
from contextlib import suppress
from io import StringIO

import pytest
from asgiref.sync import SyncToAsync
from channels.db import database_sync_to_async as in_database
from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.signals import connection_created
from psycopg.pq import ExecStatus, TransactionStatus

from databinding import triggers
from databinding.models import JournalEntry
from databinding.relay import stop_relays
from tests.databinding.clients import Client
from tests.shapes.bindings import Demultiplexer
from tests.shapes.models import Message, Named, Room, Tag

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

#: What would need the same session again.
OF_A_SESSION = re.compile(
    r"^\s*(SET (?!LOCAL|TRANSACTION)|RESET|LISTEN|PREPARE (?!TRANSACTION)|DECLARE .* WITH HOLD)"
    r"|CREATE (GLOBAL |LOCAL )?TEMP|pg_(try_)?advisory_lock|set_config\([^)]*false\s*\)",
    re.IGNORECASE | re.DOTALL,
)


class Pooled:
    """Between any two transactions the session forgets what it was told, as another one would."""

    def __init__(self):
        self.statements = []

    def attach(self, connection, **kwargs):
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)

    def detach(self):
        if self in connections["default"].execute_wrappers:
            connections["default"].execute_wrappers.remove(self)

    def __call__(self, execute, sql, params, many, context):
        raw = context["connection"].connection
        self.statements.append(str(sql))
        self.forget(raw)
        result = execute(sql, params, many, context)
        self.forget(raw)
        return result

    def forget(self, raw):
        if raw.info.transaction_status == TransactionStatus.IDLE:
            assert raw.pgconn.exec_(b"DISCARD ALL").status == ExecStatus.COMMAND_OK


@pytest.fixture
def pooled(transactional_db):
    one = Pooled()
    executor = SyncToAsync.single_thread_executor
    connection.close()
    executor.submit(connections.close_all).result()
    connection_created.connect(one.attach)
    yield one
    connection_created.disconnect(one.attach)
    stop_relays()
    one.detach()
    executor.submit(one.detach).result()
    assert not [sql for sql in one.statements if OF_A_SESSION.search(sql)]


async def test_nothing_lasts_longer_than_a_transaction(pooled):
    """Pages, their writes and resumes, pruning, epochs and triggers all work from transaction to
    transaction; no statement leaves anything behind in its session."""

    @in_database
    def prepare():
        room, tag = Room.objects.create(name="r"), Tag.objects.create(name="t")
        Named.objects.bulk_create(Named(code=f"n{number}") for number in range(50))
        return room.pk, tag.pk

    @in_database
    def keep_house():
        call_command("databinding_prune", "--retention", "0.001", verbosity=0)
        call_command("databinding_new_epoch", verbosity=0)
        with suppress(SystemExit):  # its way to say that something is wrong
            call_command("databinding_status", stdout=StringIO())
        triggers.uninstall("default")
        call_command("migrate", verbosity=0)

    room, tag = await prepare()
    route = {"kwargs": {"rooms": str(room)}}
    async with Client(Demultiplexer, url_route=route) as client:
        await client.subscribe("message", window=2)
        await client.subscribe("named")
        assert len(client.rows["named"]) == 50
        data = {"room": room, "text": "a", "tags": [tag]}
        reply = await client.ask("message", "create", data=data)
        assert reply["response_status"] == 201, reply
        pk = reply["pk"]
        reply = await client.ask("message", "update", pk=pk, data={"text": "b"})
        assert client.rows["message"] == {pk: reply["data"]}
        assert (await client.ask("message", "retrieve", pk=pk))["data"] == reply["data"]
        assert len((await client.ask("named", "list"))["data"]) == 50
        cursor = client.cursors["message"]
    await in_database(Message.objects.update)(text="c")
    async with Client(Demultiplexer, url_route=route) as client:
        assert await client.subscribe("message", cursor=cursor)
        assert client.rows["message"][pk]["text"] == "c"
        await keep_house()
        await in_database(Message.objects.update)(text="d")
        while client.rows["message"][pk]["text"] != "d":
            await client.receive()
        assert (await client.ask("message", "delete", pk=pk))["response_status"] == 204
        assert client.rows["message"] == {}
    assert await in_database(JournalEntry.objects.count)()
    assert len(pooled.statements) > 100
