"""The project's application beside its peers, and doors for whoever measures them.

GET /bench/save?name=…&value=…&to=ours|page|channels|dcrf    save a row in this process
GET /bench/run?first=…&count=…&gap=…&rows=…             have the bare application send
GET /bench/held                                         how long the event loop was held
"""

import json
import time
from urllib.parse import parse_qs

from channels.db import database_sync_to_async

from dashboard.asgi import application as dashboard  # sets Django up, which all below need

# isort: split
from bench import peers
from bench.frames import name_of, text
from bench.models import BoundValue, ObservedValue, PlainValue
from tests.faults import pauses
from values.models import IntegerValue

MODELS = {"ours": BoundValue, "page": IntegerValue, "channels": PlainValue, "dcrf": ObservedValue}


@database_sync_to_async
def save(model, name, value):
    row = model.objects.get(name=name)
    row.value = value
    row.save()
    return time.time()


async def application(scope, receive, send):
    path = scope.get("path", "")
    if not path.startswith("/bench/"):
        await dashboard(scope, receive, send)
    elif scope["type"] == "websocket":
        await peers.peer(scope, receive, send)
    else:
        asked = {name: found[0] for name, found in parse_qs(scope["query_string"].decode()).items()}
        answer = await ANSWERS[path](**asked)
        body = json.dumps(answer).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def write(name, value, to="ours"):
    committed = await save(MODELS[to], name, int(value))
    if to == "channels":
        await peers.group_send(name, int(value))
    return committed


async def run(first, count, gap, rows):
    values = range(int(first), int(first) + int(count))
    peers.bare.start([text(name_of(value, int(rows)), value) for value in values], float(gap))


ANSWERS = {"/bench/save": write, "/bench/run": run, "/bench/held": pauses.asked}
