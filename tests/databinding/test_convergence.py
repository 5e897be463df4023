"""Random programs of writes against clients that stall, drop and resume: all end equal.

At rest every client's copy is what the database says. On the way no client holds a row that it may
not see, a value that only grows is never seen to shrink, and what changes together is never seen
torn. (`tests/oracle` has the same with real servers, and many writers.)
"""

import asyncio
import os
import random

import pytest
from channels.db import database_sync_to_async as in_database
from django.test import override_settings
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from databinding.binding import registry
from databinding.refreshes import Refreshes
from databinding.testing import BrokenRule, Copy, rows_of
from tests.databinding.clients import PATIENCE, Client
from tests.shapes import writes
from tests.shapes.bindings import (
    AccountBinding,
    LatestBinding,
    MessageBinding,
    NamedBinding,
)
from tests.shapes.watching import BINDINGS, INVARIANTS, Demultiplexer

pytestmark = pytest.mark.usefixtures("watching")

CLIENTS = [(1,), (2,), (1, 2), (3,), (1, 2, 3)]
STREAMS = {
    "message": (rows_of(MessageBinding), [writes.only_what_is_theirs]),
    "latest": (rows_of(LatestBinding), []),
    "named": (rows_of(NamedBinding), []),
    "account": (rows_of(AccountBinding), writes.ACCOUNT_INVARIANTS),
    **{one.stream: (rows_of(one), INVARIANTS.get(one.stream, ())) for one in BINDINGS},
}
WRITES = {write.__name__: write for write in writes.WRITES}


class Reader:
    """A client that can stall (it takes nothing), withhold acknowledgements, drop and resume."""

    def __init__(self, rooms, window, *, ruled=True):
        self.rooms = rooms
        self.groups = frozenset({"named", "accounts", *(f"room-{room}" for room in rooms)})
        self.window = window
        # Whoever sees all rooms asks for the latest of one: a parameter, which the server judges.
        self.room = rooms[1] if len(rooms) == len(writes.ROOMS) else None
        self.client = None
        self.copies = {
            stream: Copy(invariants if ruled else (), self.groups)
            for stream, (_, invariants) in STREAMS.items()
        }
        self.reading = asyncio.Event()

    async def connect(self):
        if self.client is not None:
            return
        rooms = "-".join(map(str, self.rooms))
        self.client = Client(Demultiplexer, url_route={"kwargs": {"rooms": rooms}})
        self.client.copies.update(self.copies)
        await self.client.__aenter__()
        for stream, copy in self.copies.items():
            room = self.room if stream == "latest" else None
            options = {"window": self.window, "cursor": copy.cursor, "room": room}
            given = {name: value for name, value in options.items() if value is not None}
            await self.client.subscribe(stream, **given)
        self.reading.set()
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            await self.reading.wait()
            await self.client.receive()

    async def drop(self):
        if self.client is None:
            return
        self.task.cancel()
        (result,) = await asyncio.gather(self.task, return_exceptions=True)
        await self.client.__aexit__()
        self.client = None
        if isinstance(result, BrokenRule):
            raise result

    async def stall(self):
        self.reading.clear()

    async def withhold(self):
        if self.client is not None:
            self.client.acknowledging = False

    async def go_on(self):
        self.reading.set()
        if self.client is not None:
            self.client.acknowledging = True
            for stream in self.copies:
                await self.client.acknowledge(stream)

    async def converge(self, patience):
        """Go on until the copies are what the database says, within so many seconds."""
        await self.connect()
        await self.go_on()
        truth = await in_database(self.truth)()
        try:
            async with asyncio.timeout(patience):
                while self.held() != truth:
                    if self.task.done():
                        self.task.result()
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"{self.held()} is not {truth}") from None
        finally:
            await self.drop()

    def held(self):
        return {stream: copy.rows for stream, copy in self.copies.items()}

    def truth(self):
        truth = {stream: rows(self.groups) for stream, (rows, _) in STREAMS.items()}
        if self.room is not None:
            truth["latest"] = rows_of(LatestBinding)(frozenset({f"room-{self.room}"}))
        return truth


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(list(WRITES)), st.integers(0, 1000)),
        st.tuples(
            st.sampled_from(["connect", "drop", "stall", "withhold", "go_on", "connect"]),
            st.integers(0, len(CLIENTS) - 1),
        ),
        st.just(("settle",)),
    ),
    max_size=30,
)


async def run(program, window, patience=PATIENCE, *, ruled=True):
    await in_database(writes.reset)()
    readers = [Reader(rooms, window, ruled=ruled) for rooms in CLIENTS]
    try:
        for reader in readers[:3]:
            await reader.connect()
        for step in program:
            match step:
                case ("write", write, seed):
                    await in_database(WRITES[write])(random.Random(seed))
                case ("settle",):
                    await asyncio.sleep(0.02)
                case (action, which):
                    await getattr(readers[which], action)()
        for reader in readers:
            await reader.converge(patience)
    finally:
        # What the others have seen by then says nothing new.
        await asyncio.gather(*(reader.drop() for reader in readers), return_exceptions=True)


EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", 25))
PROGRAMS = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
WINDOWS = st.sampled_from([None, 1, 3])


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"KEY_LIMIT": 3, "BATCH_LIMIT": 2, "SNAPSHOT_CHUNK": 1},
        {"GROUP_LIMIT": 1, "KEY_LIMIT": 4, "SNAPSHOT_CHUNK": 2},
    ],
    ids=["defaults", "tight limits", "paged groups"],
)
def test_every_copy_ends_as_the_database(limits, transactional_db):
    """After any program of writes and interruptions every client holds what the database holds."""

    @PROGRAMS
    @given(program=steps, window=WINDOWS)
    def converges(program, window):
        note(f"{len(program)} steps")
        # Clients that come one after the other would wait for each other most of the time.
        with override_settings(DATABINDING={"PASS_PAUSE": 0.005} | limits):
            asyncio.run(run(program, window))

    converges()


def test_every_copy_heals(by_signals, monkeypatch):
    """Under signals, which see half of the writes, every client comes to hold what the database
    holds, by `refresh_every`. (On the way there what changed together may be seen torn.)"""
    for binding in registry:
        monkeypatch.setattr(binding, "refresh_every", 0.02)
    monkeypatch.setattr(Refreshes, "SHARE", 0.5)
    monkeypatch.setattr(Refreshes, "LOOK", 0)

    @settings(PROGRAMS, max_examples=EXAMPLES // 2)
    @given(program=steps, window=WINDOWS)
    def heals(program, window):
        note(f"{len(program)} steps")
        with override_settings(DATABINDING={"CAPTURE": "signals", "PASS_PAUSE": 0.005}):
            asyncio.run(run(program, window, ruled=False))

    heals()
