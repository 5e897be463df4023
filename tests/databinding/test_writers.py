"""Several processes that write one SQLite file at once, while a page listens."""

import asyncio
import subprocess

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import Group

from dashboard.consumers import Demultiplexer
from tests.databinding.clients import Client
from tests.servers import PATIENCE, command
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 4
SAVES = 150

#: Each process saves a row of its own and one that all share, as fast as it can.
WRITER = """
import sys
from django.db import OperationalError, transaction
from {module} import {model} as Model

print("ready", flush=True)
sys.stdin.readline()
refused = 0
own = Model(name="own {number}")
shared = Model.objects.get(name="shared")
for step in range(1, {saves} + 1):
    for row in (own, shared):
        row.{field} = {value}
        try:
            if step % 3:
                row.save()
            else:
                with transaction.atomic():
                    Model.objects.filter(pk=row.pk).first()
                    row.save()
        except OperationalError as error:
            print(error, file=sys.stderr)
            refused += 1
print(refused)
"""
BOUND = {"module": "values.models", "model": "IntegerValue", "field": "value", "value": "step"}
#: Its like without a binding.
PLAIN = {
    "module": "django.contrib.auth.models",
    "model": "Group",
    "field": "name",
    "value": "row.name",
}


@pytest.fixture
def start_writers(database):
    """A function that starts the processes; it returns when all are ready."""
    processes = []

    def start(kind):
        started = [
            command(
                database,
                *("shell", "--verbosity", "0", "--command"),
                WRITER.format(number=number, saves=SAVES, **kind),
                stdin=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        processes.extend(started)
        for process in started:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        return started

    yield start
    for process in processes:
        with process:
            process.kill()


def write_at_once(processes):
    """Let them write, to their end; return how many writes were refused."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=2 * PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, printed
    return sum(int(out) for out, _ in printed)


async def test_processes_that_save_at_once(database, start_writers):
    """Saves are refused no more than those of a model that isn't bound, and the page ends equal."""
    await in_database(IntegerValue.objects.create)(name="shared")
    await in_database(Group.objects.create)(name="shared")
    final = {"shared": SAVES} | {f"own {number}": SAVES for number in range(PROCESSES)}
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval", window=4)
        writers = await asyncio.to_thread(start_writers, BOUND)
        writing = asyncio.create_task(asyncio.to_thread(write_at_once, writers))
        while held(client) != final:
            await client.receive()
        refused = await writing
        assert await in_database(stored)() == final == held(client)
    for name in final.keys() - {"shared"}:
        seen = [data["value"] for data in events(client) if data["name"] == name]
        assert seen == sorted(set(seen)), name  # it only grows
    writers = await asyncio.to_thread(start_writers, PLAIN)
    assert refused <= await asyncio.to_thread(write_at_once, writers)


def stored():
    return dict(IntegerValue.objects.values_list("name", "value"))


def held(client):
    return {data["name"]: data["value"] for data in client.rows["intval"].values()}


def events(client):
    """The data of every event that came, in their order."""
    found = [event for frame in client.frames for event in frame["payload"].get("events", ())]
    return [event["data"] for event in found]
