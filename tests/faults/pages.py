"""Pages that do nothing but come back and resume, and what must hold of them after a fault.

async with Page(server) as page:
    await page.until({1: {"name": "a", "value": 1}})
await converge(server, pages)
"""

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from channels.db import database_sync_to_async as in_database

from databinding.testing.client import Client, Visitor
from databinding.testing.copy import Copy
from databinding.testing.report import Report
from values.models import IntegerValue

#: Seconds after which what should have come hasn't, on a busy machine; a million rows take longer.
PATIENCE = max(60, int(os.environ.get("FAULTS_ROWS", 0)) / 2_000)


class Page(Client):
    """A page on the stream `intval` of one server, which comes back until it is left."""

    def __init__(self, server, *, window=8, invariants=(), headers=None):
        self.copy = Copy(invariants)
        self.copy.window = window
        self.report = Report()
        self._wrong = None
        super().__init__(
            *("page", Visitor("/stream/", frozenset(), headers or {}), {"intval": self.copy}),
            *([server.websocket_url], self.report),
            chance=Random(),
            broken=self._broke,
        )

    def _broke(self, wrong, frames):
        self._wrong = f"{wrong} {[frame[:200] for frame in frames]}"

    @property
    def rows(self):
        return self.copy.rows

    async def __aenter__(self):
        await self.connect()
        return self

    async def __aexit__(self, *exception):
        await self.drop()

    def keep_little(self):
        """Have the kernel keep little of what the page doesn't read, however much others do."""
        there = self._socket.transport.get_extra_info("socket")
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)

    async def sees(self, condition):
        """Wait until this holds; what the page is sent keeps to the protocol meanwhile."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    assert self._wrong is None, self._wrong
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"It never came; the page holds {len(self.rows)} rows.") from None
        assert self._wrong is None, self._wrong

    async def until(self, rows):
        await self.sees(lambda: self.copy.whole and self.rows == rows)


@asynccontextmanager
async def open_pages(server, number, **options):
    """Pages that hold what the database does."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Page(server, **options)) for _ in range(number)]
        rows = await stored()
        for page in opened:
            await page.until(rows)
        yield opened


@in_database
def stored():
    """What the database holds."""
    return {row.pk: {"name": row.name, "value": row.value} for row in IntegerValue.objects.all()}


@in_database
def fill(rows, value=0, name="row {}"):
    IntegerValue.objects.bulk_create(
        IntegerValue(name=name.format(number), value=value) for number in range(rows)
    )


async def converge(server, pages):
    """The oracle: each page comes to hold what the database does, as a new one does at once."""
    rows = await stored()
    for page in pages:
        await page.until(rows)
    async with Page(server) as fresh:
        await fresh.sees(lambda: fresh.copy.whole)
        assert fresh.rows == rows
        assert fresh.report.snapshots == 1
