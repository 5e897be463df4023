"""A server under attack, and those who use it meanwhile.

    HOSTILE_FRAMES=100000 HOSTILE_CLIENTS=50 python -m pytest -s tests/hostile/test_servers.py
    HOSTILE_SPARED=1 …      # with a second server, to compare with

Honest pages watch values that change all the time, others ask and write. None of them may miss
anything, be closed or be answered a fault, whatever attackers (`tests.hostile.attackers`) do; nor
may the server's log show a traceback, or its memory grow. How long they wait is printed: before,
under attack and, if asked for, at the same time at another server of the same site, which shares
machine and database and isn't attacked. On a machine that does other things, too, compare the last
two; on one at rest with two cores, do without: that server alone takes a third of what there is.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from statistics import quantiles

import psutil
import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from django.test import Client as Browser

from databinding.client import connect
from databinding.conf import settings
from tests.faults.pages import Page, fill, stored
from tests.servers import CHECKOUT, environment
from values.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.alike]

FRAMES = int(os.environ.get("HOSTILE_FRAMES", "5000"))
CLIENTS = int(os.environ.get("HOSTILE_CLIENTS", "10"))
SEED = int(os.environ.get("HOSTILE_SEED", "7"))
SPARED = os.environ.get("HOSTILE_SPARED", "0") == "1"
#: Seconds without attackers, to compare with.
QUIET = max(3, min(30, FRAMES / 2_000))
#: Seconds between writes, and between what each honest client asks.
WRITES, ASKS = 0.05, 0.5
#: Close codes that a hostile client may get: of the library, and of websockets themselves.
ENDS = {"1000", "4401", "4009", "1002", "1003", "1005", "1006", "1007", "1009", "1011", "4429"}
#: How much a server may grow while it is attacked, in MB.
GROWTH = 40


class Watched:
    """What a server's process takes: memory in MB, and its share of a core since the last look."""

    def __init__(self, server):
        self._process = psutil.Process(server.process.pid)
        self._process.cpu_percent()

    def __call__(self):
        return self._process.memory_info().rss / 2**20, self._process.cpu_percent()


def worst(delays):
    """The 99th percentile, in milliseconds."""
    return quantiles(delays, n=100)[98] * 1000


class Honest:
    """Pages that watch, and clients that ask and write, as anybody would."""

    def __init__(self, server, headers, *, beside=None):
        self.server = server
        self.headers = headers
        self.writing = beside is None
        #: When each value was committed: that a writer waits for the database is no page's wait.
        self.committed = {} if beside is None else beside.committed
        #: Values and when they arrived; seconds from a request to its reply.
        self.arrivals, self.answers = [], []
        self.pages = []
        self.resting = False
        self.statuses = set()

    def saw(self, before, after, groups):
        """Asked of every frame of each page: what does it bring?"""
        now = time.monotonic()
        for pk, row in after.items():
            if row["value"] and row["value"] != before.get(pk, row)["value"]:
                self.arrivals.append((row["value"], now))

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        self._tasks = []
        for _ in range(CLIENTS):
            page = Page(self.server, invariants=[self.saw])
            await page.connect()
            self._stack.push_async_callback(page.end)
            self.pages.append(page)
        for page in self.pages:
            await page.sees(lambda page=page: page.copy.whole)
        if self.writing:
            self._tasks.append(asyncio.create_task(self._write()))
        for number in range(max(2, CLIENTS // 5)):
            live = await self._stack.enter_async_context(
                connect(f"{self.server.websocket_url}/stream/", headers=self.headers)
            )
            self._tasks.append(asyncio.create_task(self._ask(live, 1 + number % 10)))
        return self

    async def __aexit__(self, *exception):
        await self.rest()
        await self._stack.aclose()

    async def rest(self):
        """Ask and write no more, once what was begun is answered."""
        self.resting = True
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def _write(self):
        """Every row in its turn, by the ORM."""
        first = await in_database(lambda: IntegerValue.objects.order_by("pk").first().pk)()
        number = 0

        def write():
            IntegerValue.objects.filter(pk=first + 10 + number % 10).update(value=number)
            self.committed[number] = time.monotonic()

        while not self.resting:
            number += 1
            await in_database(write)()
            await asyncio.sleep(WRITES)

    async def _ask(self, live, number):
        rows = await in_database(lambda: list(IntegerValue.objects.order_by("pk")[:10]))()
        pk = rows[number - 1].pk
        while not self.resting:
            for action, payload in (
                ("retrieve", {"pk": pk}),
                ("update", {"pk": pk, "data": {"name": f"row {time.monotonic()}"}}),
            ):
                began = time.monotonic()
                reply = await live.request("intval", action, payload)
                self.answers.append(time.monotonic() - began)
                self.statuses.add(reply.status)
                await asyncio.sleep(ASKS)

    def take(self):
        """The delays since the last time that somebody asked, in seconds."""
        # A page may be told before its writer knows that it is done.
        committed = self.committed
        arrived = [max(0.0, when - committed.get(value, when)) for value, when in self.arrivals]
        taken, self.arrivals, self.answers = (arrived, self.answers), [], []
        return taken


async def attacked(server, database):
    """Have a server attacked to the end; what the attackers have seen."""
    options = {"url": server.websocket_url, "frames": FRAMES, "seed": SEED}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.attackers", json.dumps(options)),
        cwd=CHECKOUT,
        env=environment(database),
        stdout=subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(printed)


@in_database
def staff():
    """A cookie of somebody who may change values."""
    user = User.objects.create_superuser("ana")
    browser = Browser()
    browser.force_login(user)
    return {"Cookie": browser.cookies.output(header="", attrs=[]).strip()}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_honest_clients_notice_nothing(kind, start_server, database):
    """While a server is attacked every honest client is told and answered everything, in order."""
    await fill(20)
    headers = await staff()
    server = await asyncio.to_thread(start_server, kind, ASKING_RATE="30/sec")
    async with AsyncExitStack() as stack:
        honest = await stack.enter_async_context(Honest(server, headers))
        others = None
        if SPARED:
            spared = await asyncio.to_thread(start_server, kind, ASKING_RATE="30/sec")
            others = await stack.enter_async_context(Honest(spared, headers, beside=honest))
        await asyncio.sleep(1)
        honest.take()
        watched = Watched(server)
        await asyncio.sleep(QUIET)
        quiet, (before, idle) = honest.take(), watched()
        if others:
            others.take()
        seen = await attacked(server, database)
        hostile, (after, busy) = honest.take(), watched()
        elsewhere = others.take() if others else None
        await honest.rest()
        if others:
            await others.rest()
        rows = await stored()
        for page in honest.pages:
            await page.until(rows)
        assert [page.report.connections for page in honest.pages] == [1] * CLIENTS
        assert honest.statuses == {200}
    print(f"\n{kind}: {seen['sent']} hostile frames in {seen['seconds']:.0f} s, {CLIENTS} pages")
    for number, name in enumerate(("commit to page", "request to reply")):
        print(
            f"  {name}, p99 ms: {worst(quiet[number]):.0f} quiet, {worst(hostile[number]):.0f}"
            " attacked"
            + (f", {worst(elsewhere[number]):.0f} at the same time elsewhere" if others else "")
        )
    print(f"  memory MB: {before:.0f} quiet, {after:.0f} attacked")
    print(f"  processor %: {idle:.0f} quiet, {busy:.0f} attacked")
    for name in ("statuses", "closed", "ways"):
        print(f"  {name}: {seen[name]}")
    assert seen["wrong"] == []
    assert {end for end in seen["closed"] if end.isdigit()} <= ENDS
    # Five send as fast as they may; on a machine that has next to no time for them that isn't more
    # than is fair.
    if seen["sent"] / seen["seconds"] > 5 * settings.FRAME_RATE:
        assert seen["closed"]["4429"] > 0
    assert after - before < GROWTH
    said = server.log()
    assert "Traceback" not in said, said[-5000:]
    assert "ERROR" not in said, said[-5000:]
