"""What can go wrong, each named after the condition:

DatabindingError
├── RequestError         the server said no; nothing was written
├── UnknownOutcomeError  sent, but the answer was lost: it may have been applied or not
├── NotSentError         it never left this program
├── ClosedError          the connection is over for good, by the server's will
└── ProtocolError        a frame from the server that can't be understood
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class DatabindingError(Exception):
    """What this client raises. `stream` is the stream that it concerns, if one."""

    stream: str | None = None


class RequestError(DatabindingError):
    """The server's refusal, in words that are fit for people.

    `status` is as in HTTP, `errors` what the server sent: a list of strings and of objects
    {field: [messages]}; `pk` and `data` the row as it is, where the server tells (a conflict);
    `retry_after` in how many seconds it may be tried again, where it was too often (429).
    """

    def __init__(self, payload: Mapping[str, Any]) -> None:
        status, errors = payload.get("response_status"), payload.get("errors")
        self.status: int = status if isinstance(status, int) else 500
        self.errors: list[Any] = errors if isinstance(errors, list) else []
        self.pk: Any = payload.get("pk")
        self.data: Any = payload.get("data")
        wait = payload.get("retry_after")
        self.retry_after: float | None = wait if isinstance(wait, (int, float)) else None
        words = " ".join(message for _, message in _messages(self.errors))
        super().__init__(words or f"The server answered {status}.")

    @property
    def fields(self) -> dict[str, list[str]]:
        """The messages by field; what belongs to no field is under ""."""
        fields: dict[str, list[str]] = {}
        for field, message in _messages(self.errors):
            fields.setdefault(field, []).append(message)
        return fields


class UnknownOutcomeError(DatabindingError):
    """Sent, but no answer came: whoever tries again may do it twice."""


class NotSentError(DatabindingError):
    """It never left this program."""


class ClosedError(DatabindingError):
    """The server won't have us: it refused the handshake or closed the connection for good.

    `code` is the HTTP status of the handshake, or the websocket's close code.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class ProtocolError(DatabindingError):
    """A frame from the server that can't be understood."""


def _messages(errors: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Field and message; nested serializers give dotted fields."""
    if isinstance(errors, list):
        for error in errors:
            yield from _messages(error, field)
    elif isinstance(errors, dict):
        for key, value in errors.items():
            inner = f"{field}.{key}" if field else key
            yield from _messages(value, field if key == "non_field_errors" else inner)
    else:
        yield field, str(errors)
