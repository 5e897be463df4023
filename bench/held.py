"""How long the event loop is held, at most: by events, by a crowd that joins or comes back, and by
very many rows that change at once.

The loop is to look at the clock every millisecond (`Held`, in the server's process); what it comes
late by is how long it couldn't do anything else, the relay's thread on the same core included. That
costs some per cent of a core, so nothing else is measured meanwhile.
"""

import asyncio
import json
import time

from bench.connections import running
from bench.rates import run
from bench.systems import Kind

#: Seconds between two looks.
TICK = 0.001

KIND = Kind("uvicorn", "ours", acks=True)


class Held:
    """In the server: the longest pause since it was last asked for, in seconds."""

    def __init__(self):
        self.longest = 0.0
        self._ticking = None

    async def asked(self):
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        longest, self.longest = self.longest, 0.0
        return longest

    async def _tick(self):
        while True:
            looked = time.perf_counter()
            await asyncio.sleep(TICK)
            self.longest = max(self.longest, time.perf_counter() - looked - TICK)


def measure(template, many, folder, redis, *, clients, rows, seconds):
    """Milliseconds; `template` has so many rows, `many` a tenfold, which all change at once."""
    found = {}
    with running(KIND, template, folder, redis) as system:
        system.outside().write("ours", 1, rows, rows, together=1000)
        system.value = rows
        # What the first of all bring along for the others is not what is measured.
        system.gather(20)
        longest(system)
        system.gather(clients)
        found[f"{clients} join {rows} rows"] = longest(system)
        system.crowd.again()
        found["they come back"] = longest(system)
        run(system, 1_000, 200, 10, seconds)
        found["1,000 events a second"] = longest(system)
    rows *= 10
    with running(KIND, many, folder, redis) as system:
        system.gather(20)
        longest(system)
        system.outside().write("ours", 1, rows, rows, together=rows)
        system.crowd.wait_for(rows, patience=60)
        found[f"{rows} rows change at once"] = longest(system)
    return found


def longest(system):
    return round(1e3 * json.loads(system.get("/bench/held")), 1)
