"""Who a connection is, as it says and asks itself: the requests that belong to no stream.

    {"stream": null, "payload": {"action": "authenticate", "token": "…", "request_id": 1}}
    {"stream": null, "payload": {"action": "whoami", "request_id": 2}}

The first is for programs that can't set a header of the handshake; it must come before anything
else, so that a stream never is one user's first and another's then.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any, Protocol

from rest_framework import exceptions

from databinding import protocol
from databinding.conf import settings
from databinding.connection import Connection
from databinding.identity import Scope, current_user, with_token
from databinding.protocol import CloseCode, Closed, FrameError, Request
from databinding.refusals import as_api_exception
from databinding.threads import in_database

logger = logging.getLogger("databinding")

#: What a header's scheme looks like.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Session(Protocol):
    """The open websocket; `databinding.session` is the one there is."""

    scope: Any
    connection: Connection
    waiting: int
    begun: bool

    async def begin_anew(self, scope: Scope) -> None: ...


class Introduction:
    """One connection's requests about who it is."""

    #: Tokens that may be wrong; with the last of them the socket is closed with 4401.
    TRIES = 3

    def __init__(self, session: Session) -> None:
        self.session = session
        self._failures = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def received(self, payload: Any) -> None:
        """One payload. Raises `FrameError`, or `Closed` after too many wrong tokens."""
        request = protocol.request(None, payload)
        if request.action == protocol.AUTHENTICATE:
            # What comes behind it waits, since it is meant for whom this makes of the connection.
            await self._authenticate(request)
        elif request.action == protocol.WHOAMI:
            self._begin(request)
        else:
            raise _error(request, 405, f'Method "{request.action}" not allowed without a stream.')

    def end(self) -> None:
        """The connection is over."""
        for task in self._tasks:
            task.cancel()

    async def _authenticate(self, request: Request) -> None:
        token, scheme = _brought(request)
        if self.session.begun:
            raise _error(request, 409, "Authenticate before anything else.")
        try:
            scope = await in_database(with_token)(self.session.scope, token, scheme)
        except Exception as error:
            refused = as_api_exception(error)
            if refused is None:
                raise
            if isinstance(refused, exceptions.AuthenticationFailed):
                self._failures += 1
            # 401 it is, also from classes that name no scheme, of which REST would make a 403.
            status = 503 if refused.status_code == 503 else 401
            fault = _error(request, status, refused.detail)
            await self.session.connection.reply(protocol.error_reply(fault))
            if self._failures >= self.TRIES:
                raise Closed(CloseCode.SESSION_OVER) from None
            return
        self.session.begun = True
        await self.session.begin_anew(scope)
        await self._tell(request)

    def _begin(self, request: Request) -> None:
        if request.body:
            raise _error(request, 400, f"{protocol.WHOAMI} takes nothing.")
        if self.session.waiting >= settings.MAX_REQUESTS:
            raise _error(request, 429, "Too many requests wait already.")
        self.session.waiting += 1
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            await self._tell(request)
        except Exception as error:
            refused = as_api_exception(error)
            if refused is None:
                logger.error("%s failed.", request.action, exc_info=error)
                refused = exceptions.APIException("Something went wrong on the server.")
            fault = _error(request, refused.status_code, refused.detail)
            await self.session.connection.reply(protocol.error_reply(fault))
        finally:
            self.session.waiting -= 1

    async def _tell(self, request: Request) -> None:
        data = await in_database(_described)(self.session.scope)
        await self.session.connection.reply(
            protocol.reply(None, request.action, request.request_id, data=data)
        )


def described(user: Any) -> dict[str, Any]:
    """What somebody is told who asks who they are."""
    return {
        "authenticated": bool(user.is_authenticated),
        "user": user.get_username() if user.is_authenticated else None,
    }


def _described(scope: Scope) -> dict[str, Any]:
    return described(current_user(scope))


def _brought(request: Request) -> tuple[str, str]:
    body: Mapping[str, Any] = request.body
    for name in body:
        if name not in ("token", "scheme"):
            raise _error(request, 400, {name: ["This action has no such parameter."]})
    token, scheme = body.get("token"), body.get("scheme", "Bearer")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _error(request, 400, {"token": ["This must be a token."]})
    if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
        raise _error(request, 400, {"scheme": ['This must be a word, as "Bearer".']})
    return token, scheme


def _error(request: Request, status: int, detail: Any) -> FrameError:
    return FrameError(status, detail, action=request.action, request_id=request.request_id)
