"""How long the event loop is held, at most: by events, by a crowd that joins or comes back, and by
very many rows that change at once; beside a crowd that comes to the bare server.

The loop is to look at the clock every millisecond (`tests.faults.pauses`, in the server's
process); what it comes late by is how long it couldn't do anything else, the relay's thread on the
same core included: by the clock, and in the process's own time, which doesn't count what else the
machine does. That costs some per cent of a core, so nothing else is measured meanwhile.
"""

import json

from bench.connections import running
from bench.rates import run
from bench.systems import Kind

KIND = Kind("uvicorn", "ours", acks=True)
BARE = Kind("uvicorn", "bare")


def measure(template, many, folder, redis, *, clients, rows, seconds):
    """Milliseconds; `template` has so many rows, `many` a tenfold, which all change at once."""
    found = {}
    with running(BARE, template, folder, redis) as system:
        system.gather(20)
        longest(system)
        system.gather(clients)
        found[f"{clients} come to the bare server"] = longest(system)
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
    held = json.loads(system.get("/bench/held"))
    return {name: round(1e3 * seconds, 1) for name, seconds in held.items()}
