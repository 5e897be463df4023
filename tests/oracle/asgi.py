"""A server of the tests' shapes: `ws /shapes/1-2/` is in the groups of rooms 1 and 2.

ORACLE_FAULT names a fault of `tests.oracle.faults` that the process has.
"""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()

from dashboard.asgi import lifespan  # noqa: E402
from tests.oracle import faults  # noqa: E402
from tests.shapes import watching  # noqa: E402

if name := os.environ.get("ORACLE_FAULT"):
    faults.plant(name)


watching.register()


async def answer_lifespan(scope, receive, send):
    await lifespan(receive, send)


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("shapes/<str:rooms>/", watching.Demultiplexer.as_asgi())]),
        "lifespan": answer_lifespan,
    }
)
