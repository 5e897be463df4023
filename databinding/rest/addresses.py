"""Which address is whose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import wraps
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from django.db import transaction
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, path, re_path
from django.utils.html import format_html_join
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from databinding.rest.callers import KnowsCallers
from databinding.rest.extra_actions import extra_actions
from databinding.rest.resources import Resource, resource_for
from databinding.websockets import WebSocketDemultiplexer

#: What is done by which method, in a stream and with one row of it, and custom actions.
_STREAM: Any = {"get": "list", "post": "create"}
_ROW: Any = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
_EXTRA: Any = {"post": "act"}


def rest_urls(
    demultiplexer: type[WebSocketDemultiplexer],
    *,
    beside: Sequence[URLPattern | URLResolver] = (),
    events: str | None = None,
) -> list[URLPattern | URLResolver]:
    """The addresses of the bindings that the demultiplexer carries; to be included.

    The description has what is `beside` them, too, addresses of Django REST framework's views; and
    the streams as events, if the name of the route of `databinding.sse.sse_view` is said.

    Keyword arguments of the route are passed to `connection_groups`, as a websocket's are. Names:
    ``rest-root``, ``rest-<stream>-list``, ``rest-<stream>-detail``, ``rest-schema``, ``rest-docs``;
    of a custom action ``rest-<stream>-list-<action>`` and ``rest-<stream>-detail-<action>``.
    """
    resources = {
        stream: resource_for(demultiplexer, stream)
        for stream in demultiplexer.consumers
        if demultiplexer.binding_of(stream) is not None
    }
    urls = [url for stream, resource in resources.items() for url in _urls_of(stream, resource)]
    described: list[URLPattern] = []
    if find_spec("drf_spectacular") is not None:  # the extra "rest"
        from databinding.rest.description import description_urls

        described = description_urls(demultiplexer, [*beside, *urls], events)
    pages = [(url.name or "").removeprefix("rest-") for url in described]
    root = _Root.as_view(streams=list(resources), beside=pages)
    return [path("", root, name="rest-root"), *described, *beside, *urls]


def _urls_of(stream: str, resource: type[Resource]) -> list[URLPattern]:
    rows = resource.as_view(_STREAM, detail=False, suffix="rows")
    row = resource.as_view(_ROW, detail=True, suffix="row")
    address, key = _literally(stream), r"(?P<pk>[\s\S]+)"
    found = [re_path(rf"^{address}/$", _by_itself(rows), name=f"rest-{stream}-list")]
    for extra in extra_actions(resource.consumer_class):
        for where, place in (("", "list"), (f"{key}/", "detail")):
            view = resource.as_view(_EXTRA, detail=bool(where), suffix=extra, extra=extra)
            found.append(
                re_path(
                    rf"^{address}/{where}{_literally(extra)}/$",
                    _by_itself(_by_post(view, row, extra)),
                    name=f"rest-{stream}-{place}-{extra}",
                )
            )
    return [*found, re_path(rf"^{address}/{key}/$", _by_itself(row), name=f"rest-{stream}-detail")]


def _literally(name: str) -> str:
    """As `re.escape`, which escapes hyphens too: those would stand in the description like that."""
    return re.escape(name).replace(r"\-", "-")


def _by_post(view: Any, row: Any, name: str) -> Any:
    """The action's view; by other methods it is the address of a row whose key ends like that."""

    @wraps(view)
    def either(request: HttpRequest, pk: str | None = None, **kwargs: Any) -> Any:
        if request.method == "POST":
            return view(request, **({} if pk is None else {"pk": pk}), **kwargs)
        return row(request, pk=name if pk is None else f"{pk}/{name}", **kwargs)

    return either


def _by_itself(view: Any) -> Any:
    """`databinding.actions` has transactions of its own, which end before anything is answered."""
    return transaction.non_atomic_requests(view)


class _Root(KnowsCallers, APIView):
    """The streams that there are, and their addresses."""

    permission_classes = ()
    schema = None
    streams: list[str] = []
    #: What a page of it leads to besides.
    beside: list[str] = []

    def get_view_name(self) -> str:
        return "Streams"

    def get_view_description(self, html: bool = False) -> str:
        return format_html_join(" · ", '<a href="{}/">{}</a>', ((one, one) for one in self.beside))

    def get(self, request: Request, **kwargs: Any) -> Response:
        here = request.build_absolute_uri(request.path)
        return Response({stream: f"{here}{quote(stream, safe='')}/" for stream in self.streams})
