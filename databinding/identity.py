"""Who a connection or a request is, read anew: the one place that says so.

A browser comes with its session. A program comes with what the Django REST framework classes of
``DATABINDING["AUTHENTICATION"]`` look for in its headers: a token. Instead of a header a websocket
may bring its token in a frame (`with_token`), which counts as if the handshake had had it. What
was brought goes before the session, and is what is asked again when it matters: a token that was
revoked or has expired stands for nobody.

All of these ask the database; not for an event loop.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.module_loading import import_string
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.request import Request

from databinding.accounts import raise_if_away, users_of
from databinding.bearers import key_of
from databinding.conf import settings
from databinding.stray import caught

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    User = AbstractBaseUser | AnonymousUser

Scope = Mapping[str, Any]

#: In a scope: its user is whom the headers authenticate.
_BY_HEADERS = "databinding.by_headers"
#: What Django REST framework's classes raise of credentials that aren't, or are no longer, good.
_REFUSED = (
    exceptions.AuthenticationFailed,
    exceptions.NotAuthenticated,
    exceptions.PermissionDenied,
)


def authentication_classes() -> Sequence[type[BaseAuthentication]]:
    """Those of the setting. Raises `ImportError` for one that isn't there."""
    return _imported(tuple(settings.AUTHENTICATION))


@functools.cache
def _imported(paths: tuple[str, ...]) -> Sequence[type[BaseAuthentication]]:
    return [import_string(path) for path in paths]


def may_identify(scope: Scope) -> bool:
    """Is there anything for the classes to look at? Those of tokens look at one header alone."""
    return any(name == b"authorization" for name, _ in scope.get("headers", ())) or not all(
        issubclass(one, TokenAuthentication) for one in authentication_classes()
    )


def identified(scope: Scope) -> Scope:
    """The scope of a handshake, with the user whom its headers authenticate, if they do.

    Raises Django REST framework's `AuthenticationFailed` for credentials that aren't good.
    """
    user = _by_headers(request_of(scope))
    return scope if user is None else {**scope, "user": user, _BY_HEADERS: True}


def with_token(scope: Scope, token: str, scheme: str = "Bearer") -> Scope:
    """The scope as if its handshake had brought this token. Raises `AuthenticationFailed`."""
    others = [header for header in scope.get("headers", ()) if header[0] != b"authorization"]
    brought = (b"authorization", f"{scheme} {token}".encode())
    found = identified({**scope, "headers": [*others, brought]})
    if _BY_HEADERS not in found:
        raise exceptions.AuthenticationFailed("No tokens of this kind are known here.")
    return found


def requesting_user(request: HttpRequest) -> User:
    """Whose HTTP request this is. Raises `AuthenticationFailed`."""
    user = _by_headers(request)
    return request.user if user is None else user


def current_user(scope: Scope) -> User:
    """Who this connection is now, read anew: sessions end and rights change while it is open."""
    if is_by_headers(scope):
        try:
            return _by_headers(request_of(scope)) or AnonymousUser()
        except _REFUSED:
            return AnonymousUser()
    (user,) = users_of([scope])
    if isinstance(user, Exception):
        raise user
    return user


def is_by_headers(scope: Scope) -> bool:
    """Is who it is asked of the classes of the setting, one connection after the other?"""
    return bool(scope.get(_BY_HEADERS))


def is_nobody(scope: Scope) -> bool:
    """Has it come with nothing by which it could be told who it is? Asks nothing itself."""
    if is_by_headers(scope):
        return False
    session = scope.get("session")
    if session is not None:
        return session.session_key is None
    user = scope.get("user")
    return user is None or not user.is_authenticated


def current_users(scopes: Sequence[Scope]) -> list[User | Exception]:
    """`current_user` of each; those that came by the same token are asked once.

    Of whom that can't be told just now, by the fault of a class of the setting, or of a backend:
    what that raised.
    """
    known: dict[Hashable, User | Exception] = {}
    for scope in scopes:
        brought = credentials(scope)
        if is_by_headers(scope) and brought not in known:
            try:
                known[brought] = caught(functools.partial(current_user, scope))
            except Exception as error:
                raise_if_away(error)
                known[brought] = error
    others = [scope for scope in scopes if not is_by_headers(scope)]
    known.update(zip(map(credentials, others), users_of(others), strict=True))
    return [known[credentials(scope)] for scope in scopes]


def credentials(scope: Scope) -> Hashable:
    """What a connection is known by; equal ones stand for the same user."""
    if is_by_headers(scope):
        return tuple(
            (name, value)
            for name, value in scope.get("headers", ())
            if not name.startswith(b"sec-websocket-")  # As good as random.
        )
    session = scope.get("session")
    if session is not None:
        return "session", session.session_key
    user = scope.get("user")
    return "user", None if user is None else key_of(user)


def request_of(scope: Scope) -> HttpRequest:
    """A request with a connection's headers; without the query of its URL, user and session.

    Secrets don't belong into URLs, where logs keep them, so none is looked for there. And whoever
    is here by a session is known by what that is now, not by what the handshake has found:
    `SessionAuthentication` would go on finding him when he has logged out.
    """
    request = ASGIRequest(
        {**scope, "type": "http", "method": "GET", "query_string": b""}, BytesIO()
    )
    request.user = AnonymousUser()
    return request


def _by_headers(request: HttpRequest) -> User | None:
    for authentication_class in authentication_classes():
        found = authentication_class().authenticate(Request(request))
        if found is not None:
            user: User = found[0]
            return user
    return None
