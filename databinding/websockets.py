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
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from databinding import origin, protocol
from databinding.binding import Binding
from databinding.conf import settings
from databinding.connection import Connection
from databinding.hub import running_hub
from databinding.inbound import BindingConsumer, consumer_class_for, current_user
from databinding.protocol import CloseCode, FrameError, Request
from databinding.relay import DatabaseAway
from databinding.subscription import Subscription

__all__ = [
    "WebSocketDemultiplexer",
    "WebsocketBinding",
    "WebsocketBindingWithMembers",
    "WebsocketDemultiplexer",
]

logger = logging.getLogger("databinding")

Application = Callable[[Any, Any, Any], Awaitable[None]]


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

    def connection_groups(self) -> Iterable[str] | Awaitable[Iterable[str]]:
        """The groups that this connection is in. The server says so, never the client.

        `scope` is set. May be async, and may take the route's keyword arguments. A sync one
        runs in Django's database thread.
        """
        return []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise ValueError(f"{type(self).__name__} can't serve {scope['type']} connections.")
        self.scope = scope
        self.base_send = send
        if (await receive())["type"] != "websocket.connect":
            return
        if not origin.allowed(scope):
            await send({"type": "websocket.close", "code": int(CloseCode.FORBIDDEN)})
            return
        session = _Session(self, scope, send)
        try:
            await session.open()
            while (message := await receive())["type"] == "websocket.receive":
                await session.received(message)
        except _Closed as closed:
            await _close(send, closed.code)
        finally:
            await session.close()

    async def groups(self) -> frozenset[str]:
        """What `connection_groups` says."""
        ask = self._asking_groups()
        if inspect.iscoroutinefunction(self.connection_groups):
            return frozenset(await ask())
        return frozenset(await database_sync_to_async(ask)())

    @classmethod
    def groups_of_page(cls, scope: Any) -> frozenset[str]:
        """What `connection_groups` would say to a websocket of a page, for synchronous code."""
        demultiplexer = cls()
        demultiplexer.scope = scope
        ask = demultiplexer._asking_groups()
        if inspect.iscoroutinefunction(demultiplexer.connection_groups):
            ask = async_to_sync(ask)
        return frozenset(ask())

    def _asking_groups(self) -> Callable[[], Any]:
        """`connection_groups` with those of the route's keyword arguments that it takes."""
        scope: Any = self.scope
        kwargs = scope.get("url_route", {}).get("kwargs", {})
        parameters = inspect.signature(self.connection_groups).parameters
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            kwargs = {name: value for name, value in kwargs.items() if name in parameters}
        return functools.partial(self.connection_groups, **kwargs)

    @classmethod
    def binding_of(cls, stream: str) -> type[Binding] | None:
        """The binding that the stream carries, if it does carry one."""
        carried = cls.consumers.get(stream)
        if isinstance(carried, type) and issubclass(carried, Binding):
            return carried
        if isinstance(carried, type) and issubclass(carried, BindingConsumer):
            return carried.binding
        return None


#: Channels 1's spelling.
WebsocketDemultiplexer = WebSocketDemultiplexer


class _Closed(Exception):
    """A limit was overstepped that closes the socket."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class _Session:
    """One open websocket: its streams, and which of them are subscribed."""

    def __init__(self, demultiplexer: WebSocketDemultiplexer, scope: Any, send: Any) -> None:
        self.demultiplexer = demultiplexer
        self.scope = scope
        self.groups: frozenset[str] = frozenset()
        self.connection = Connection(send)
        self.hub = running_hub()
        self.doors: dict[str, Door | _Foreign] = {}
        self.waiting = 0
        self._asgi_send = send

    async def open(self) -> None:
        self.groups = await self.demultiplexer.groups()
        for stream, carried in self.demultiplexer.consumers.items():
            binding = self.demultiplexer.binding_of(stream)
            if binding is None:
                self.doors[stream] = _Foreign(self, stream, carried)
            else:
                consumer = carried if issubclass(carried, BindingConsumer) else None
                self.doors[stream] = Door(self, stream, binding, consumer)
        modern = protocol.SUBPROTOCOL in self.scope.get("subprotocols", ())
        if not modern:
            # Before the handshake ends: what changes after it is seen.
            await asyncio.gather(*(door.join_classic() for door in self._bound()))
        accept: dict[str, Any] = {"type": "websocket.accept"}
        if modern:
            accept["subprotocol"] = protocol.SUBPROTOCOL
        await self._asgi_send(accept)
        for door in self.doors.values():
            door.start()

    async def received(self, message: Mapping[str, Any]) -> None:
        """One frame of the client."""
        text = message.get("text")
        if text is None:
            data: bytes = message.get("bytes") or b""
            text = data.decode("utf-8", errors="replace")
        if text == protocol.PING:
            self.connection.pong(protocol.PONG)
            return
        if len(text) > settings.MAX_FRAME:
            raise _Closed(CloseCode.TOO_BIG)
        try:
            stream, payload = protocol.parse(text)
            door = self.doors.get(stream)
            if door is None:
                raise FrameError(404, "There is no such stream.", stream=stream)
            door.received(payload)
        except FrameError as error:
            await self.connection.reply(protocol.error_reply(error))

    def end_classic(self) -> None:
        """The first subscription ends classic frames on all streams: nothing comes twice."""
        for door in self._bound():
            door.end_classic()

    async def close(self) -> None:
        self.connection.stop()
        await asyncio.gather(*(door.close() for door in self.doors.values()))

    def count(self) -> int:
        """Subscriptions of this connection."""
        return sum(door.subscription is not None for door in self._bound())

    def snapshots(self) -> int:
        """Subscriptions that are getting a snapshot."""
        return sum(
            door.subscription is not None and door.subscription.loading for door in self._bound()
        )

    def _bound(self) -> list[Door]:
        return [door for door in self.doors.values() if isinstance(door, Door)]


class Door:
    """A stream that carries a binding, as one connection has it."""

    def __init__(
        self,
        session: _Session,
        stream: str,
        binding: type[Binding],
        consumer_class: type[BindingConsumer] | None,
    ) -> None:
        self.session = session
        self.stream = stream
        self.binding = binding
        self.groups = session.groups
        self.subscription: Subscription | None = None
        self._consumer_class = consumer_class
        self._consumer: BindingConsumer | None = None
        self._classic: Subscription | None = None
        self._requests: deque[Request] = deque()
        self._worker: asyncio.Task[None] | None = None

    # From the client

    def received(self, payload: Any) -> None:
        """One payload. Acks count at once; requests are done in their order."""
        request = protocol.request(self.stream, payload)
        if request.action == protocol.ACK:
            self._ack(request)
            return
        if self.session.waiting >= settings.MAX_REQUESTS:
            raise self._error(request, 429, "Too many requests wait already.")
        self.session.waiting += 1
        self._requests.append(request)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._requests:
            request = self._requests.popleft()
            try:
                await self._do(request)
            except FrameError as error:
                await self.reply(protocol.error_reply(error))
            except Exception:
                logger.exception("Stream %s: %s failed.", self.stream, request.action)
                fault = self._error(request, 500, "Something went wrong on the server.")
                await self.reply(protocol.error_reply(fault))
            finally:
                self.session.waiting -= 1
        self._worker = None

    async def _do(self, request: Request) -> None:
        if request.action == protocol.SUBSCRIBE:
            await self._subscribe(request)
        elif request.action == protocol.UNSUBSCRIBE:
            await self._unsubscribe(request)
        else:
            if self._consumer is None:
                consumer_class = self._consumer_class or consumer_class_for(self.binding)
                self._consumer = consumer_class()
                self._consumer.scope = self.session.scope
                self._consumer.door = self
            body = dict(request.body)
            # DCRF passes the body on as keyword arguments beside these two.
            for name in ("self", "action", "request_id"):
                if name in body:
                    raise self._error(request, 400, f'"{name}" is no parameter.')
            await self._consumer.handle_action(request.action, request.request_id, **body)

    def _ack(self, request: Request) -> None:
        frames = request.body.get("frames")
        if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
            raise self._error(request, 400, '"frames" must be a positive number.')
        if self.subscription is not None:
            self.subscription.ack(frames)

    async def _subscribe(self, request: Request) -> None:
        body = dict(request.body)
        cursor = body.pop("cursor", None)
        if cursor is not None and not isinstance(cursor, str):
            raise self._error(request, 400, '"cursor" must be a string.')
        window = body.pop("window", None)
        most = settings.MAX_WINDOW
        if window is not None and (
            isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= most
        ):
            raise self._error(request, 400, f'"window" must be a number from 1 to {most}.')
        if body:
            names = ", ".join(sorted(body))
            raise self._error(request, 400, f"This stream has no such parameter: {names}.")
        if self.subscription is None and self.session.count() >= settings.MAX_SUBSCRIPTIONS:
            raise self._error(request, 429, "This connection has too many subscriptions.")
        if self.session.snapshots() >= settings.MAX_SNAPSHOTS:
            raise self._error(request, 429, "Too many snapshots are on their way; try again.")
        await self._check_permission(request)
        try:
            joined = await self.session.hub.join(
                self.binding, self.groups, self.stream, cursor=cursor
            )
        except DatabaseAway as error:
            raise self._error(request, 503, str(error)) from None
        self.session.end_classic()
        if self.subscription is not None:
            self.subscription.end()
        subscription = Subscription(
            self.session.hub, self.session.connection, self.stream, joined, window=window
        )
        self.subscription = subscription
        data = {"resumed": joined.resumed}
        await self.reply(
            protocol.reply(self.stream, protocol.SUBSCRIBE, request.request_id, data=data)
        )
        subscription.start()

    async def _unsubscribe(self, request: Request) -> None:
        if self.subscription is not None:
            self.subscription.end()
            self.subscription = None
        self.session.end_classic()
        await self.reply(protocol.reply(self.stream, protocol.UNSUBSCRIBE, request.request_id))

    async def _check_permission(self, request: Request) -> None:
        allowed, authenticated = await self._may_subscribe()
        if not allowed:
            status, detail = (
                (403, "You may not subscribe to this stream.")
                if authenticated
                else (401, "Log in to subscribe to this stream.")
            )
            raise self._error(request, status, detail)

    async def _may_subscribe(self) -> tuple[bool, bool]:
        def ask() -> tuple[bool, bool]:
            user = current_user(self.session.scope)
            allowed = self.binding().has_permission(user, protocol.SUBSCRIBE, None)
            return allowed, user.is_authenticated

        answer: tuple[bool, bool] = await database_sync_to_async(ask)()
        return answer

    def _error(self, request: Request, status: int, detail: str) -> FrameError:
        return FrameError(
            status,
            detail,
            stream=self.stream,
            action=request.action,
            request_id=request.request_id,
        )

    # To the client

    async def reply(self, text: str) -> None:
        await self.session.connection.reply(text)

    async def reply_after_effect(self, text: str) -> None:
        """Send a reply after the batch that shows what the request wrote."""
        subscription = self.subscription
        if subscription is not None:
            try:
                await self.session.hub.ask(subscription.relay, lambda this: None)
                subscription.reply(text)
                return
            except DatabaseAway:
                pass  # It was written; that much can be said.
        await self.reply(text)

    # Classic frames, until the first subscription

    async def join_classic(self) -> None:
        try:
            allowed, _ = await self._may_subscribe()
            if not allowed:
                return
            joined = await self.session.hub.join(
                self.binding, self.groups, self.stream, classic=True
            )
        except DatabaseAway:
            logger.warning("A classic client of %s gets nothing: database away.", self.stream)
            return
        self._classic = Subscription(
            self.session.hub, self.session.connection, self.stream, joined, classic=True
        )

    def end_classic(self) -> None:
        if self._classic is not None:
            self._classic.end()
            self._classic = None

    def start(self) -> None:
        if self._classic is not None:
            self._classic.start()

    async def close(self) -> None:
        self.end_classic()
        if self.subscription is not None:
            self.subscription.end()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


class _Foreign:
    """A stream that carries another consumer, which thinks that it has a websocket of its own."""

    #: Frames that may wait for the consumer.
    most_waiting = 100
    #: Seconds that the consumer has to end after its client has gone.
    patience = 5.0

    def __init__(self, session: _Session, stream: str, carried: Any) -> None:
        self.session = session
        self.stream = stream
        self._application: Application = _application(stream, carried)
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._application(dict(self.session.scope), self._inbox.get, self._send)
        except Exception:
            logger.exception("The consumer of stream %s failed.", self.stream)
            error = FrameError(500, "Something went wrong on the server.", stream=self.stream)
            await self.session.connection.reply(protocol.error_reply(error))

    async def _send(self, message: Mapping[str, Any]) -> None:
        text = message.get("text")
        if message["type"] == "websocket.send" and text is not None:
            try:
                json.loads(text)
            except ValueError:
                text = protocol.encode(text)
            await self.session.connection.reply(protocol.envelope(self.stream, text))

    def received(self, payload: Any) -> None:
        if self._task is None or self._task.done():
            raise FrameError(404, "This stream has ended.", stream=self.stream)
        if self._inbox.qsize() >= self.most_waiting:
            raise FrameError(429, "Too many frames wait already.", stream=self.stream)
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(payload)})

    async def close(self) -> None:
        if self._task is None or self._task.done():
            return
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        _, unfinished = await asyncio.wait([self._task], timeout=self.patience)
        for task in unfinished:
            task.cancel()


def _application(stream: str, carried: Any) -> Application:
    application: Any = carried
    if isinstance(carried, type):
        if not issubclass(carried, AsyncConsumer):
            _refuse(stream, carried)
        application = carried.as_asgi()
    if not callable(application):
        _refuse(stream, carried)
    return application  # type: ignore[no-any-return]


def _refuse(stream: str, carried: Any) -> NoReturn:
    raise ImproperlyConfigured(
        f"consumers[{stream!r}] must be a binding or a consumer class, not {carried!r}."
    )


async def _close(send: Any, code: CloseCode) -> None:
    try:
        await send({"type": "websocket.close", "code": int(code)})
    except (OSError, RuntimeError):
        pass  # The client has gone before.
