"""Rows and a cursor in the served page, so that it starts without a flash and without a gap.

{% load databinding %}
{% live_rows "dashboard.consumers.Demultiplexer" "intval" %}

And the elements that show such rows in any page: ``{% live_elements %}`` loads them.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from django import template
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.safestring import SafeString, mark_safe
from rest_framework import exceptions

from databinding.admission import Place, admit
from databinding.conf import settings
from databinding.passes import Pass
from databinding.relay import DatabaseAway, relay_for
from databinding.websockets import WebSocketDemultiplexer, scope_of_page

logger = logging.getLogger("databinding")

register = template.Library()

#: What Django's `json_script` escapes, so that no value can end the element.
_ESCAPES = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@register.simple_tag(takes_context=True)
def live_rows(
    context: template.Context, demultiplexer: str, stream: str, **kwargs: Any
) -> SafeString:
    """A JSON script element with the rows that this user's websocket would get, and its cursor.

    `demultiplexer` is the dotted path of its class, keyword arguments are its route's. Where the
    user may not subscribe, the database can't be asked or the rows are too many for a page, items
    and cursor are null, and the page's websocket gets what there is to get.
    """
    request: HttpRequest = context["request"]
    demultiplexer_class: type[WebSocketDemultiplexer] = import_string(demultiplexer)
    binding = demultiplexer_class.binding_of(stream)
    if binding is None:
        raise template.TemplateSyntaxError(f"{demultiplexer} has no binding as {stream!r}.")
    text = '{"items":null,"cursor":null}'
    scope = scope_of_page(request, kwargs)
    groups = demultiplexer_class.groups_of_page(scope)
    try:
        place = admit(binding, request.user, groups, {}, scope)
    except exceptions.APIException:
        pass  # The websocket is told why.
    else:
        text = _rows(place, stream, _patience(request)) or text
    head = f'{{"stream":{json.dumps(stream)},'
    return format_html(
        '<script type="application/json" data-databinding="{}">{}</script>',
        stream,
        mark_safe((head + text[1:]).translate(_ESCAPES)),
    )


def _patience(request: HttpRequest) -> float:
    """Seconds that are left: a page with several streams doesn't wait for each of them anew."""
    now = time.monotonic()
    until: float = vars(request).setdefault("_databinding_until", now + settings.DATABASE_TIMEOUT)
    return max(0.0, until - now)


def _rows(place: Place, stream: str, patience: float) -> str | None:
    def read(this: Pass) -> str | None:
        audience = this.audience(*place)
        with this.holdings.lock:
            return audience.page(stream, this.standing)

    # The relay reads, not this request: what a request's own transaction sees may never commit.
    asked = relay_for(place.form.binding.alias()).submit(read, wants=place)
    try:
        return asked.result(patience)
    except (DatabaseAway, FutureTimeoutError):
        asked.cancel()
        logger.warning("The rows of %s are left out of the page: database away.", stream)
        return None


@register.simple_tag
def live_elements(url: str = "/stream/") -> SafeString:
    """The script of `<live-value>`, `<live-table>` and `<live-chart>`, once in a page.

    `url` is where those connect to that don't say so themselves.
    """
    return format_html(
        '<script type="module" src="{}" data-live-url="{}"></script>',
        static("databinding/elements.js"),
        url,
    )
