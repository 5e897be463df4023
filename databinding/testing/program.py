"""Random programs: what is written, and what happens to clients, writers and servers meanwhile.

A program is a list of steps that its seed determines. What the processes make of it does not
depend on the seed alone, so a program that fails may have to be replayed more than once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

#: What happens to a client: `drop` (the connection breaks; it comes back by itself), `leave` (it is
#: closed in order), `connect` after that, `stall` (it takes and acknowledges nothing), `withhold`
#: (it takes, but acknowledges nothing), `go_on` after the last two.
CLIENT_STEPS = (
    *("connect", "connect", "leave", "drop", "drop", "drop"),
    *("stall", "withhold", "go_on", "go_on"),
)


class Step(NamedTuple):
    """One step: `do` is ``write``, ``client``, ``kill``, ``fault`` or ``pause``.

    `who` is the number of the writer or client; `what` the write, client step or fault; `number`
    the seed of a write, the milliseconds of a pause.
    """

    do: str
    who: int = 0
    what: str = ""
    number: int = 0

    def __str__(self) -> str:
        match self.do:
            case "write":
                return f"writer {self.who}: {self.what} ({self.number})"
            case "client":
                return f"client {self.who}: {self.what}"
            case "kill":
                return f"writer {self.who}: killed"
            case "fault":
                return f"fault: {self.what}"
            case _:
                return f"pause: {self.number} ms"


def make_program(
    seed: int,
    length: int,
    *,
    writes: Sequence[str],
    writers: int,
    clients: int,
    faults: Sequence[str] = (),
    kills: bool = True,
) -> list[Step]:
    """A program of `length` steps; half of the clients connect before them."""
    chance = Random(seed)
    steps = [Step("client", number, "connect") for number in range(0, clients, 2)]
    kinds = {"write": 60, "client": 25, "pause": 10, "kill": kills, "fault": 1.5 * bool(faults)}
    for do in chance.choices(list(kinds), list(kinds.values()), k=length):
        match do:
            case "write":
                what, number = chance.choice(writes), chance.randrange(1_000_000)
                steps.append(Step(do, chance.randrange(writers), what, number))
            case "client":
                steps.append(Step(do, chance.randrange(clients), chance.choice(CLIENT_STEPS)))
            case "kill":
                steps.append(Step(do, chance.randrange(writers)))
            case "fault":
                steps.append(Step(do, what=chance.choice(faults)))
            case _:
                steps.append(Step(do, number=chance.randrange(100)))
    return steps


def parts_left_out(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Shorter programs: without one client or writer, then without halves, quarters, eighths."""
    for roles in (("client",), ("write", "kill")):
        for who in sorted({step.who for step in steps if step.do in roles}):
            yield [step for step in steps if not (step.do in roles and step.who == who)]
    size = len(steps) // 2
    while size > len(steps) // 16:
        for start in range(0, len(steps), size):
            yield [*steps[:start], *steps[start + size :]]
        size //= 2


async def shrink(
    steps: list[Step], fails: Callable[[list[Step]], Awaitable[bool]], *, attempts: int
) -> list[Step]:
    """The shortest program that was seen to fail in so many attempts."""
    while True:
        for shorter in parts_left_out(steps):
            if attempts == 0:
                return steps
            if not shorter or len(shorter) == len(steps):
                continue
            attempts -= 1
            if await fails(shorter):
                steps = shorter
                break
        else:
            return steps
