"""Sessions and their users for websockets, also where a crowd comes at once.

    from databinding.auth import AuthMiddlewareStack

    application = AuthMiddlewareStack(URLRouter([path("stream/", Demultiplexer.as_asgi())]))

`channels.auth` has the same, which asks for each handshake by itself, two queries, in the one
thread that a process has for all such work: who waits there has everybody else wait. Here a browser
without a session is nobody, and isn't asked about at all; handshakes that wait at the same time are
asked about together, in a query for all their sessions and one for their users. In the scope is
what Channels' has there: ``cookies``, ``session`` and ``user``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from channels import auth
from channels.sessions import CookieMiddleware, SessionMiddleware

from databinding.routers import consistent_reads
from databinding.threads import Together

if TYPE_CHECKING:
    from databinding.accounts import User

__all__ = ["AuthMiddleware", "AuthMiddlewareStack"]


class AuthMiddleware(auth.AuthMiddleware):
    """Puts the session's user into the scope. `channels.sessions.SessionMiddleware` is outside."""

    async def resolve_scope(self, scope: Any) -> None:
        from django.contrib.auth.models import AnonymousUser  # see `_look`

        user: User | Exception = AnonymousUser()
        if scope["session"].session_key is not None:
            user = await _arrived(scope)
        if isinstance(user, Exception):
            raise user
        scope["user"]._wrapped = user


def AuthMiddlewareStack(inner: Any) -> Any:
    """All that comes before a session's user: cookies, session, user."""
    return CookieMiddleware(SessionMiddleware(AuthMiddleware(inner)))


def _look(scopes: Sequence[Any]) -> Sequence[User | Exception]:
    # Models, for which Django must be set up: whoever writes an application may import this before.
    from databinding.accounts import users_of

    with consistent_reads():
        return users_of(scopes, fill=True)


_arrived = Together(_look)
