"""Redis that dies, hangs or forgets: writers go on as ever, and pages still get everything."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from databinding.testing.copy import never_shrinks
from tests.faults.pages import Page, converge, fill, open_pages, stored
from tests.redis import Redis

pytestmark = pytest.mark.django_db(transaction=True)

#: Saves rows again and again. Whatever is raised ends it.
SAVING = """
import itertools, time
from values.models import IntegerValue as Model

rows = list(Model.objects.all())
for count in itertools.count(1):
    for row in rows:
        row.value = count
        row.save()
    time.sleep(0.02)
"""


@pytest.fixture
def redis(monkeypatch):
    """What is started from here on rings over this one."""
    with Redis() as redis:
        for name, value in redis.environment().items():
            monkeypatch.setenv(name, value)
        yield redis


async def crash(redis):
    await asyncio.to_thread(redis.crash)


async def start(redis):
    await asyncio.to_thread(redis.start)


async def pause(redis):
    redis.pause()


async def resume(redis):
    redis.resume()


async def flush(redis):
    await asyncio.to_thread(redis.flush)


FAULTS = {"killed": (crash, start), "paused": (pause, resume), "flushed": (flush, flush)}


@pytest.mark.parametrize("fault", FAULTS)
async def test_redis_that_fails_under_writers_and_pages(
    fault, redis, start_server, start_program, database
):
    """Nobody who writes notices; whoever listens gets everything, during the fault and after it."""
    begin, end = FAULTS[fault]
    await fill(3)
    servers = [
        await asyncio.to_thread(start_server, kind) for kind in ("uvicorn", "daphne", "uvicorn")
    ]
    async with AsyncExitStack() as stack:
        pages = []
        for server in servers:
            opened = open_pages(server, 2, invariants=[never_shrinks("value")])
            pages += await stack.enter_async_context(opened)
        writer = start_program(database, SAVING)

        async def goes_on(pages):
            """What is written from now on is written, and seen."""
            written = min(row["value"] for row in (await stored()).values())
            for page in pages:
                await page.sees(lambda page=page: lowest(page) >= written + 5)
            assert writer.poll() is None, writer.stderr.read()

        for _ in range(2):
            await goes_on(pages)
            await begin(redis)
            await goes_on(pages)
            async with Page(servers[0]) as late:
                await goes_on([late, *pages])
            await end(redis)
        await goes_on(pages)
        writer.kill()
        await asyncio.to_thread(writer.wait)
        for server in servers:
            await converge(server, pages)
        assert [page.report.connections for page in pages] == [1] * len(pages)


def lowest(page):
    return min((row["value"] for row in page.rows.values()), default=-1)
