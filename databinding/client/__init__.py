"""Rows of a Django database, live in a Python program on whatever machine, and written back.

    from databinding.client import connect

    async with connect("wss://example.com/stream/", token=token) as live:
        ints = live.stream("intval")
        async for change in ints:
            for event in change:
                print(event.action, event.pk, event.data)

It reconnects by itself and resumes where it was. Nothing here imports Django. See
docs/reference/python.md, and `options` for what can be tuned.

Needs the package ``websockets``: ``pip install django-databinding[client]``.
"""

from databinding.client.changes import Change, Event
from databinding.client.connection import Connection as connect
from databinding.client.errors import (
    ClosedError,
    DatabindingError,
    NotSentError,
    ProtocolError,
    RequestError,
    UnknownOutcomeError,
)
from databinding.client.options import Options

__all__ = [
    "Change",
    "ClosedError",
    "DatabindingError",
    "Event",
    "NotSentError",
    "Options",
    "ProtocolError",
    "RequestError",
    "UnknownOutcomeError",
    "connect",
]
