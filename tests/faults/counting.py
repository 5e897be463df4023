"""The project's ASGI application, which tells at `/queries` what it has asked its databases.

As JSON: statements of the relay, those that look whether there is news, and all others (of
handshakes and requests); connections to databases that were made.
"""

import json
import threading
from collections import Counter

from django.db.backends.signals import connection_created

from dashboard.asgi import application as project

#: The statements with which a relay looks whether anything was committed.
LOOKS = ("PRAGMA data_version", "SELECT pg_current_snapshot()")

asked = Counter(relay=0, looks=0, others=0, connections=0)


def count(execute, sql, params, many, context):
    if sql.startswith(LOOKS):
        asked["looks"] += 1
    elif threading.current_thread().name.startswith("databinding-"):
        asked["relay"] += 1
    else:
        asked["others"] += 1
    return execute(sql, params, many, context)


def connected(connection, **kwargs):
    asked["connections"] += 1
    if count not in connection.execute_wrappers:
        connection.execute_wrappers.append(count)


connection_created.connect(connected)


async def application(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/queries":
        body = json.dumps(asked).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
    else:
        await project(scope, receive, send)
