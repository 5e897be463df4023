"""The server's CPU time for each event that reaches a client, one event in a frame.

All servers are up at once, each with its clients, and take turns: in each round every one of them
delivers some events, and whoever begins changes from round to round. The next event is written
when every client has the last, so no frame has two, and none waits for another. CPU time is the
process's own, of all its threads, with whatever else it does meanwhile; medians over the rounds.
"""

import contextlib
import statistics
import time

from bench.systems import Kind, System, on

ROWS = 10
#: Seconds of rest after an event has reached everybody.
REST = 0.02

BARE = [Kind("uvicorn", "bare"), Kind("daphne", "bare")]
#: The writer is another process; the limits send by themselves.
OUTSIDE = [
    Kind("none", "raw"),
    *BARE,
    Kind("uvicorn", "ours"),
    Kind("daphne", "ours"),
    Kind("uvicorn", "ours", acks=True),
    Kind("daphne", "ours", acks=True),
    Kind("uvicorn", "channels", "redis"),
    Kind("daphne", "channels", "redis"),
]
#: The rows are saved in the server's process.
INSIDE = [
    Kind("uvicorn", "ours"),
    Kind("daphne", "ours"),
    Kind("uvicorn", "channels", "memory"),
    Kind("daphne", "channels", "memory"),
    Kind("uvicorn", "dcrf", "redis"),
    Kind("daphne", "dcrf", "redis"),
]


def measure(template, folder, redis, *, clients, events, rounds, outside, servers):
    """Microseconds of each kind, by its name."""
    systems = []
    found = {}
    try:
        for kind in on(servers, OUTSIDE if outside else INSIDE):
            systems.append(System(kind, template, folder, redis))
            systems[-1].gather(clients)
            turn(systems[-1], 2, outside)
            found[str(kind)] = []
        order = list(systems)
        for _ in range(rounds):
            order.append(order.pop(0))
            for system in order:
                before = system.cpu()
                lost = turn(system, events, outside)
                used = system.cpu() - before
                found[str(system.kind)].append((1e6 * used / (clients * events), lost))
        return {name: described(rows, clients * events) for name, rows in found.items()}
    finally:
        for system in systems:
            with contextlib.suppress(Exception):
                system.close()


def turn(system, events, outside):
    """So many events to everybody; return how many didn't come."""
    crowd = system.crowd
    crowd.reset()
    if system.kind.to in ("raw", "bare"):
        system.run(events, REST, ROWS)
        crowd.wait_for(system.value)
    else:
        for _ in range(events):
            (system.save_outside if outside else system.save_inside)(ROWS)
            crowd.wait_for(system.value, patience=5)
            time.sleep(REST)
    got = crowd.report()
    assert got["disorder"] == 0, f"{system.kind}: {got}"
    return crowd.count * events - got["events"]


def described(rounds, deliveries):
    costs = sorted(cost for cost, _ in rounds)
    return {
        "microseconds": round(statistics.median(costs), 2),
        "least": round(costs[0], 2),
        "most": round(costs[-1], 2),
        "rounds": len(costs),
        "deliveries_a_round": deliveries,
        "lost": sum(lost for _, lost in rounds),
    }
