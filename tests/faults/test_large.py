"""Large snapshots, and clients that don't read: what they cost the server, and others.

FAULTS_ROWS=100000 python -m pytest -s tests/faults/test_large.py     # with other numbers
"""

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack

import psutil
import pytest
from channels.db import database_sync_to_async as in_database
from django.db.models import F

from tests.faults.pages import Page, converge, fill, open_pages
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = int(os.environ.get("FAULTS_ROWS", 10_000))
MIB = 1024 * 1024
#: Rows of such names take as much memory as several times as many whose names are short.
LONG = "{:0100}"


class Memory:
    """What a server has come to need more since this was made, in bytes."""

    def __init__(self, server):
        self._process = psutil.Process(server.process.pid)
        self._before = self._now()

    def _now(self):
        return self._process.memory_info().rss

    def grown(self):
        return self._now() - self._before


@in_database
def count_up():
    """In one row of all."""
    IntegerValue.objects.filter(name=LONG.format(7)).update(value=F("value") + 1)


def highest(page):
    return max((row["value"] for row in page.rows.values()), default=0)


@pytest.mark.parametrize("limit", [2 * ROWS, ROWS // 2], ids=["held", "paged"])
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_large_snapshots_that_are_taken_slowly(kind, limit, start_server):
    """Each is a few frames in the server's memory, holds up nobody, and ends as what is then."""
    slow = 20
    await fill(ROWS, name=LONG)
    options = json.dumps({"GROUP_LIMIT": limit})
    server = await asyncio.to_thread(
        start_server, kind, settings="tests.faults.settings", DATABINDING=options
    )
    empty = Memory(server)
    async with AsyncExitStack() as stack:
        began = time.monotonic()
        (other,) = await stack.enter_async_context(open_pages(server, 1))
        alone = time.monotonic() - began
        first, memory = empty.grown(), Memory(server)
        pages = []
        for number in range(slow):
            page = await stack.enter_async_context(Page(server, window=2))
            pages.append(page)
            await page.withhold()
            await page.sees(lambda page=page: page.report.frames == 2)
            await count_up()
            await other.sees(lambda number=number: highest(other) == number + 1)
        half_way = memory.grown()
        assert [page.report.frames for page in pages] == [2] * slow
        began = time.monotonic()
        for page in pages:
            await page.go_on()
        await converge(server, [other, *pages])
        print(
            f"\n{kind}, {ROWS} rows, held up to {limit}: one alone {alone:.1f} s, "
            f"+{first / MIB:.1f} MiB; {slow} half-way +{half_way / MIB:.1f} MiB; "
            f"then {time.monotonic() - began:.1f} s, +{memory.grown() / MIB:.1f} MiB"
        )
        # What they haven't got yet would be three times as much.
        assert half_way < 16 * MIB * max(1, ROWS / 10_000)


@pytest.mark.alike
@pytest.mark.parametrize(
    ("kind", "window"), [("uvicorn", None), ("uvicorn", 8), ("daphne", 8)], ids=str
)
async def test_clients_that_never_read(kind, window, start_server):
    """They hold up nobody and cost no more with time; reading again they get the latest states."""
    # Without a window the sockets' buffers take a dozen frames before anything is left out.
    rounds, rows = 30 if window else 60, 3_000
    await fill(rows, name=LONG)
    server = await asyncio.to_thread(start_server, kind)
    async with (
        open_pages(server, 3, window=window) as stalled,
        open_pages(server, 1) as (other,),
    ):
        for page in stalled:
            page.keep_little()
            await page.stall()
        memory = Memory(server)
        for number in range(1, rounds + 1):
            await in_database(IntegerValue.objects.update)(value=number)
            await other.sees(lambda number=number: highest(other) == number)
        grown = memory.grown()
        # What they aren't sent is 40 MB and more.
        print(f"\n{kind}, window {window}: {grown / MIB:.1f} MiB")
        assert grown < 25 * MIB
        seen = [page.report.frames for page in stalled]
        for page in stalled:
            await page.go_on()
        await converge(server, [other, *stalled])
        assert all(
            page.report.frames - before < rounds / 2
            for page, before in zip(stalled, seen, strict=True)
        )
