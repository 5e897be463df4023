"""Events at a steady pace from another process: how soon everybody is current, and what it costs.

A client is current with an event as soon as it holds its row as it was then, or later: under load
ours sends the latest of several. Channels sends every event to everybody. The clock begins when
the writer's commit has returned and ends when the client has read the frame from its socket; the
writer and all clients share one core, which they and other programs have to come by.
"""

import contextlib
import statistics
import time

from bench.systems import Kind, System, on

#: Events a second, on so many rows, so many in one transaction.
RATES = ((20, 20, 1), (200, 200, 1), (1_000, 200, 10), (4_000, 2_000, 40))

OURS = [Kind(server, "ours", acks=True) for server in ("uvicorn", "daphne")]
#: More than the slowest can take is no comparison; this is what the issue's table has.
PEERS = [Kind(server, "channels", "redis") for server in ("uvicorn", "daphne")]


def measure(template, folder, redis, *, clients, seconds, rounds, servers):
    found = {}
    systems = []
    try:
        for kind in on(servers, [*OURS, *PEERS]):
            systems.append(System(kind, template, folder, redis))
            systems[-1].gather(clients)
        order = list(systems)
        for _ in range(rounds):
            order.append(order.pop(0))
            for rate, rows, together in RATES:
                for system in order:
                    if system.kind in PEERS and rate > RATES[0][0]:
                        continue
                    result = run(system, rate, rows, together, seconds)
                    found.setdefault(str(system.kind), {}).setdefault(rate, []).append(result)
        return {
            name: {rate: medians(results) for rate, results in rates.items()}
            for name, rates in found.items()
        }
    finally:
        for system in systems:
            with contextlib.suppress(Exception):
                system.close()


def run(system, rate, rows, together, seconds):
    """One rate on one system, for so long."""
    crowd, count = system.crowd, rate * seconds
    writer = system.outside()
    # The first event of each row leads nobody who came without a snapshot astray.
    settle(system, rows, together)
    crowd.reset()
    first = system.value + 1
    system.value += count
    before, began = system.cpu(), time.monotonic()
    writer.begin(system.kind.to, first, count, rows, gap=together / rate, together=together)
    committed = writer.done()
    written = time.monotonic() - began
    everybody = crowd.wait_for(system.value, patience=30)
    used, took = system.cpu() - before, time.monotonic() - began
    got = crowd.report(committed, rows=rows)
    assert got["disorder"] == 0, f"{system.kind}: {got}"
    return {
        "clients": got["clients"],
        "rows": rows,
        "seconds": round(written, 1),
        "percent_of_a_core": round(100 * used / took, 1),
        "microseconds": round(1e6 * used / (count * got["clients"]), 2),
        "p50_ms": got["p50_ms"],
        "p99_ms": got["p99_ms"],
        "lost": got["lost"],
        "everybody_current": everybody,
        "events_a_frame": round(got["events"] / max(1, got["frames"]), 1),
        "percent_of_the_clients_core": round(100 * got["core"], 1),
    }


def settle(system, rows, together):
    """Every row is written once, and everybody has it."""
    first = system.value + 1
    system.value += rows
    system.outside().write(system.kind.to, first, rows, rows, gap=0.05, together=max(together, 10))
    system.crowd.wait_for(system.value, patience=60)


def medians(results):
    """Of each number over the rounds; what was lost is added up."""
    found = {}
    for name, value in results[0].items():
        values = [result[name] for result in results]
        if name == "lost":
            found[name] = sum(values)
        elif isinstance(value, bool):
            found[name] = all(values)
        else:
            found[name] = statistics.median(value for value in values if value is not None)
    return found
