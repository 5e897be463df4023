"""The convergence oracle: random programs of writes against clients of real servers.

    oracle = Oracle(
        ["ws://127.0.0.1:8000"],
        visitors=[Visitor("/stream/", frozenset({"intval-updates"}))],
        streams=[Stream("intval", rows_of(IntegerValueBinding), [never_shrinks("value")])],
        writes=[save, delete],
    )
    oracle.run(programs=5).check()

Writers, each a process of its own, write at once, while clients connect, stall, drop and resume,
and whatever faults are given are injected. In every state that a client is shown the invariants
hold and the frames keep to the protocol. At rest every client's copy is what the database says,
and so is a fresh snapshot.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from channels.db import database_sync_to_async
from django.db import DatabaseError, InterfaceError, connections

from databinding.binding import Binding
from databinding.form import form_of, nobody
from databinding.testing.arrivals import Arrivals
from databinding.testing.client import Client, Visitor
from databinding.testing.copy import Copy, Invariant, Rows
from databinding.testing.program import Step, make_program, shrink
from databinding.testing.report import Report, Violation
from databinding.testing.writer import Killed, Writer

#: Windows of subscriptions, in frames; each client has one of them.
WINDOWS = (None, 1, 3, 8)
#: Seconds for which a fault that was mended still counts as what disturbs: all reconnect.
AFTERMATH = 3.0
#: Writes that wait for one writer before the program waits for it.
WAITING = 2


@dataclass(frozen=True)
class Stream:
    """A stream that every client subscribes to.

    `rows` says what the database holds for a client of some groups, as {pk: data} in the wire's
    forms (`rows_of` makes it from a binding), and for a visitor with a user gets the user, too; it
    is called in a thread. `invariants` are asked in
    every state that a client is shown. `parameters` go with every subscription.
    """

    name: str
    rows: Callable[..., Rows]
    invariants: Sequence[Invariant] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stamp:
    """What is measured: the way of a number from its commit to the clients.

    `write(writer, number)` puts the number into `field` of a row of that writer's own, in
    `stream`, and returns its primary key as it stands on the wire. A writer stamps after each of
    its writes; the numbers grow.
    """

    stream: str
    field: str
    write: Callable[[int, int], Any]


@dataclass(frozen=True)
class Fault:
    """Something that breaks and is mended: two functions, called in a thread, and the time between.

    There is one at a time (its steps are passed over while another lasts, for `seconds` at most),
    and none when clients are compared.
    """

    name: str
    begin: Callable[[], object]
    end: Callable[[], object]
    seconds: float = 0.0


def rows_of(binding: type[Binding], *, limit: int | None = None) -> Callable[..., Rows]:
    """What clients of some groups are to hold of a binding, asked of every row anew.

    Of a window, that is `limit` rows, or as many as the binding says. Without a user it is what
    nobody sees that is known.
    """
    if limit is None and binding.order_by:
        limit = binding.limit

    def rows(groups: frozenset[str], user: Any = None) -> Rows:
        form = form_of(binding, nobody() if user is None else user)
        seen = (
            instance
            for instance in form.queryset().order_by(*binding.total_order())
            if not groups.isdisjoint(binding.groups_of(instance))
        )
        return {
            binding.key(instance): json.loads(form.fragment(instance))
            for instance in islice(seen, limit)
        }

    return rows


class Oracle:
    """Runs programs. `urls` are those of one or more servers, as ``ws://host:port``.

    `writes` are functions of modules; each takes a `random.Random`, and writes what that says, by
    Django's ORM or otherwise, in the transactions that it likes. What databases refuse (locks,
    deadlocks, integrity) is counted; any other error ends the run. `setup` is called before each
    program, in this process. Writers have the settings module of this process and its databases
    (a test's too), and `environment` besides.

    `patience` is the seconds in which clients must be equal once nothing is written any more.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        visitors: Sequence[Visitor],
        streams: Sequence[Stream],
        writes: Iterable[Callable[[Random], object]],
        setup: Callable[[], object] = lambda: None,
        faults: Iterable[Fault] = (),
        stamp: Stamp | None = None,
        writers: int = 4,
        clients: int = 8,
        environment: Mapping[str, str] | None = None,
        patience: float = 30.0,
        kill_writers: bool = True,
        say: Callable[[str], object] = print,
    ) -> None:
        self.report = Report()
        self._urls = list(urls)
        self._visitors = list(visitors)
        self._streams = list(streams)
        writes = list(writes)
        # One that is given twice is done twice as often.
        self._choices = [write.__name__ for write in writes]
        self._writes = {write.__name__: _name(write) for write in writes}
        self._setup = setup
        self._faults = {fault.name: fault for fault in faults}
        self._stamp = stamp
        self._clients = clients
        self._patience = patience
        self._kill_writers = kill_writers
        self._say = say
        # What is wrong, what was last, and until when: for the delays.
        self._fault: str | None = None
        self._last_fault = ""
        self._fault_ended = 0.0
        names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
        self._writers = [Writer(number, names, environment or {}) for number in range(writers)]

    def run(
        self,
        *,
        programs: int | None = None,
        seconds: float | None = None,
        steps: int = 150,
        seed: int | None = None,
        attempts: int = 0,
    ) -> Report:
        """Run so many programs, or as many as begin within so many seconds (by default one).

        The first violation ends the run; its program is then replayed up to `attempts` times with
        ever fewer steps. A program's seed is printed before it; ``run(seed=…)`` begins with that
        program again.
        """
        first = Random().randrange(2**32) if seed is None else seed
        most = programs if programs is not None else None if seconds else 1
        asyncio.run(self._run(_seeds(first), most, seconds, steps, attempts))
        return self.report

    async def _run(
        self,
        seeds: Iterator[int],
        programs: int | None,
        seconds: float | None,
        steps: int,
        attempts: int,
    ) -> None:
        try:
            await asyncio.gather(*(writer.start() for writer in self._writers))
            until = None if seconds is None else time.monotonic() + seconds
            for number, seed in enumerate(seeds):
                if number == programs or (until is not None and time.monotonic() > until):
                    break
                program = make_program(
                    seed,
                    steps,
                    writes=self._choices,
                    writers=len(self._writers),
                    clients=self._clients,
                    faults=list(self._faults),
                    kills=self._kill_writers,
                )
                self._say(f"program {number + 1}, seed {seed} ({self.report.events} events so far)")
                violations = await self._play(program, seed)
                if violations and attempts:
                    violations = await self._shrunk(program, seed, violations, attempts)
                self.report.violations += violations
                if violations:
                    break
        finally:
            await asyncio.gather(*(writer.kill() for writer in self._writers))
            await _in_thread(connections.close_all)

    async def _shrunk(
        self, program: list[Step], seed: int, violations: list[Violation], attempts: int
    ) -> list[Violation]:
        self._say(f"{violations[0].what}\nreplaying it with fewer steps")
        found = violations

        async def fails(shorter: list[Step]) -> bool:
            nonlocal found
            again = await self._play(shorter, seed)
            self._say(f"{len(shorter)} steps: {'fails, too' if again else 'does not fail'}")
            found = again or found
            return bool(again)

        await shrink(program, fails, attempts=attempts)
        return found

    async def _play(self, program: list[Step], seed: int) -> list[Violation]:
        self.report.programs += 1
        play = _Play(self, program, seed)
        await play.run()
        return play.violations

    # What a play uses

    def client(self, number: int, chance: Random, broken: Callable[..., None]) -> Client:
        visitor = self._visitors[number % len(self._visitors)]
        copies = {one.name: Copy(one.invariants, visitor.groups) for one in self._streams}
        for copy in copies.values():
            copy.window = chance.choice(WINDOWS)
        arrivals = None
        if self._stamp is not None:
            arrivals = Arrivals(self._stamp.stream, self._stamp.field, self._measured)
        return Client(
            *(f"client {number}", visitor, copies, self._urls, self.report),
            chance=chance,
            broken=broken,
            parameters={one.name: one.parameters for one in self._streams},
            arrivals=arrivals,
        )

    def _measured(self, committed: float, arrived: float) -> None:
        self.report.delays.setdefault(self._disturbed(committed), []).append(arrived - committed)

    def _disturbed(self, since: float) -> str:
        """What has been wrong since then, or is."""
        if self._fault is not None:
            return self._fault
        return self._last_fault if since < self._fault_ended + AFTERMATH else ""

    async def inject(self, name: str, seconds: float) -> None:
        fault = self._faults[name]
        self.report.faults[name] += 1
        self._fault = name
        try:
            await asyncio.to_thread(fault.begin)
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(fault.end)
            self._fault, self._last_fault = None, name
            self._fault_ended = time.monotonic()

    async def truth(self, visitor: Visitor) -> dict[str, Rows]:
        """What the database says, for each stream."""

        def ask() -> dict[str, Rows]:
            user = () if visitor.user is None else (visitor.user(),)
            return {stream.name: stream.rows(visitor.groups, *user) for stream in self._streams}

        def ask_patiently() -> dict[str, Rows]:
            try:
                return ask()
            except (DatabaseError, InterfaceError):
                # The connection may be one from before a crash.
                connections.close_all()
                return ask()

        rows: dict[str, Rows] = await _in_thread(ask_patiently)
        return rows


class _Play:
    """One program, once."""

    def __init__(self, oracle: Oracle, program: list[Step], seed: int) -> None:
        self.violations: list[Violation] = []
        self._oracle = oracle
        self._report = oracle.report
        self._program = program
        self._seed = seed
        self._chance = Random(seed)
        self._going_on: set[asyncio.Task[None]] = set()
        self._injecting: asyncio.Task[None] | None = None
        self._stopped = False
        self._clients = [
            oracle.client(number, Random(seed + number), self._broken)
            for number in range(oracle._clients)
        ]

    async def run(self) -> None:
        await _in_thread(self._oracle._setup)
        try:
            for step in self._program:
                if self._stopped:
                    break
                await self._do(step)
            await self._rest()
            if not self._stopped:
                await asyncio.gather(*map(self._compare, self._clients))
            if not self._stopped:
                await self._compare_fresh()
        finally:
            await asyncio.gather(*(client.end() for client in self._clients))
            await self._rest()

    def _broken(self, what: str, frames: Sequence[str] = ()) -> None:
        if not self._stopped:  # What follows from the first one says nothing new.
            self._stopped = True
            self.violations.append(Violation(what, self._seed, self._program, list(frames)))

    # Steps

    async def _do(self, step: Step) -> None:
        match step.do:
            case "write":
                await self._write(step)
            case "client":
                if step.what in ("drop", "stall", "withhold"):
                    self._report.faults[f"client: {step.what}"] += 1
                await getattr(self._clients[step.who], step.what)()
            case "kill":
                self._report.faults["writer killed"] += 1
                await self._oracle._writers[step.who].kill()
            case "fault":
                seconds = self._chance.uniform(0, self._oracle._faults[step.what].seconds)
                if self._injecting is None or self._injecting.done():
                    self._injecting = self._background(self._oracle.inject(step.what, seconds))
            case _:
                await asyncio.sleep(step.number / 1000)

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._going_on.add(task)
        return task

    async def _rest(self) -> None:
        """Return when nothing is written and nothing is broken any more. Raises what went wrong."""
        tasks, self._going_on = self._going_on, set()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _write(self, step: Step) -> None:
        writer = self._oracle._writers[step.who]
        while writer.waiting >= WAITING and not self._stopped:
            done, _ = await asyncio.wait(self._going_on, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._going_on.discard(task)
                task.result()
        self._background(self._written(writer, step))
        await asyncio.sleep(0)

    async def _written(self, writer: Writer, step: Step) -> None:
        stamp = self._oracle._stamp
        try:
            answer = await writer.write(
                self._oracle._writes[step.what], step.number, _name(stamp.write) if stamp else None
            )
        except Killed:
            return
        self._report.writes += 1
        self._report.retries.update(answer["retries"])
        self._report.refused.update(answer["refused"])
        if answer["stamp"] is not None:
            for client in self._clients:
                client.committed(*answer["stamp"])

    # At rest

    async def _compare(self, client: Client) -> None:
        """Wait until the client holds what the database says."""
        await client.connect()
        await client.go_on()
        truth = await self._oracle.truth(client.visitor)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._oracle._patience):
                while not self._stopped and _held(client) != truth:
                    client.news.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await client.news.wait()
        if not self._stopped and _held(client) != truth:
            self._broken(
                f"{client.name} at {client.visitor.path} did not become equal: "
                + "; ".join(_differences(_held(client), truth)),
                client.last_frames(),
            )

    async def _compare_fresh(self) -> None:
        """What a new client is given is the same."""
        clients = self._oracle._clients
        for number in range(len(self._oracle._visitors)):
            fresh = self._oracle.client(number, self._chance, self._broken)
            fresh.name = f"a fresh client ({clients + number})"
            try:
                await self._compare(fresh)
            finally:
                await fresh.end()


def _held(client: Client) -> dict[str, Rows]:
    return {stream: copy.rows for stream, copy in client.copies.items()}


def _differences(held: dict[str, Rows], truth: dict[str, Rows]) -> Iterator[str]:
    for stream, rows in truth.items():
        for pk in held[stream].keys() | rows.keys():
            has, should = held[stream].get(pk), rows.get(pk)
            if has != should:
                yield f"{stream} {pk!r} is {has}, should be {should}"


def _name(function: Callable[..., object]) -> str:
    """What `databinding.testing.worker` finds it by."""
    module = function.__module__
    if module == "__main__":
        module = getattr(sys.modules[module].__spec__, "name", module)
    if module == "__main__" or not function.__qualname__.isidentifier():
        raise ValueError(
            f"{function} must be a function of a module that other processes can import "
            "(run a script as python -m …)."
        )
    return f"{module}:{function.__name__}"


def _seeds(first: int) -> Iterator[int]:
    yield first
    chance = Random(first)
    while True:
        yield chance.randrange(2**32)


def _in_thread(work: Callable[[], Any]) -> Awaitable[Any]:
    return database_sync_to_async(work)()
