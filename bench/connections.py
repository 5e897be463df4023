"""What connections cost: memory of those that are idle and busy, handshakes, and a crowd's return.

Handshakes are counted by the server's CPU time, so many of them under way at once; a crowd comes
back at once and resumes, as after a restart of a proxy; a crowd joins a large stream; and a few
clients that never read are among others that do.
"""

import contextlib
import statistics
import time

from bench.rates import medians, run
from bench.systems import SERVERS, WINDOW, Kind, System, on

IDLE = [
    Kind(server, *rest)
    for server in SERVERS
    for rest in (("bare",), ("channels", "memory"), ("ours",))
]


def memory(template, folder, redis, *, clients, servers):
    """KiB of each connection: nothing happens; and after events at a pace, where there are any."""
    found = {}
    for kind in on(servers, IDLE):
        with running(kind, template, folder, redis) as system:
            # What the first connections bring along for all is paid by them.
            system.gather(20)
            system.disperse()
            time.sleep(1)
            before = system.memory()
            system.gather(clients)
            time.sleep(1)
            idle = system.memory() - before
            found[str(kind)] = {"clients": clients, "idle_kib": kib(idle, clients)}
            if kind.to == "ours":
                run(system, 200, 200, 1, 5)
                found[str(kind)]["busy_kib"] = kib(system.memory() - before, clients)
    return found


def handshakes(template, folder, redis, *, clients, rounds, servers):
    """CPU milliseconds of a handshake; with a session; with a subscription and its snapshot."""
    found = {}
    with contextlib.ExitStack() as stack:
        systems = [
            stack.enter_context(running(kind, template, folder, redis))
            for kind in on(servers, IDLE)
        ]
        order = list(systems)
        for number in range(rounds + 1):
            order.append(order.pop(0))
            for system in order:
                ours = system.kind.to == "ours"
                ways = {"": {"subscribe": None, "modern": ours}}
                if system.kind.to != "bare":
                    ways[" with sessions"] = ways[""] | {"sessions": True}
                if ours:
                    ways[" subscribed"] = {"subscribe": {"stream": "intval", "window": WINDOW}}
                    ways[" with sessions, subscribed"] = ways[" subscribed"] | {"sessions": True}
                for way, options in ways.items():
                    before = system.cpu()
                    system.gather(clients, **options)
                    used = system.cpu() - before
                    system.disperse()
                    if number:  # The first is for warming up.
                        found.setdefault(f"{system.kind}{way}", []).append(1e3 * used / clients)
    return {
        name: {"milliseconds": round(statistics.median(costs), 3), "rounds": len(costs)}
        for name, costs in found.items()
    }


def storm(template, folder, redis, *, clients, servers):
    """Seconds until so many clients, all dropped at once, are accepted and current again."""
    found = {}
    for kind in on(servers, [Kind(server, "ours", acks=True) for server in SERVERS]):
        with running(kind, template, folder, redis) as system:
            system.gather(clients)
            system.outside().write("ours", 1, 20, 20)
            system.value = 20
            system.crowd.wait_for(20)
            before = system.cpu()
            back = system.crowd.again()
            found[str(kind)] = {
                "clients": clients,
                "seconds_accepted": round(back["accepted"], 2),
                "seconds_current": round(back["current"], 2),
                "milliseconds_of_cpu_each": round(1e3 * (system.cpu() - before) / clients, 3),
            }
    return found


def joining(template, folder, redis, *, clients, rows, rounds):
    """Seconds until so many clients that come at once hold so many rows: to a server that has just
    begun, and has nobody and no rows yet; and medians of when they have gone and come again."""
    kind = Kind("uvicorn", "ours", acks=True)
    came = []
    with running(kind, template, folder, redis) as system:
        system.outside().write("ours", 1, rows, rows, together=1000)
        for _ in range(rounds + 1):
            before = system.cpu()
            opened = system.gather(clients)
            came.append((opened["accepted"], opened["current"], system.cpu() - before))
    names = ("seconds_accepted", "seconds_current", "seconds_of_cpu")
    again = [statistics.median(figures) for figures in zip(*came[1:], strict=True)]
    return {"clients": clients, "rows": rows, "rounds": rounds} | {
        when: {name: round(figure, 2) for name, figure in zip(names, figures, strict=True)}
        for when, figures in (("first", came[0]), ("again", again))
    }


def deaf(template, folder, redis, *, clients, seconds, servers):
    """Some who never read among others who do: what these get, how soon, and the memory."""
    found = {}
    for server in servers:
        kind = Kind(server, "ours", acks=True)
        with running(kind, template, folder, redis) as system:
            for name, some in (("all read", 0), ("5 never read", 5)):
                system.gather(clients, deaf=some)
                before = system.memory()
                result = run(system, 200, 200, 1, seconds)
                result["grown_mib"] = round((system.memory() - before) / 2**20, 1)
                found.setdefault(str(kind), {})[name] = result
    return found


def processes(template, folder, redis, *, clients, seconds, rounds):
    """The same events and clients, shared by more processes of one server."""
    found = {}
    kind = Kind("uvicorn", "ours", "redis", acks=True)
    with contextlib.ExitStack() as stack:
        systems = {
            count: stack.enter_context(running(kind, template, folder, redis, processes=count))
            for count in (1, 2, 4)
        }
        for system in systems.values():
            system.gather(clients)
        for _ in range(rounds):
            for count, system in systems.items():
                found.setdefault(count, []).append(run(system, 1_000, 200, 10, seconds))
    return {count: medians(results) for count, results in found.items()}


@contextlib.contextmanager
def running(kind, template, folder, redis, **options):
    system = System(kind, template, folder, redis, **options)
    try:
        yield system
    finally:
        system.close()


def kib(size, count):
    return round(size / count / 1024, 1)
