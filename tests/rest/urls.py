from django.urls import include, path

from databinding.rest import rest_urls
from databinding.sse import sse_view
from tests.shapes import bindings


class NamedBinding(bindings.NamedBinding):
    """Whoever makes one says its key; the shapes' own would have none."""

    fields = ["code", "value"]


class Demultiplexer(bindings.Demultiplexer):
    consumers = {**bindings.Demultiplexer.consumers, "named": NamedBinding}


urlpatterns = [
    path("rooms/<str:rooms>/<str:stream>/events", sse_view(Demultiplexer), name="events"),
    path("rooms/<str:rooms>/", include(rest_urls(Demultiplexer, events="events"))),
]
