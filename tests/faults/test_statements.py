"""Statements that change very many rows: what they cost servers, other pages and the writer.

FAULTS_ROWS=100000 python -m pytest -s tests/faults/test_statements.py     # with other numbers
FAULTS_LOAD=1000000 python -m pytest -s tests/faults/test_statements.py -k into_nothing
"""

import asyncio
import json
import os
import time
import urllib.request
from functools import partial

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import connection
from django.db.models import F

from databinding.models import JournalEntry
from tests.faults.pages import converge, fill, open_pages, stored
from tests.faults.test_large import MIB, Memory
from tests.servers import wait_until
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = int(os.environ.get("FAULTS_ROWS", 6_000))
#: Rows that are loaded into an empty table, while a page looks on.
LOAD = int(os.environ.get("FAULTS_LOAD", 6_000))


def load():
    names = (IntegerValue(name=f"new {number}") for number in range(ROWS))
    IntegerValue.objects.bulk_create(names, batch_size=5_000)


STATEMENTS = {
    "update() of all": lambda: IntegerValue.objects.update(value=F("value") + 1),
    "update() to what is there": lambda: IntegerValue.objects.update(value=F("value")),
    "bulk_create() of as many": load,
    "delete of half": lambda: IntegerValue.objects.filter(name__startswith="new").delete(),
    "delete of all": lambda: IntegerValue.objects.all()._raw_delete("default"),
    "bulk_create() into nothing": load,
}


@in_database
def do(statement):
    began = time.monotonic()
    statement()
    return time.monotonic() - began


class Pauses:
    """How long the server's event loop was held since this was last asked."""

    def __init__(self, server):
        self._address = f"{server.url}/pauses"

    async def longest(self):
        """In milliseconds of the server's own CPU time, which other programs don't disturb."""
        return 1000 * (await asyncio.to_thread(self._ask))["cpu"]

    def _ask(self):
        with urllib.request.urlopen(self._address) as answer:
            return json.load(answer)


@pytest.mark.parametrize("limit", [10 * ROWS, ROWS // 2], ids=["held", "paged"])
async def test_large_statements(limit, start_server):
    """Pages are right after each, the server needs no more memory than for the rows it holds, and
    lets nobody wait for the whole of it."""
    await fill(ROWS)
    options = json.dumps({"GROUP_LIMIT": limit, "KEY_LIMIT": ROWS // 10})
    server = await asyncio.to_thread(
        start_server,
        settings="tests.faults.settings",
        application="tests.faults.pauses:application",
        DATABINDING=options,
    )
    pauses = Pauses(server)
    await pauses.longest()
    empty = Memory(server)
    async with open_pages(server, 1) as (page,):
        print(f"\n{ROWS} rows, held up to {limit}: +{empty.grown() / MIB:.1f} MiB")
        await pauses.longest()
        most = 0
        for name, statement in STATEMENTS.items():
            took = await do(statement)
            began = time.monotonic()
            await page.until(await stored())
            most = max(most, empty.grown())
            print(
                f"{name}: written in {took:.2f} s, seen after {time.monotonic() - began:.2f} s, "
                f"loop held for {await pauses.longest():.0f} ms, +{empty.grown() / MIB:.1f} MiB"
            )
        await converge(server, [page])
    # Twice as many rows as at first, each with its text; and what a pass takes besides.
    held = 2 * ROWS if limit > ROWS else 0
    assert most < 24 * MIB + 1_000 * held


@pytest.mark.timeout(1_800)
async def test_a_load_into_nothing(start_server):
    """A page that looks on has all of them afterwards; the server needs memory for none of them
    where they are too many to be held, and its loop goes on."""

    def load_all():
        for first in range(0, LOAD, 50_000):
            numbers = range(first, min(LOAD, first + 50_000))
            rows = (IntegerValue(name=f"new {number}") for number in numbers)
            IntegerValue.objects.bulk_create(rows, batch_size=5_000)

    server = await asyncio.to_thread(
        start_server,
        settings="tests.faults.settings",
        application="tests.faults.pauses:application",
        DATABINDING=json.dumps({"GROUP_LIMIT": LOAD // 10, "KEY_LIMIT": LOAD // 20}),
    )
    pauses = Pauses(server)
    async with open_pages(server, 1) as (page,):
        await page.sees(lambda: page.copy.whole)
        await pauses.longest()
        empty = Memory(server)
        took = await do(load_all)
        began = time.monotonic()
        async with asyncio.timeout(max(60, LOAD / 2_000)):
            while len(page.rows) < LOAD:  # noqa: ASYNC110  (compared whole below)
                await asyncio.sleep(0.1)
        print(
            f"\n{LOAD} rows written in {took:.0f} s, seen after {time.monotonic() - began:.0f} s, "
            f"loop held for {await pauses.longest():.0f} ms, +{empty.grown() / MIB:.1f} MiB"
        )
        assert {row["name"] for row in page.rows.values()} == {f"new {n}" for n in range(LOAD)}
        assert empty.grown() < 64 * MIB


async def test_a_writer_does_not_wait_for_readers(start_server):
    """While servers read all rows anew, again and again, commits go on, and no key is left out."""
    await fill(ROWS)
    options = json.dumps({"KEY_LIMIT": 1})
    servers = [
        await asyncio.to_thread(start_server, settings="tests.faults.settings", DATABINDING=options)
        for _ in range(2)
    ]
    rounds = 10
    async with open_pages(servers[0], 1) as one, open_pages(servers[1], 1) as other:
        longest = 0
        for number in range(rounds):
            tenth = IntegerValue.objects.filter(name__endswith=str(number % 10))
            longest = max(longest, await do(partial(tenth.update, value=F("value") + 1)))
        print(f"\n{ROWS} rows: the longest of {rounds} updates of a tenth took {longest:.2f} s")
        # None was refused: SQLite's writers would, after their timeout.
        for server, pages in zip(servers, (one, other), strict=True):
            await converge(server, pages)


@pytest.mark.sqlite
async def test_the_write_ahead_log_is_put_back(start_server):
    """Servers with pages open keep no state of the database: SQLite's log begins anew."""

    def checkpointed():
        """Is all of the log in the database file, and nobody reads it?"""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(RESTART)")
            return cursor.fetchone()[0] == 0

    await fill(ROWS)
    server = await asyncio.to_thread(start_server)
    async with open_pages(server, 2) as pages:
        for _ in range(3):
            await do(STATEMENTS["update() of all"])
        for page in pages:
            await page.until(await stored())
        await in_database(wait_until)(checkpointed)


async def test_a_journal_of_very_many_keys_is_dropped_in_slices(start_server):
    """What many keys were journalled for is dropped, while news go on reaching pages."""

    @in_database
    def left():
        return JournalEntry.objects.filter(tag=7).count()  # Those of the news don't end.

    await fill(10)
    options = json.dumps({"RETENTION": 0.5})
    server = await asyncio.to_thread(
        start_server, settings="tests.faults.settings", DATABINDING=options
    )
    async with open_pages(server, 1) as (page,):
        await do(
            lambda: JournalEntry.objects.bulk_create(
                (JournalEntry(model="values.integervalue", key="4711", tag=7) for _ in range(ROWS)),
                batch_size=5_000,
            )
        )
        number = 0
        async with asyncio.timeout(120):
            while await left():
                number += 1
                await do(lambda number=number: IntegerValue.objects.update(value=number))
                await page.sees(
                    lambda number=number: {row["value"] for row in page.rows.values()} == {number}
                )
        print(f"\n{ROWS} keys were dropped while {number} statements were seen")
        await converge(server, [page])
