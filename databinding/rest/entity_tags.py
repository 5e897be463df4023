"""Conditional requests: a tag says what a client has seen, and the answer depends on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.utils.cache import get_conditional_response
from rest_framework import exceptions

from databinding.refusals import Answer


class PreconditionFailed(exceptions.APIException):
    """The row isn't what the client has seen; the answer shows what it is."""

    status_code = 412
    default_detail = "The row has changed."

    def __init__(self, current: Any) -> None:
        super().__init__()
        self.current = current


def tag_of(data: Any) -> str:
    """The ``ETag`` of what is answered."""
    text = json.dumps(data, cls=DjangoJSONEncoder, sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def expected(
    request: HttpRequest, represent: Callable[[Answer], Any]
) -> Callable[[Answer], bool] | None:
    """Whether a row is as ``If-Match`` or ``If-None-Match`` wants it; None: they want nothing."""
    if "If-Match" not in request.headers and "If-None-Match" not in request.headers:
        return None
    return lambda answer: get_conditional_response(request, tag_of(represent(answer))) is None
