"""The server's frames as a client reads them. Pure; what a server reads is in `protocol`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from databinding.client.errors import ProtocolError


class Frame(NamedTuple):
    """One frame: the stream that it belongs to (None: to none), payload, cursor if it has one."""

    stream: str | None
    payload: dict[str, Any]
    cursor: str | None


def parse(text: str) -> Frame:
    """What the server says. Raises `ProtocolError`."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("A frame came that isn't JSON.") from None
    if not isinstance(frame, dict):
        raise ProtocolError("A frame came that isn't an object.")
    stream, payload, cursor = frame.get("stream"), frame.get("payload"), frame.get("cursor")
    if stream is not None and not isinstance(stream, str):
        raise ProtocolError("A frame came whose stream has no name.")
    if not isinstance(payload, dict):
        raise ProtocolError("A frame came without a payload.")
    if cursor is not None and not isinstance(cursor, str):
        raise ProtocolError("A cursor came that isn't text.")
    return Frame(stream, payload, cursor)


def is_refusal(payload: Mapping[str, Any]) -> bool:
    """Does it say that something went wrong?"""
    status = payload.get("response_status")
    return isinstance(status, int) and status >= 400
