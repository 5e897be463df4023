"""The websocket door: bindings with a consumer, and the demultiplexer that carries their streams.

    from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer

    class IntegerValueBinding(WebsocketBinding):
        model = IntegerValue
        stream = "intval"
        fields = ["name", "value"]

        @classmethod
        def group_names(cls, instance):
            return ["intval-updates"]

        def has_permission(self, user, action, pk):
            return True

    class Demultiplexer(WebSocketDemultiplexer):
        consumers = {"intval": IntegerValueBinding.consumer}

        def connection_groups(self):
            return ["intval-updates"]

Route websockets to ``Demultiplexer.as_asgi()``. The names are those of Channels 1's
``channels.binding.websockets``; what is sent is in docs/reference/protocol.md.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer
from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from rest_framework import exceptions

from databinding import origin, protocol
from databinding.bearers import name_of
from databinding.binding import Binding, distinct_names
from databinding.crowd import Crowded, count_in, count_out
from databinding.foreign import application_of
from databinding.hub import running_hub
from databinding.identity import identified, may_identify
from databinding.inbound import BindingConsumer, consumer_class_for
from databinding.logs import outlined
from databinding.protocol import CloseCode, Closed, FrameError
from databinding.rights import basis_for
from databinding.routers import consistent_reads
from databinding.session import Session, acceptance, binding_of
from databinding.threads import in_database

__all__ = [
    "WebSocketDemultiplexer",
    "WebsocketBinding",
    "WebsocketBindingWithMembers",
    "WebsocketDemultiplexer",
]

#: Frames of one client after which all others have their turn.
TURN = 4


class _ConsumerOf:
    """`WebsocketBinding.consumer`: the class that carries the binding's actions."""

    def __get__(self, instance: object, owner: type[Binding]) -> type[BindingConsumer]:
        return consumer_class_for(owner)


class WebsocketBinding(Binding):
    """A binding that a demultiplexer can carry; see the module's example."""

    consumer = _ConsumerOf()


class WebsocketBindingWithMembers(WebsocketBinding):
    """Sends also what the row's properties and methods give.

    `send_members` names them; ``"room.name"`` follows relations and is sent as ``room__name``.
    """

    send_members: ClassVar[list[str]] = []

    @classmethod
    def extra_names(cls) -> list[str]:
        return [name.replace(".", "__") for name in cls.send_members]

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        data = super().serialize_data(instance)
        for path in self.send_members:
            member: Any = instance
            for name in path.split("."):
                member = getattr(member, name)
            data[path.replace(".", "__")] = member() if callable(member) else member
        return data


class WebSocketDemultiplexer(AsyncConsumer):
    """One websocket that carries many streams, as ``{"stream": …, "payload": …}``.

    `consumers` maps stream names to bindings, their consumers, or any Channels JSON or DCRF
    consumer class, which is then run as if it had a websocket of its own.

    It reads its socket itself: acks and heartbeats never wait for a request that is being worked
    on, and requests of one stream are done in their order, without holding up other streams.
    """

    consumers: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for stream, carried in cls.consumers.items():
            if binding_of(carried) is None:
                application_of(stream, carried)  # Refuses now, not the first connection.

    def connection_groups(self) -> Iterable[str] | Awaitable[Iterable[str]]:
        """The groups that this connection is in. The server says so, never the client.

        `scope` is set. May take the route's keyword arguments. A sync one runs in a thread, and
        may ask the database; one that asks nothing is better async, and has no thread to wait for.
        A `Throttled` turns the client away for a while.
        """
        return []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise ValueError(f"{type(self).__name__} can't serve {scope['type']} connections.")
        with consistent_reads():
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.base_send = send
        if (await receive())["type"] != "websocket.connect":
            return
        if not origin.allowed(scope):
            await send({"type": "websocket.close", "code": int(CloseCode.FORBIDDEN)})
            return
        try:
            await self._identify()
            self._counted = count_in(self.scope)
            try:
                await self._visit(receive, send)
            finally:
                count_out(self._counted)
        except (exceptions.AuthenticationFailed, exceptions.NotAuthenticated) as refused:
            await _turn_away(scope, send, FrameError(401, refused.detail), CloseCode.SESSION_OVER)
        except exceptions.Throttled as throttled:
            wait = getattr(throttled, "wait", None)  # Unknown to its stubs.
            error = FrameError(429, throttled.detail, retry_after=wait)
            await _turn_away(scope, send, error, CloseCode.TOO_FAST)
        except Crowded as crowded:
            running_hub().tally.limits[crowded.whose] += 1
            await _turn_away(scope, send, FrameError(429, str(crowded)), CloseCode.TOO_FAST)

    async def _visit(self, receive: Any, send: Any) -> None:
        basis = await basis_for(self.scope)
        groups = await self.groups()
        session = Session(self.consumers, groups, self.scope, receive, send, self._regroup, basis)
        try:
            await session.open()
            number = 0
            while (message := await receive())["type"] == "websocket.receive":
                await session.received(message)
                number += 1
                if number % TURN == 0:
                    # Frames that lie there already are received without waiting for anything.
                    await asyncio.sleep(0)
        except Closed as closed:
            if closed.code == CloseCode.TOO_FAST:
                session.hub.tally.limits["closed"] += 1
            await _close(send, closed.code)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            code = session.connection.ended
            if task is None or code is None:
                raise
            task.uncancel()
            await _close(send, code)
        finally:
            try:
                await session.hub.turn()  # A crowd may be going.
            finally:
                await session.close()

    async def groups(self) -> frozenset[str]:
        """What `connection_groups` says. Raises `Throttled`; what else that raises is logged."""
        ask = self._asking_groups()
        try:
            if inspect.iscoroutinefunction(self.connection_groups):
                return self._named(await ask())
            return self._named(await in_database(ask)())
        except exceptions.Throttled:
            raise
        except Exception as error:
            raise (error if settings.DEBUG else outlined(error)) from None

    async def _regroup(self, scope: Any) -> frozenset[str]:
        """What `connection_groups` says of a connection whose scope is another from now on."""
        before, self.scope = self.scope, scope
        if _user_key(before) != _user_key(scope):
            # It has said only now who it is.
            try:
                self._counted += count_in({"user": scope["user"]})
            except Crowded as crowded:
                running_hub().tally.limits[crowded.whose] += 1
                raise Closed(CloseCode.TOO_FAST) from None
        try:
            return await self.groups()
        except exceptions.Throttled:
            raise Closed(CloseCode.TOO_FAST) from None

    async def _identify(self) -> None:
        """Let the scope know whom its headers authenticate."""
        if may_identify(self.scope):
            found: Any = await in_database(identified)(self.scope)
            self.scope = found

    @classmethod
    def groups_of_page(cls, scope: Any) -> frozenset[str]:
        """What `connection_groups` would say to a websocket of a page, for synchronous code."""
        demultiplexer = cls()
        demultiplexer.scope = scope
        ask = demultiplexer._asking_groups()
        if inspect.iscoroutinefunction(demultiplexer.connection_groups):
            ask = async_to_sync(ask)
        with consistent_reads():
            return cls._named(ask())

    @classmethod
    def _named(cls, groups: Iterable[str]) -> frozenset[str]:
        return distinct_names(groups, f"{cls.__qualname__}.connection_groups()")

    def _asking_groups(self) -> Callable[[], Any]:
        """`connection_groups` with those of the route's keyword arguments that it takes."""
        scope: Any = self.scope
        kwargs = scope.get("url_route", {}).get("kwargs", {})
        taken = _keywords_of(type(self).connection_groups)
        if taken is not None:
            kwargs = {name: value for name, value in kwargs.items() if name in taken}
        return functools.partial(self.connection_groups, **kwargs)

    @classmethod
    def binding_of(cls, stream: str) -> type[Binding] | None:
        """The binding that the stream carries, if it does carry one."""
        return binding_of(cls.consumers.get(stream))


@functools.lru_cache(maxsize=1024)
def _keywords_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """The names of a function's parameters; None: it takes any keyword."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return None
    return frozenset(parameters)


def scope_of_page(request: HttpRequest, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The scope that a websocket of this page would have; `kwargs` are its route's."""
    meta = request.META
    address, host = meta.get("REMOTE_ADDR"), meta.get("HTTP_HOST")
    headers = [(b"host", host.encode("latin-1"))] if host else []
    return {
        "type": "websocket",
        "scheme": "wss" if request.is_secure() else "ws",
        "server": (meta.get("SERVER_NAME", "localhost"), meta.get("SERVER_PORT")),
        "path": request.path,
        "headers": getattr(request, "scope", {}).get("headers", headers),
        "client": (address, 0) if address else None,
        "user": request.user,
        "session": getattr(request, "session", None),
        "url_route": {"args": (), "kwargs": dict(kwargs)},
    }


def _user_key(scope: Any) -> Any:
    user = scope.get("user")
    return None if user is None else name_of(user)


#: Seconds to wait for a close frame to be sent.
_PATIENCE = 1.0

#: Channels 1's spelling.
WebsocketDemultiplexer = WebSocketDemultiplexer


async def _turn_away(scope: Any, send: Any, error: FrameError, code: CloseCode) -> None:
    """Accepted first: of a refused handshake a client is told nothing, and comes again soon."""
    try:
        await send(acceptance(scope))
        await send({"type": "websocket.send", "text": protocol.error_reply(error)})
    except (OSError, RuntimeError):
        return
    await _close(send, code)


async def _close(send: Any, code: CloseCode) -> None:
    try:
        # To a client that doesn't read some servers can't even say goodbye.
        async with asyncio.timeout(_PATIENCE):
            await _say_goodbye(send, code)
    except (OSError, RuntimeError):
        pass  # The client has gone before. (TimeoutError is an OSError.)


async def _say_goodbye(send: Any, code: CloseCode) -> None:
    try:
        await send({"type": "websocket.close", "code": int(code)})
    except (OSError, RuntimeError):
        raise
    except Exception:
        # Of the standard's own codes daphne sends none but 1000; it says so by a bare Exception.
        await send({"type": "websocket.close", "code": code.private})
