"""A database that was restored: `databinding_new_epoch`, and why it is there."""

import asyncio
import sqlite3
import subprocess
from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.management import CommandError, call_command
from django.db import connection, connections

from databinding import journal as journals
from databinding.models import Epoch, JournalEntry, Mark
from databinding.relay import stop_relays
from tests.databinding.clients import Client
from tests.databinding.programs import connect
from tests.postgresql import find_programs
from tests.servers import PATIENCE, command
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


def state_of(journal):
    with journal.snapshot():
        return journal.state()


def new_epoch():
    call_command("databinding_new_epoch", verbosity=0)


async def resumed(cursor):
    """Subscribe with a cursor, to a process just started: was it honoured, and which rows came?"""
    await asyncio.to_thread(stop_relays)
    async with Client(Demultiplexer) as client:
        honoured = await client.subscribe("intval", cursor=cursor)
        return honoured, client.rows["intval"]


async def test_a_new_epoch_voids_every_cursor(database, capsys):
    """After the command a cursor that was good gets a snapshot; cursors from then on resume."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor, rows = client.cursors["intval"], client.rows["intval"]
    assert rows == {row.pk: {"name": "a", "value": 0}}
    assert await resumed(cursor) == (True, {})
    await in_database(call_command)("databinding_new_epoch")
    assert capsys.readouterr().out == "default: a new epoch; pages get snapshots.\n"
    assert await resumed(cursor) == (False, rows)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor = client.cursors["intval"]
    assert await resumed(cursor) == (True, {})


async def test_a_running_server_reads_anew(database):
    """What reached the database without being captured is on open pages after the command."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await in_database(write_unseen)("UPDATE talk_integervalue SET value = 7")
        await in_database(new_epoch)()
        await client.until("intval", {row.pk: {"name": "a", "value": 7}})


def write_unseen(statement):
    """Write as a restore does: no trigger fires."""
    if connection.vendor == "postgresql":
        with closing(connect()) as other:
            other.execute("SET session_replication_role = replica")
            other.execute(statement)
            other.commit()
        return
    with closing(connect()) as other:
        mine = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = other.execute(mine).fetchall()
        for name, _ in triggers:
            other.execute(f'DROP TRIGGER "{name}"')
        other.execute(statement)
        for _, sql in triggers:
            other.execute(sql)
        other.commit()


def test_the_command_names_its_errors(tmp_path):
    """An unknown database and one that isn't migrated are told in a sentence."""
    with pytest.raises(CommandError, match="No bound model is on 'other'; they are on"):
        call_command("databinding_new_epoch", database="other")
    with command(tmp_path / "db.sqlite3", "databinding_new_epoch") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors == "CommandError: 'default' has no journal yet: run migrate first.\n"


# SQLite: the backup is put into the file that servers have open


@pytest.mark.sqlite
async def test_a_restored_file_of_sqlite(database, tmp_path):
    """After a restore and the command pages show what the backup held, whatever their cursor."""
    copy = tmp_path / "copy.sqlite3"

    @in_database
    def prepare():
        row = IntegerValue.objects.create(name="kept", value=1)
        back_up(database, copy)
        IntegerValue.objects.update(value=2)
        return row.pk

    pk = await prepare()
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        assert client.rows["intval"] == {pk: {"name": "kept", "value": 2}}
        cursor = client.cursors["intval"]
        await in_database(back_up)(copy, database)
        await in_database(new_epoch)()
        await client.until("intval", {pk: {"name": "kept", "value": 1}})
    assert await resumed(cursor) == (False, {pk: {"name": "kept", "value": 1}})


def back_up(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


# PostgreSQL: pg_dump and pg_restore


def run(cluster, program, *arguments):
    """One of PostgreSQL's client programs on that cluster."""
    made = subprocess.run(
        [find_programs() / program, "--host", cluster.socket, "--username=postgres", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert made.returncode == 0, made.stderr


def dump(cluster, path):
    run(cluster, "pg_dump", "--format=custom", "--file", path, "app")


def restore(cluster, path):
    run(
        cluster,
        *("pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname=app", path),
    )


@pytest.mark.postgresql
async def test_a_restored_dump_that_has_the_witness(cluster, tmp_path):
    """A dump may lack a commit of which a cursor's witness tells: the command voids the cursor."""
    path = tmp_path / "dump"

    @in_database
    def prepare():
        new_epoch()  # as there is one wherever a server has run
        rows = [IntegerValue.objects.create(name=name) for name in ("early", "late")]
        with closing(connect()) as late:
            late.execute("UPDATE talk_integervalue SET value = 1 WHERE name = 'late'")
            IntegerValue.objects.filter(name="early").update(value=1)
            dump(cluster, path)
            late.commit()
        return [row.pk for row in rows]

    early, late = await prepare()
    before = {early: {"name": "early", "value": 1}, late: {"name": "late", "value": 1}}
    after = before | {late: {"name": "late", "value": 0}}
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor = client.cursors["intval"]
        assert client.rows["intval"] == before
    await asyncio.to_thread(stop_relays)
    await in_database(connections.close_all)()
    await in_database(restore)(cluster, path)
    await in_database(new_epoch)()
    assert await resumed(cursor) == (False, after)


@pytest.mark.postgresql
async def test_pages_follow_a_restored_dump(cluster, tmp_path):
    """A dump restored under running servers is on their pages after the command."""
    path = tmp_path / "dump"

    @in_database
    def prepare():
        row = IntegerValue.objects.create(name="kept", value=1)
        dump(cluster, path)
        IntegerValue.objects.create(name="lost")
        return row.pk

    pk = await prepare()
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        assert len(client.rows["intval"]) == 2
        await in_database(restore)(cluster, path)
        await in_database(new_epoch)()
        await client.until("intval", {pk: {"name": "kept", "value": 1}})


@pytest.mark.postgresql
def test_marks_of_another_cluster_void_nothing(transactional_db):
    """A restored journal was pruned by transaction ids that lie in our future: positions taken
    after the new epoch are honoured all the same, and nothing is pruned by them."""
    journal = journals.open_journal("default")
    journal.new_epoch()
    Mark.objects.create(position=10**15, recorded_at="2020-01-01T00:00Z")
    Epoch.objects.update(pruned=10**15)
    new_epoch()
    journals.append("default", [("m", "1"), ("m", "2")])
    state = state_of(journal)
    with journal.snapshot():
        assert journal.honours(state.position, state)
    assert journal.prune(1) == 0
    assert JournalEntry.objects.filter(model="m").count() == 2
