"""Writers and servers that are killed in mid-flight (`kill -9`)."""

import asyncio
import random

import pytest
from channels.db import database_sync_to_async as in_database
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from databinding.testing.copy import constant_sum, never_shrinks
from tests.faults.pages import Page, converge, fill, open_pages, stored
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, EACH = 8, 100
#: Whoever moves values between rows does it in one transaction.
CONSERVED = constant_sum("value", ROWS * EACH)

STOPPING = """
import time
from django.db import transaction
from django.db.models import F
from values.models import IntegerValue as Model

first, *_, last = Model.objects.order_by("pk").values_list("pk", flat=True)

def stop():
    print("here", flush=True)
    time.sleep(600)
"""
#: Writers that come to a stand in the middle, where they are killed.
INSIDE = {
    "between statements": """
with transaction.atomic():
    Model.objects.filter(pk=first).update(value=F("value") - 50)
    stop()
""",
    "in a savepoint": """
with transaction.atomic():
    Model.objects.filter(pk=first).delete()
    with transaction.atomic():
        Model.objects.create(name="half")
        stop()
""",
}
AFTER_COMMIT = """
with transaction.atomic():
    transaction.on_commit(stop)  # before the bell is rung
    for pk, amount in ((first, -50), (last, 50)):
        row = Model.objects.get(pk=pk)
        row.value += amount
        row.save()
"""

#: Moves values between rows without end, two statements to a transaction.
MOVING = """
import random
from django.db import OperationalError, transaction
from django.db.models import F
from values.models import IntegerValue as Model

keys = list(Model.objects.values_list("pk", flat=True))
print("ready", flush=True)
while True:
    one, other = random.sample(keys, 2)
    amount = random.randint(-20, 20)
    try:
        with transaction.atomic():
            Model.objects.filter(pk=one).update(value=F("value") - amount)
            Model.objects.filter(pk=other).update(value=F("value") + amount)
    except OperationalError:
        pass  # A deadlock: rolled back.
"""
#: Counts without end, one statement to a commit.
COUNTING = """
import time
from django.db.models import F
from values.models import IntegerValue as Model

print("ready", flush=True)
while True:
    Model.objects.update(value=F("value") + 1)
    time.sleep(0.02)
"""


async def says(process, line):
    said = await asyncio.to_thread(process.stdout.readline)
    assert said == f"{line}\n", process.stderr.read()


async def kill(process):
    process.kill()
    await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("place", INSIDE)
async def test_a_writer_killed_inside_its_transaction(place, start_server, start_program, database):
    """Of a transaction that was never committed nothing is seen, nor does it hold others up."""
    await fill(ROWS, EACH)
    server = await asyncio.to_thread(start_server)
    before = await stored()
    async with open_pages(server, 2, invariants=[CONSERVED]) as pages:
        writer = start_program(database, STOPPING + INSIDE[place])
        await says(writer, "here")
        await kill(writer)
        assert await stored() == before
        writer = start_program(database, STOPPING + AFTER_COMMIT)
        await says(writer, "here")
        await converge(server, pages)
        assert pages[0].rows != before


async def test_a_writer_killed_after_its_commit(start_server, start_program, database):
    """What was committed is seen, though its writer died before it could tell anybody."""
    await fill(ROWS, EACH)
    server = await asyncio.to_thread(start_server)
    before = await stored()
    async with open_pages(server, 2, invariants=[CONSERVED]) as pages:
        writer = start_program(database, STOPPING + AFTER_COMMIT)
        await says(writer, "here")
        await kill(writer)
        assert await stored() != before
        await converge(server, pages)


async def test_writers_killed_again_and_again(start_server, start_program, database):
    """Whenever writers are killed, pages are shown whole transactions only, and end equal."""
    await fill(ROWS, EACH)
    server = await asyncio.to_thread(start_server)
    async with open_pages(server, 3, invariants=[CONSERVED]) as pages:
        page = pages[0]
        for _ in range(3):
            writers = [start_program(database, MOVING) for _ in range(2)]
            for writer in writers:
                await says(writer, "ready")
            for writer in writers:
                goal = page.report.events + 20
                await page.sees(lambda goal=goal: page.report.events >= goal)
                await asyncio.sleep(random.random() / 50)  # anywhere in a transaction
                await kill(writer)
        await converge(server, pages)


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_servers_killed_again_and_again(kind, start_server, start_program, database):
    """A killed server loses nothing: pages resume, and what only grows is not seen to shrink."""
    await fill(ROWS)
    server = await asyncio.to_thread(start_server, kind)
    async with open_pages(server, 3, invariants=[never_shrinks("value")]) as pages:
        writer = start_program(database, COUNTING)
        await says(writer, "ready")
        for life in range(1, 4):
            await asyncio.to_thread(server.kill)
            at = max(row["value"] for row in (await stored()).values())
            await asyncio.to_thread(server.start)
            for page in pages:
                await page.sees(
                    lambda page=page, at=at, life=life: (
                        page.report.resumed == life
                        and all(row["value"] > at for row in page.rows.values())
                    )
                )
        await kill(writer)
        await converge(server, pages)
        assert [page.report.snapshots for page in pages] == [1] * len(pages)


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_server_killed_while_it_sends_a_snapshot(kind, start_server):
    """A page that was given half a snapshot keeps none of it, and comes to hold the whole."""
    await fill(3_000)
    server = await asyncio.to_thread(start_server, kind)
    async with Page(server, window=2) as page:
        await page.withhold()
        await page.sees(lambda: page.report.frames == 2)
        assert page.rows == {}
        await asyncio.to_thread(server.kill)
        await in_database(IntegerValue.objects.filter(name__lt="row 2").update)(value=7)
        await in_database(IntegerValue.objects.filter(name__gt="row 8").delete)()
        await asyncio.to_thread(server.start)
        await page.go_on()
        await converge(server, [page])


@pytest.mark.parametrize(("kind", "code"), [("uvicorn", 1012), ("daphne", 1006)])
async def test_a_server_that_is_stopped_says_so(start_server, kind, code):
    """On SIGTERM uvicorn tells pages 1012, daphne just goes; they resume with the next server."""
    await fill(ROWS)
    server = await asyncio.to_thread(start_server, kind)
    async with open_pages(server, 2) as pages, connect(f"{server.websocket_url}/stream/") as one:
        await asyncio.to_thread(server.stop)
        with pytest.raises(ConnectionClosed):
            await one.recv()
        assert one.close_code == code
        await in_database(IntegerValue.objects.update)(value=1)
        await asyncio.to_thread(server.start)
        await converge(server, pages)
        assert [page.report.resumed for page in pages] == [1, 1]
