"""The websocket routes that run on Channels."""

from django.urls import path, re_path

from .consumers import Demultiplexer, EchoConsumer


async def no_such_route(scope, receive, send):
    """Refuse the handshake (HTTP 403): Channels alone would raise, and log a traceback."""
    await receive()
    await send({"type": "websocket.close"})


websocket_urlpatterns = [
    path("echo/", EchoConsumer.as_asgi()),
    path("stream/", Demultiplexer.as_asgi()),
    re_path(r"", no_such_route),
]
