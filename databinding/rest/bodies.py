"""What clients send: JSON as strict as the websocket's, within the same limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request

from databinding import protocol
from databinding.conf import settings


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "This is too large."


class StrictJSONParser(JSONParser):
    """Refuses what Python's `json` lets through and a database doesn't take."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return protocol.decode(stream.read().decode())
        except ValueError as error:
            raise exceptions.ParseError("The body isn't valid JSON.") from error


#: Of every resource; forms are what the browsable pages send.
PARSERS: list[type[BaseParser]] = [StrictJSONParser, FormParser, MultiPartParser]


def refuse_large(request: Request) -> None:
    """Files aside, which Django keeps on disk and has limits of its own for.

    Of a body in chunks nobody says how long it is, and Django REST framework takes it for none. An
    ASGI server's requests have all of it in a file by now.
    """
    if not request.META.get("CONTENT_LENGTH"):
        stream = getattr(request._request, "_stream", None)
        started = getattr(request._request, "_read_started", True)
        if not started and stream is not None and stream.seekable():
            request.META["CONTENT_LENGTH"] = str(stream.seek(0, os.SEEK_END))
            stream.seek(0)
    if (request.content_type or "").startswith("multipart/"):
        return
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > settings.MAX_FRAME:
        raise TooLarge
