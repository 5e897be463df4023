"""The project's ASGI application, which tells at `/pauses` how long its event loop was held.

As JSON, in seconds, the longest pause since the last time it was asked: as the clock saw it, and in
the process's own CPU time, which doesn't count what else the machine was doing.
"""

import asyncio
import json
import time

from dashboard.asgi import application as project

#: Seconds between two looks at the clock.
TICK = 0.001

longest = {"clock": 0.0, "cpu": 0.0}
ticking = None


async def tick():
    while True:
        clock, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(TICK)
        longest["clock"] = max(longest["clock"], time.perf_counter() - clock - TICK)
        longest["cpu"] = max(longest["cpu"], time.process_time() - cpu)


async def asked():
    """The longest pause since this was last asked."""
    global ticking
    if ticking is None:
        ticking = asyncio.create_task(tick())
    found = dict(longest)
    longest.update(clock=0.0, cpu=0.0)
    return found


async def application(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/pauses":
        body = json.dumps(await asked()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
    else:
        await project(scope, receive, send)
