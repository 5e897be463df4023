"""Databases that crash, and disks that are full."""

import asyncio
import os
import re
import signal
from contextlib import closing, suppress

import psycopg
import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction
from django.db.models import F

from databinding.testing.copy import constant_sum, never_shrinks
from tests.faults.pages import Page, converge, fill, open_pages
from tests.postgresql import PostgreSQL
from tests.servers import PATIENCE, Server, command, shell, wait_until
from values.models import IntegerValue

#: Counts without end, whatever becomes of the database.
COUNTING = """
import time
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F
from values.models import IntegerValue as Model

while True:
    try:
        Model.objects.update(value=F("value") + 1)
    except (DatabaseError, InterfaceError):
        connection.close()
    time.sleep(0.02)
"""


@pytest.fixture
def own_postgresql(monkeypatch):
    """A cluster that may crash: what is started on the database `app` is on it."""
    with PostgreSQL() as postgresql:
        for name, value in postgresql.environment().items():
            monkeypatch.setenv(name, value)
        with command("app", "migrate", "--verbosity", "0") as migrate:
            _, errors = migrate.communicate(timeout=2 * PATIENCE)
        assert migrate.returncode == 0, errors
        yield postgresql


def kill_a_backend(postgresql):
    """As `kill -9` of one connection's process: PostgreSQL ends all others and recovers."""
    with suppress(psycopg.OperationalError), postgresql.connect() as psql:
        (pid,) = psql.execute("SELECT pg_backend_pid()").fetchone()
        os.kill(pid, signal.SIGKILL)
        psql.execute("SELECT 1")


#: What happens to it, and what brings it back.
CRASHES = {
    "stopped at once": (PostgreSQL.crash, PostgreSQL.start),
    "a process of it killed": (kill_a_backend, lambda postgresql: None),
}


@pytest.mark.postgresql
@pytest.mark.parametrize("how", CRASHES)
async def test_a_postgresql_that_crashes_again_and_again(how, own_postgresql, start_program):
    """What is committed before and after each crash is seen, by pages that stay connected."""

    def in_cluster():
        found = []

        def answers():
            with suppress(psycopg.OperationalError), own_postgresql.connect() as psql:
                rows = psql.execute("SELECT id, name, value FROM values_integervalue")
                found.append(rows.fetchall())
            return found

        wait_until(answers)  # It may be recovering.
        return {pk: {"name": name, "value": value} for pk, name, value in found[0]}

    begin, end = CRASHES[how]
    create = "from values.models import *; IntegerValue.objects.create(name='counted')"
    await asyncio.to_thread(shell, "app", create)
    server = Server("uvicorn", "app")
    writer = start_program("app", COUNTING)

    def shown(page):
        return max((row["value"] for row in page.rows.values()), default=-1)

    async def crash(page):
        count = max(row["value"] for row in (await asyncio.to_thread(in_cluster)).values())
        await page.sees(lambda: shown(page) > count)
        await asyncio.to_thread(begin, own_postgresql)
        async with Page(server) as late:
            await asyncio.to_thread(end, own_postgresql)
            await late.sees(lambda: shown(late) > count)

    invariants = [never_shrinks("value")]
    one, other = Page(server, invariants=invariants), Page(server, window=1, invariants=invariants)
    with closing(server):
        await asyncio.to_thread(server.start)
        async with one, other:
            for page in (one, other, one):
                await crash(page)
            writer.kill()
            await asyncio.to_thread(writer.wait)
            rows = await asyncio.to_thread(in_cluster)
            for page in (one, other):
                await page.until(rows)
                assert page.report.connections == 1


def fill_the_disk():
    """From now on the journal can't grow; return what makes it possible again.

    SQLite: the writer's connection may not make the file larger. PostgreSQL: what the server
    raises where a file can't be extended, from a trigger of the journal's table.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
            return "PRAGMA max_page_count = 4294967294"
        cursor.execute(
            "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER disk_full BEFORE INSERT ON databinding_journal "
            "FOR EACH STATEMENT EXECUTE FUNCTION disk_full()"
        )
        return "DROP FUNCTION disk_full CASCADE"


def move_one(number):
    """A transaction of three statements; the first one's table isn't bound."""
    with transaction.atomic():
        Group.objects.create(name=f"group {number}")
        IntegerValue.objects.filter(name="row 0").update(value=F("value") - 1)
        IntegerValue.objects.filter(name="row 1").update(value=F("value") + 1)


def touch_all(number):
    """One statement, after which nothing but the journal is larger."""
    IntegerValue.objects.update(value=F("value"))


def write_until_it_fails(write):
    """Return how often it went well before the disk was full."""
    make_room = fill_the_disk()
    try:
        for number in range(10_000):
            try:
                write(number)
            except OperationalError as error:
                if not re.search("is full|could not extend", str(error)):
                    raise
                return number
    finally:
        with connection.cursor() as cursor:
            cursor.execute(make_room)
    pytest.fail("The disk never was full.")


@pytest.mark.django_db(transaction=True)
async def test_a_disk_that_is_full_when_keys_are_journalled(start_server):
    """The writer's transaction fails as a whole, no page sees half of it, and life goes on."""
    await fill(50, 100)
    server = await asyncio.to_thread(start_server)
    async with open_pages(server, 2, invariants=[constant_sum("value", 100 * 50)]) as pages:
        await in_database(write_until_it_fails)(touch_all)
        written = await in_database(write_until_it_fails)(move_one)
        assert await in_database(Group.objects.count)() == written
        await converge(server, pages)
        moved = {row["name"]: row["value"] for row in pages[0].rows.values()}
        assert (moved["row 0"], moved["row 1"]) == (100 - written, 100 + written)
        await in_database(move_one)("afterwards")
        await converge(server, pages)
