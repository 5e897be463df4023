"""A stream as server-sent events: for `curl`, and for places where websockets are blocked.

    from databinding.sse import sse_view

    path("stream/<str:stream>/events", sse_view(Demultiplexer))

What is sent are the frames that a websocket's subscription gets, from the same audience, after the
same questions. There are no acknowledgements: a frame is made when the server program asks for
one, so that a client which reads slowly gets fewer frames with the latest states.
docs/reference/sse.md says what clients see.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import ExitStack, suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET

from databinding import origin, protocol
from databinding.admission import Place, admit
from databinding.binding import Binding
from databinding.connection import Connection
from databinding.crowd import Crowded, count_in, count_out
from databinding.form import Form
from databinding.hub import Hub, running_hub
from databinding.identity import Scope, identified
from databinding.passes import Joined, names_of
from databinding.protocol import FrameError
from databinding.refusals import as_api_exception
from databinding.relay import relay_for
from databinding.rights import Basis, Known
from databinding.routers import consistent_reads
from databinding.subscription import Subscription
from databinding.threads import in_database
from databinding.websockets import WebSocketDemultiplexer, scope_of_page

logger = logging.getLogger("databinding")

#: Seconds of silence after which a comment is sent: proxies end what is silent for a minute.
KEEPALIVE = 15.0
#: Characters after which a response ends, as soon as its last frame can be resumed from. Some
#: servers (daphne) don't tell that a client isn't reading, and keep what they are given.
MOST = 16 * 2**20
#: Milliseconds after which clients come back, at least and at most, at random: not all at once.
RETRY = (500, 2500)

View = Callable[..., Awaitable[HttpResponseBase]]


def sse_view(demultiplexer: type[WebSocketDemultiplexer]) -> View:
    """A view of the bindings that the demultiplexer carries; the route must name the ``stream``.

    Other keyword arguments of the route are passed to `connection_groups`, as a websocket's are.
    """

    @transaction.non_atomic_requests  # Nothing is written, and it may last for hours.
    @require_GET
    async def events(request: HttpRequest, stream: str, **kwargs: Any) -> HttpResponseBase:
        if not isinstance(request, ASGIRequest):
            raise ImproperlyConfigured("Server-sent events need an ASGI server.")
        try:
            return await _respond(demultiplexer, request, stream, kwargs)
        except FrameError as error:
            response = HttpResponse(
                protocol.error_reply(error), content_type="application/json", status=error.status
            )
            response["Cache-Control"] = "no-store"
            return response

    return events


async def _respond(
    demultiplexer: type[WebSocketDemultiplexer],
    request: ASGIRequest,
    stream: str,
    kwargs: dict[str, Any],
) -> HttpResponseBase:
    """Raises `FrameError`."""
    if not origin.allowed(request.scope):
        raise FrameError(403, "Pages of this origin may not ask here.", stream=stream)
    binding = demultiplexer.binding_of(stream)
    if binding is None:
        raise FrameError(404, "There is no such stream.")
    said, cursor = _said(binding, request)

    admission = _Admission(demultiplexer, binding, said, scope_of_page(request, kwargs))
    hub = running_hub()
    with ExitStack() as held:
        try:
            with consistent_reads():
                place = await in_database(admission.ask)()
            held.callback(count_out, count_in({**request.scope, "user": admission.scope["user"]}))
            joined = await hub.join(
                place.form, place.groups, stream, limit=place.limit, cursor=cursor
            )
        except Crowded as crowded:
            hub.tally.limits[crowded.whose] += 1
            raise FrameError(429, str(crowded), stream=stream) from None
        except Exception as error:
            raise _refusal(stream, error) from error
        events = _EventStream(hub, admission, stream, joined, held.pop_all())
    response = StreamingHttpResponse(events, content_type="text/event-stream")
    response["Cache-Control"] = "no-store, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def _said(binding: type[Binding], request: HttpRequest) -> tuple[dict[str, Any], str | None]:
    """Parameters as a websocket's client says them; and the cursor.

    A browser that comes back says the newest cursor in ``Last-Event-ID``, to the same address.
    """
    said: dict[str, Any] = {
        name: values[0] if len(values) == 1 else values for name, values in request.GET.lists()
    }
    cursor = request.headers.get("Last-Event-ID") or request.GET.get("cursor")
    said.pop("cursor", None)
    limit = said.get("limit")
    if binding.order_by and isinstance(limit, str) and re.fullmatch(r"\d{1,9}", limit):
        said["limit"] = int(limit)
    return said, cursor or None


def _refusal(stream: str, error: Exception) -> FrameError:
    refused = as_api_exception(error)
    if refused is None:
        logger.error("Stream %s: its events failed.", stream, exc_info=error)
        return FrameError(500, "Something went wrong on the server.", stream=stream)
    return FrameError(refused.status_code, refused.detail, stream=stream)


class _Admission:
    """Whose events they are to be, and what he may see."""

    def __init__(
        self,
        demultiplexer: type[WebSocketDemultiplexer],
        binding: type[Binding],
        said: Mapping[str, Any],
        scope: Scope,
    ) -> None:
        self.scope = scope
        self.basis = Basis()
        self._demultiplexer = demultiplexer
        self._binding = binding
        self._said = said

    def ask(self) -> Place:
        """Raises what `admit` does, and `AuthenticationFailed`. Asks the database."""
        self.scope = identified(self.scope)
        user = self.scope["user"]
        self.basis.use(user)
        groups = self._demultiplexer.groups_of_page(self.scope)
        return admit(self._binding, user, groups, self._said, self.scope)


class _EventStream:
    """One client's place in an audience, and the body of its response.

    Where his rights change so that he is to be somewhere else, the response ends: he comes back,
    and is told. Before that he is told to forget what isn't his to see any more.
    """

    def __init__(
        self, hub: Hub, admission: _Admission, stream: str, joined: Joined, held: ExitStack
    ) -> None:
        self._admission = admission
        self._hub = hub
        self._stream = stream
        #: Let go of at the end.
        self._held = held
        # One frame waits to be asked for; with the next in its hand the connection is blocked.
        self._texts: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
        self._finished = False
        self._farewell: str | None = None
        #: A snapshot was on its way when it was finished.
        self._broken_off = False
        self._connection = Connection(self._send, hub.tally)
        self._subscription = Subscription(
            hub, relay_for(joined.audience.form.binding.alias()), self._connection, stream, joined
        )
        data = {"resumed": joined.resumed}
        self._reply = protocol.reply(stream, protocol.SUBSCRIBE, None, data=data)

    def __aiter__(self) -> AsyncIterator[str]:
        chunks = self._chunks()
        # If the client has gone by now, nobody begins with them, and nobody closes the response.
        weakref.finalize(chunks, self.close).atexit = False
        return chunks

    def close(self) -> None:
        """Called by the response, in a thread."""
        with suppress(RuntimeError):  # The loop is closed, and everything with it.
            self._hub.loop.call_soon_threadsafe(self._end)

    async def _chunks(self) -> AsyncIterator[str]:
        try:
            await sync_to_async(_let_go_of_databases)()
            self._hub.open(self._connection)
            self._hub.vigil.add(self)
            self._connection.send_soon(self._reply)
            self._subscription.start()
            yield f"retry: {random.randint(*RETRY)}\n\n"
            sent, resumable = 0, False
            while not self._finished and (sent < MOST or not resumable):
                try:
                    async with asyncio.timeout(KEEPALIVE):
                        text = await self._texts.get()
                except TimeoutError:
                    yield ":\n\n"
                    continue
                if text is None or self._finished:
                    break
                sent += len(text)
                cursor = protocol.cursor_of(text)
                resumable = cursor is not None
                yield _event(text, cursor)
            if self._farewell is not None:
                if self._broken_off:
                    yield _event(protocol.begun_anew(self._stream), None)
                yield _event(self._farewell, protocol.VOID_CURSOR)
        finally:
            self._end()

    @property
    def scope(self) -> Scope:
        return self._admission.scope

    @property
    def basis(self) -> Basis:
        return self._admission.basis

    def forms(self) -> list[Form]:
        return [self._subscription.audience.form]

    def over(self) -> None:
        """The session has ended, or its user may not be here any more."""
        self._finish(protocol.nothing(self._stream))

    def unsure(self) -> None:
        """Who it is can't be told; who comes back is asked for anew."""
        self._finish()

    async def renew(self, known: Known) -> None:
        """The user's rights have changed. Raises what asking the database does."""
        self.basis.renew(known)
        self._admission.scope = {**self.scope, "user": known.user}
        audience = self._subscription.audience
        try:
            form, groups, limit = await in_database(self._admission.ask)()
        except Exception as error:
            if _refusal(self._stream, error).status == 503:
                raise
            self.over()
            return
        if audience.is_of(form, names_of(form.binding, groups, limit)):
            self._subscription.relay.reread(audience.form)
            if not await self._subscription.outdated():
                return
            # What is on its way was read before, however long it has waited.
        self._finish()

    def _finish(self, farewell: str | None = None) -> None:
        self._finished = True
        self._farewell = farewell
        self._broken_off = self._subscription.loading
        self._subscription.end()
        self._connection.stop()
        if self._texts.empty():
            self._texts.put_nowait(None)

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self._texts.put(message["text"])

    def _end(self) -> None:
        self._subscription.end()
        self._hub.vigil.discard(self)
        self._hub.close(self._connection)
        self._connection.stop()
        self._held.close()


def _event(text: str, cursor: str | None) -> str:
    return f"data: {text}\n\n" if cursor is None else f"id: {cursor}\ndata: {text}\n\n"


def _let_go_of_databases() -> None:
    """A request's connections are closed when it ends, which may be in hours."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
