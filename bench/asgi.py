"""The project's application, and a door for writing from inside its process."""

import json
import time
from urllib.parse import parse_qs

from channels.db import database_sync_to_async

from dashboard.asgi import application as dashboard
from values.models import IntegerValue


@database_sync_to_async
def save(name, value):
    row = IntegerValue.objects.get(name=name)
    row.value = value
    row.save()
    return time.time()


async def application(scope, receive, send):
    if scope["type"] != "http" or scope["path"] != "/bench/save":
        await dashboard(scope, receive, send)
        return
    query = parse_qs(scope["query_string"].decode())
    committed = await save(query["name"][0], int(query["value"][0]))
    body = json.dumps(committed).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
