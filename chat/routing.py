"""The chat's websocket routes, under `chat/`."""

from django.urls import path

from . import urls  # noqa: F401  (registers the converter)
from .consumers import Demultiplexer

websocket_urlpatterns = [path("<label:label>/", Demultiplexer.as_asgi())]
