"""Requests and their replies, told apart by `request_id`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from databinding import protocol
from databinding.client.errors import (
    DatabindingError,
    NotSentError,
    RequestError,
    UnknownOutcomeError,
)
from databinding.client.options import Options
from databinding.difference import Key


class Reply(NamedTuple):
    """The answer to a request: status as in HTTP, the row's key and what is there to say."""

    status: int
    pk: Key | None
    data: Any


#: Called at once when the answer is there, or can't come any more.
Settled = Callable[[Reply | DatabindingError], None]


class Request:
    """What is asked, and who is told how it ends."""

    def __init__(self, number: int, stream: str | None, text: str, settled: Settled) -> None:
        #: Its `request_id`.
        self.number = number
        self.stream = stream
        #: Its frame.
        self.text = text
        self.timer: asyncio.TimerHandle | None = None
        self._settled = settled

    def settle(self, outcome: Reply | DatabindingError) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if isinstance(outcome, DatabindingError):
            outcome.stream = self.stream
        self._settled(outcome)


class Requests:
    """All requests of a connection that aren't answered yet.

    `send` takes a frame's text and says whether there is a connection that carries it.
    """

    def __init__(self, options: Options, send: Callable[[str], bool]) -> None:
        self._options = options
        self._send = send
        self._last_number = 0
        # By number, in order: those that were sent, and those that wait for a connection.
        self._sent: dict[int, Request] = {}
        self._waiting: dict[int, Request] = {}
        # Why there won't be a connection any more.
        self._closed: str | None = None

    def add(self, stream: str | None, payload: Mapping[str, Any], settled: Settled) -> Request:
        """Send it now, or keep it until there is a connection.

        Raises `TypeError` or `ValueError` where the payload can't be JSON.
        """
        number = self._last_number + 1
        frame = {"stream": stream, "payload": {**payload, "request_id": number}}
        request = Request(number, stream, protocol.encode(frame), settled)
        self._last_number = number
        if self._closed is not None:
            request.settle(NotSentError(f"{self._closed} Nothing was sent."))
        elif not self._post(request):
            self._waiting[number] = request
            error = NotSentError("Not connected; nothing was sent.")
            self._expect(request, self._options.send_timeout, error)
        return request

    async def ask(self, stream: str | None, payload: Mapping[str, Any]) -> Reply:
        """The reply. Raises `RequestError`, `UnknownOutcomeError` or `NotSentError`."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def settled(outcome: Reply | DatabindingError) -> None:
            if answer.done():
                return
            if isinstance(outcome, Reply):
                answer.set_result(outcome)
            else:
                answer.set_exception(outcome)

        request = self.add(stream, payload, settled)
        try:
            return await answer
        finally:
            # Also where nobody waits any more; what was sent may still be carried out.
            self._forget(request)

    @property
    def closed(self) -> bool:
        """Will there be no connection any more?"""
        return self._closed is not None

    def waits(self, stream: str) -> bool:
        """Does somebody wait for an answer on this stream?"""
        return any(request.stream == stream for request in self._sent.values())

    def flush(self) -> None:
        """There is a connection: send what waits."""
        for request in list(self._waiting.values()):
            if not self._post(request):
                return
            del self._waiting[request.number]

    def lost(self) -> None:
        """The connection was lost: what was sent and not answered may have been applied or not."""
        sent, self._sent = self._sent, {}
        for request in sent.values():
            request.settle(UnknownOutcomeError("Connection lost; unknown whether it was applied."))

    def close(self, why: str) -> None:
        """There will be no connection any more."""
        self._closed = why
        self.lost()
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            request.settle(NotSentError(f"{why} Nothing was sent."))

    def settle(self, payload: Mapping[str, Any]) -> bool:
        """Whether this answers a request of ours."""
        number = payload.get("request_id")
        request = self._sent.pop(number, None) if isinstance(number, int) else None
        if request is None:
            return False
        status = payload.get("response_status")
        if isinstance(status, int) and 200 <= status < 300:
            request.settle(Reply(status, payload.get("pk"), payload.get("data")))
        else:
            request.settle(RequestError(payload))
        return True

    def _post(self, request: Request) -> bool:
        if not self._send(request.text):
            return False
        self._sent[request.number] = request
        error = UnknownOutcomeError("No answer came; unknown whether it was applied.")
        self._expect(request, self._options.reply_timeout, error)
        return True

    def _expect(self, request: Request, seconds: float, error: DatabindingError) -> None:
        """This becomes of the request if nothing else does until then."""

        def give_up() -> None:
            self._forget(request)
            request.settle(error)

        if request.timer is not None:
            request.timer.cancel()
        request.timer = asyncio.get_running_loop().call_later(seconds, give_up)

    def _forget(self, request: Request) -> None:
        if request.timer is not None:
            request.timer.cancel()
        self._waiting.pop(request.number, None)
        self._sent.pop(request.number, None)
