"""The wire, bytes in and out: frames are parsed and written here, and nowhere else.

Every frame is JSON text ``{"stream": NAME, "payload": {…}}`` in both directions. Fragments (a
row's JSON text) are put into frames as they are; nothing that was encoded once is parsed or
encoded again.

    FrameError                 a frame that can't be accepted; carries what the answer needs
    Closed                     what the client did closes its socket; carries the code
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeGuard

from databinding.difference import DELETE, Event, Key

#: The subprotocol of clients that subscribe; they get no classic frames.
SUBPROTOCOL = "databinding"

PING = "ping"
PONG = "pong!"

SUBSCRIBE = "subscribe"
UNSUBSCRIBE = "unsubscribe"
ACK = "ack"
#: Of the connection itself: in frames whose stream is null.
AUTHENTICATE = "authenticate"
WHOAMI = "whoami"
SNAPSHOT = "snapshot"
BATCH = "batch"
#: The cursor of a frame that leads to no state: it counts for the window, and isn't honoured.
NO_CURSOR = ""
#: The cursor of rows that were taken back: it leads to a state, but isn't honoured either.
VOID_CURSOR = "void"
ERROR = "error"

#: Success of these is told only to a client that gave a ``request_id``: the group's event is the
#: answer, and an old client doesn't mistake a reply for an event.
SILENT = frozenset({"create", "update", "delete"})


class CloseCode(IntEnum):
    """Why the server closed a socket; no other reason closes one."""

    TOO_BIG = 1009
    RESTART = 1012
    NOT_READING = 1013
    SESSION_OVER = 4401
    FORBIDDEN = 4403
    TOO_FAST = 4429

    @property
    def private(self) -> int:
        """The same where a server program can't send the standard's codes (daphne): 4009, 4013."""
        return self.value if self.value >= 3000 else self.value + 3000


class Closed(Exception):
    """A limit was overstepped that closes the socket."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class FrameError(Exception):
    """A frame that can't be accepted, with the status of its answer.

    `detail` is a sentence, or errors by name as Django REST framework has them; `retry_after`
    says in how many seconds it may be accepted.
    """

    def __init__(
        self,
        status: int,
        detail: Any,
        *,
        stream: str | None = None,
        action: str | None = None,
        request_id: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.stream = stream
        self.action = action
        self.request_id = request_id
        self.retry_after = retry_after


class Request(NamedTuple):
    """What a client wants of a binding's stream. ``body`` is the payload's other keys."""

    action: str
    request_id: Any
    body: dict[str, Any]


def parse(text: str) -> tuple[str | None, Any]:
    """A client's frame: the stream's name and the payload. Raises `FrameError`.

    None is the stream of what concerns the connection itself; it must be said.
    """
    try:
        frame = _loads(text)
    except ValueError:
        raise FrameError(400, "The frame isn't valid JSON.") from None
    if not isinstance(frame, dict):
        raise FrameError(400, 'The frame must be an object: {"stream": …, "payload": {…}}.')
    stream = frame.get("stream", ...)
    if stream is not None and not isinstance(stream, str):
        raise FrameError(400, 'The frame must name its "stream".')
    if "payload" not in frame:
        raise FrameError(400, 'The frame must have a "payload".', stream=stream)
    if _may_have_halves(text) and not _has_utf8(frame):
        known = stream if _has_utf8(stream) else None
        raise FrameError(400, "The frame has half a surrogate pair in it.", stream=known)
    return stream, frame["payload"]


def acknowledged(text: str) -> tuple[str, int] | None:
    """The stream, and how many of its frames, if the frame is an ack and nothing else.

    Every client says the same few texts, again and again: what they mean is remembered.
    """
    return _acknowledged(text) if len(text) < _ACK_LENGTH and '"ack"' in text else None


def acknowledged_by(data: bytes) -> tuple[str, int] | None:
    """The same of a frame's bytes."""
    if len(data) < _ACK_LENGTH:
        try:
            return acknowledged(str(data, "utf-8"))
        except UnicodeDecodeError:
            pass  # The server says so.
    return None


_ACK_LENGTH = 200


@functools.lru_cache(maxsize=1024)
def _acknowledged(text: str) -> tuple[str, int] | None:
    try:
        stream, payload = parse(text)
        asked = request(stream, payload)
    except FrameError:
        return None
    frames = asked.body.get("frames")
    plain = asked == Request(ACK, None, {"frames": frames})
    return (stream, frames) if stream is not None and plain and is_ack(frames) else None


def is_ack(frames: Any) -> TypeGuard[int]:
    """Whether so many frames can be acknowledged."""
    return isinstance(frames, int) and not isinstance(frames, bool) and frames >= 1


def request(stream: str | None, payload: Any) -> Request:
    """What the payload asks of a binding's stream. Raises `FrameError`."""
    if not isinstance(payload, dict):
        raise FrameError(400, 'The "payload" must be an object.', stream=stream)
    body = dict(payload)
    request_id = body.pop("request_id", None)
    if isinstance(request_id, (bool, list, dict)):
        raise FrameError(400, '"request_id" must be a number or a string.', stream=stream)
    action = body.pop("action", None)
    if not isinstance(action, str):
        raise FrameError(
            400, 'The payload must name its "action".', stream=stream, request_id=request_id
        )
    return Request(action, request_id, body)


def decode(text: str) -> Any:
    """What a client says in JSON by itself, without a frame. Raises `ValueError`."""
    value = _loads(text)
    if _may_have_halves(text) and not _has_utf8(value):
        raise ValueError("There is half a surrogate pair in it.")
    return value


def _loads(text: str) -> Any:
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None


def _may_have_halves(text: str) -> bool:
    """JSON may spell half a surrogate pair, which no UTF-8 text (database, answer) can hold."""
    return "\\ud" in text or "\\uD" in text


def _has_utf8(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} isn't JSON")


#: `json.loads` with these would make another decoder for each frame.
_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


def encode(value: Any) -> str:
    """JSON text of plain values."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def envelope(stream: str | None, payload: str) -> str:
    """A frame around an encoded payload."""
    return f'{{"stream":{encode(stream)},"payload":{payload}}}'


def reply(
    stream: str | None,
    action: str,
    request_id: Any,
    *,
    status: int = 200,
    errors: Sequence[Any] = (),
    data: Any = None,
    pk: Key | None = None,
    retry_after: float | None = None,
    encoder: type[json.JSONEncoder] = json.JSONEncoder,
) -> str:
    """The answer to a request, as djangochannelsrestframework words it.

    `retry_after`, in seconds, stands in it as HTTP has it: a whole number, rounded up.
    """
    payload: dict[str, Any] = {
        "action": action,
        "request_id": request_id,
        "response_status": status,
        "errors": list(errors),
        "data": data,
    }
    if pk is not None:
        payload["pk"] = pk
    if retry_after is not None:
        payload["retry_after"] = math.ceil(retry_after)
    return envelope(stream, json.dumps(payload, cls=encoder, separators=(",", ":")))


def error_reply(error: FrameError) -> str:
    """The answer to a frame that couldn't be accepted.

    Without a ``request_id`` nobody waits for it, so it comes as action ``error``.
    """
    action = error.action if error.request_id is not None and error.action else ERROR
    errors = error.detail if isinstance(error.detail, list) else [error.detail]
    return reply(
        error.stream,
        action,
        error.request_id,
        status=error.status,
        errors=errors,
        retry_after=error.retry_after,
    )


def item(key: Key, fragment: str) -> str:
    """One row of a snapshot or a list."""
    return f'{{"pk":{encode(key)},"data":{fragment}}}'


def snapshot(stream: str, items: Iterable[tuple[Key, str]], cursor: str = NO_CURSOR) -> str:
    """One frame of a snapshot; with a cursor it is the last one."""
    listed = ",".join(item(key, fragment) for key, fragment in items)
    complete = "true" if cursor else "false"
    payload = f'{{"action":"snapshot","items":[{listed}],"complete":{complete}}}'
    return _with_cursor(stream, payload, cursor)


def begun_anew(stream: str) -> str:
    """The answer to a subscription that the server makes itself, in place of one whose snapshot
    wasn't complete: a client forgets the frames that it has of that."""
    return reply(stream, SUBSCRIBE, None, data={"resumed": False})


def nothing(stream: str) -> str:
    """A snapshot without rows, which takes back all that a client holds."""
    return snapshot(stream, (), VOID_CURSOR)


def ended(stream: str, status: int, errors: Sequence[Any]) -> str:
    """The server ends a subscription: rights have changed. No request asked for it."""
    return reply(stream, UNSUBSCRIBE, None, status=status, errors=errors)


def batch(
    stream: str, events: Iterable[Event], cursor: str, keep: Iterable[Key] | None = None
) -> str:
    """One frame from a state of the database to a later one."""
    listed = ",".join(
        f'{{"action":"delete","pk":{encode(event.key)}}}'
        if event.action == DELETE
        else f'{{"action":"{event.action}","pk":{encode(event.key)},"data":{event.fragment}}}'
        for event in events
    )
    kept = "" if keep is None else f',"keep":{encode(list(keep))}'
    return _with_cursor(stream, f'{{"action":"batch","events":[{listed}]{kept}}}', cursor)


def cursor_of(frame: str) -> str | None:
    """The cursor that a frame made here ends with; None: it has none to resume from."""
    head, _, tail = frame.rpartition('"cursor":"')
    return tail.removesuffix('"}') or None if head and frame.endswith('"}') else None


def classic(stream: str, event: Event, model: str) -> str:
    """One changed row as Channels 1's bindings sent it; a delete carries what the row last was."""
    payload = (
        f'{{"action":"{event.action}","pk":{encode(event.key)},'
        f'"data":{event.fragment or "null"},"model":{encode(model)}}}'
    )
    return envelope(stream, payload)


def _with_cursor(stream: str, payload: str, cursor: str) -> str:
    return f'{{"stream":{encode(stream)},"payload":{payload},"cursor":{encode(cursor)}}}'
