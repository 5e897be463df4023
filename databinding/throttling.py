"""How often one may ask: Django REST framework's throttle classes, on bindings, for every door.

    class Writing(ActionThrottle):
        actions = ("create", "update", "delete")
        rate = "60/min"

    class IntegerValueBinding(WebsocketBinding):
        throttle_classes = [Writing]

Throttles count in Django's default cache: in each process, or in all where that is shared. A
websocket has no request and no view, so they are shown what they look at: `AskedRequest` and
`AskedView`. Called in a thread (`databinding.threads`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from databinding.bearers import name_of
from databinding.crowd import address_of

if TYPE_CHECKING:
    from databinding.binding import Binding

#: The HTTP methods by which the same would be asked; of others, custom ones, POST.
METHODS: Final = {"list": "GET", "retrieve": "GET", "update": "PATCH", "delete": "DELETE"}


class TooOften(Throttled):
    """Says for how long to wait; `wait`, in seconds, is None if nobody can tell."""

    default_detail = "This comes too often."
    extra_detail_singular = "Try again in {wait} second."
    extra_detail_plural = "Try again in {wait} seconds."


class AskedRequest(HttpRequest):
    """What of a websocket's request is like one of HTTP: who asks, from where, and to do what.

    `REMOTE_ADDR` is the client's address, proxies considered (`databinding.crowd`); there is no
    body. `scope` is the websocket's.
    """

    def __init__(self, scope: Any, user: Any, action: str) -> None:
        super().__init__()
        self.scope = scope
        self.user = user
        self.auth = None
        self.method = METHODS.get(action, "POST")
        self.path = scope.get("path", "")
        self.META = {"REMOTE_ADDR": address_of(scope) or "", **_place_of(scope)}

    def _get_scheme(self) -> str:
        return "https" if self.scope.get("scheme") in ("wss", "https") else "http"


def _place_of(scope: Any) -> dict[str, str]:
    """Where it was asked, from which absolute addresses are made."""
    name, port = scope.get("server") or ("localhost", None)
    found = {"SERVER_NAME": str(name), "SERVER_PORT": str(port or 80)}
    for header, value in scope.get("headers", ()):
        if header == b"host":
            found["HTTP_HOST"] = value.decode("latin-1")
    return found


class AskedView:
    """What of a websocket's request is like a view: the action, and the row by its key."""

    def __init__(self, binding: type[Binding], action: str, kwargs: Mapping[str, Any]) -> None:
        self.binding = binding
        self.action = action
        self.kwargs = dict(kwargs)
        #: For Django REST framework's `ScopedRateThrottle`.
        self.throttle_scope = getattr(binding, "throttle_scope", None)


class ActionThrottle(SimpleRateThrottle):
    """So often of one user in all connections, or of one address where nobody is logged in.

    Asked by websockets and by Django REST framework's views alike. `rate` is one of theirs
    ("60/min"); with `scope` instead it stands in their settings.
    """

    #: The actions that count, all together; None: every one.
    actions: ClassVar[Iterable[str] | None] = None
    #: What one is told, before the time to wait.
    detail: ClassVar[str] = str(TooOften.default_detail)

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        if self.actions is not None and view.action not in self.actions:
            return None
        user = request.user
        known = user is not None and user.is_authenticated
        ident = f"user-{name_of(user)}" if known else self.get_ident(request)
        name = self.scope or f"{type(self).__module__}.{type(self).__qualname__}"
        return self.cache_format % {"scope": name, "ident": ident}

    def get_ident(self, request: Any) -> str:
        """Who asks, of those who aren't logged in: the address, as connections are counted."""
        scope = getattr(request, "scope", None)
        if scope is None:
            return super().get_ident(request)
        return address_of(scope) or ""


def throttles_of(binding: type[Binding]) -> list[BaseThrottle]:
    """The binding's; unless it names any, those that Django REST framework's views have."""
    classes: Any = binding.throttle_classes
    if classes is None:
        classes = api_settings.DEFAULT_THROTTLE_CLASSES
    return [throttle_class() for throttle_class in classes]


def check(binding: type[Binding], scope: Any, user: Any, action: str, kwargs: Any) -> None:
    """Raises `TooOften` if a websocket's request is."""
    request, view = AskedRequest(scope, user, action), AskedView(binding, action, kwargs)
    ask(throttles_of(binding), request, view)


def ask(throttles: Iterable[BaseThrottle], request: Any, view: Any) -> None:
    """Raises `TooOften` if this request is; all throttles count it."""
    refusing = [one for one in throttles if not one.allow_request(request, view)]
    if refusing:
        # The one to wait for longest has the word.
        waits = [(one.wait() or 0.0, place) for place, one in enumerate(refusing)]
        wait, place = max(waits)
        raise TooOften(wait or None, getattr(refusing[place], "detail", None))
