"""The websocket routes that run on Channels."""

from channels.routing import URLRouter
from django.urls import path, re_path

from chat import routing as chat
from databinding.admin.websockets import LiveAdminDemultiplexer

from .consumers import Demultiplexer, EchoConsumer


async def no_such_route(scope, receive, send):
    """Refuse the handshake (HTTP 403): Channels alone would raise, and log a traceback."""
    await receive()
    await send({"type": "websocket.close"})


websocket_urlpatterns = [
    path("echo/", EchoConsumer.as_asgi()),
    path("stream/", Demultiplexer.as_asgi()),
    path("admin/live/", LiveAdminDemultiplexer.as_asgi()),
    path("chat/", URLRouter(chat.websocket_urlpatterns)),
    re_path(r"", no_such_route),
]
