"""The ASGI application: who serves what.

http            Django
websocket /     the raw application in `websocket.py`
websocket …     Channels, with the session's user: `routing.py`
lifespan        answered here
"""

import asyncio
import gc
import os
import sys

from channels.routing import URLRouter
from django.core.asgi import get_asgi_application

from databinding.auth import AuthMiddlewareStack

gc.disable()  # until all is there: see the end

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
django_application = get_asgi_application()  # sets Django up, before anything below needs models

from .periodic import runner  # noqa: E402
from .routing import websocket_urlpatterns  # noqa: E402
from .websocket import websocket_application  # noqa: E402

channels_application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))


async def application(scope, receive, send):
    match scope["type"], scope.get("path"):
        case "http", _:
            runner.start()  # not only at the lifespan's begin, which daphne doesn't tell
            await django_application(scope, receive, send)
        case "websocket", "/":
            await websocket_application(scope, receive, send)
        case "websocket", _:
            runner.start()
            await channels_application(scope, receive, send)
        case "lifespan", _:
            await lifespan(receive, send)
        case other, _:
            raise ValueError(f"No application for ASGI scope type {other!r}")


async def lifespan(receive, send):
    """Periodic jobs begin and end with the server; the relay comes and goes by its subscribers."""
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            runner.start()
        else:
            await asyncio.to_thread(runner.stop)
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


# Threads that ask the database wait for the event loop's thread whenever it is at work, by default
# for 5 ms, after each statement anew.
sys.setswitchinterval(0.001)

# What there is by now stays until the end. Else Python's garbage collector would walk through all
# of it every so often, for 50 ms each time, while the event loop waits. What of it is garbage stays
# too: that is next to nothing, and looking for it would be one such walk.
gc.freeze()
gc.enable()
# Full walks are for what has piled up, not for each crowd that comes: its connections stay for a
# while, and leave nothing to be collected when they go. Two thousand are a walk of 150 ms.
gc.set_threshold(700, 10, 500)
