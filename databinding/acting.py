"""Who is writing, for whatever wants to know while a write goes on: a record of changes, say.

    MIDDLEWARE = [..., "databinding.acting.ActingUserMiddleware"]     # after authentication

    from databinding.acting import acting_user
    acting_user()       # the user of this request, websocket action or None

Requests say so by the middleware, actions that come by websocket or REST say so themselves. It
follows the call, also into threads by ``sync_to_async``; what a program, a shell or a command
writes is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponseBase

_acting: ContextVar[Callable[[], Any] | None] = ContextVar("databinding_acting", default=None)


def acting_user() -> Any:
    """Who is writing; None: nobody who is logged in."""
    ask = _acting.get()
    user = None if ask is None else ask()
    return user if user is not None and user.is_authenticated else None


@contextmanager
def acting(user: Any) -> Iterator[None]:
    """What is written within is this user's."""
    token = _acting.set(lambda: user)
    try:
        yield
    finally:
        _acting.reset(token)


class ActingUserMiddleware:
    """What a request writes is its user's; whoever that is once it is written."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _acting.set(lambda: getattr(request, "user", None))
        try:
            return self.get_response(request)
        finally:
            _acting.reset(token)
