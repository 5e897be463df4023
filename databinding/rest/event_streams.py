"""OpenAPI for `databinding.sse`: how a stream is followed, where a project serves that."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework import exceptions

from databinding import permission
from databinding.binding import Binding

#: What refuses before the stream begins: the wire's error frame.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["stream", "payload"],
    "properties": {
        "stream": {"type": "string", "nullable": True},
        "payload": {
            "type": "object",
            "required": ["action", "request_id", "response_status", "errors", "data"],
            "properties": {
                "action": {"type": "string", "enum": ["error"]},
                "request_id": {"nullable": True},
                "response_status": {"type": "integer"},
                "errors": {"type": "array", "minItems": 1, "items": {}},
                "data": {"nullable": True},
                "retry_after": {"type": "integer"},
            },
        },
    },
}
NAME = "ErrorFrame"
_ABOUT = """Each event's data is one frame of the wire, as JSON on one line: the reply to
`subscribe`, then a snapshot or, with a cursor, what was missed, then batches as they happen. It
goes on until somebody ends it. The id of an event is the cursor to come back with."""
_REFUSALS = {
    400: "These aren't the binding's parameters.",
    401: "Who isn't logged in may not do this.",
    403: "Not permitted, or a page of a foreign origin.",
    404: "There is no such stream.",
    429: "Too often, or too many connections of this user or address.",
    503: "The database is away or busy; try again.",
}


def operation(stream: str, binding: type[Binding], listing: Mapping[str, Any]) -> dict[str, Any]:
    """GET of a stream's events; `listing` is how its list is described."""
    own = set(binding.parameters().fields) if binding.parameters is not None else set()
    parameters = [one for one in listing.get("parameters", ()) if one["name"] in own]
    if binding.order_by:
        number = {"type": "integer", "minimum": 1, "maximum": binding.max_limit}
        parameters.append(_parameter("limit", "query", number, "Rows of the window."))
    text = {"type": "string"}
    parameters += [
        _parameter("cursor", "query", text, "The id of the last event, to go on from there."),
        _parameter("Last-Event-ID", "header", text, "The same; browsers say it by themselves."),
    ]
    refused = {"application/json": {"schema": {"$ref": f"#/components/schemas/{NAME}"}}}
    frames = {"text/event-stream": {"schema": {"type": "string", "example": _example(stream)}}}
    answers: dict[str, Any] = {"200": {"description": "The events.", "content": frames}}
    for status, about in _REFUSALS.items():
        answers[str(status)] = {"description": about, "content": refused}
    security = [one for one in listing.get("security", ()) if one]
    with suppress(exceptions.APIException):
        permission.check(binding, AnonymousUser(), "subscribe")
        security.append({})
    return {
        "operationId": f"{stream}_events",
        "summary": f"Follow {binding.model._meta.verbose_name_plural}",
        "description": _ABOUT,
        "tags": [stream],
        "parameters": parameters,
        "security": security,
        "responses": answers,
    }


def _parameter(name: str, place: str, schema: Any, about: str) -> dict[str, Any]:
    return {"in": place, "name": name, "schema": schema, "description": about}


def _example(stream: str) -> str:
    return (
        f'id: …\ndata: {{"stream":"{stream}","payload":{{"action":"batch","events":'
        '[{"action":"update","pk":1,"data":{…}}]},"cursor":"…"}\n\n'
    )
