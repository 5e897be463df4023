"""What a client is told of an exception: one small tree of answers, and the way into it.

APIException               (Django REST framework's) an answer with a status
├── Conflict               the database refused the row as it would have become
│   └── Changed            the row isn't what the client expected it to be
├── CantBeRead             what the row holds has no words in Python
└── DatabaseAway           nothing was written; the client may try again
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.settings import api_settings

from databinding import relay
from databinding.difference import Key
from databinding.legible import Unreadable, UnreadableBeside
from databinding.reading import DATABASE_AWAY


class Answer(NamedTuple):
    """A row as it is answered: its key beside its data, even where the fields don't have it."""

    pk: Key
    data: Any


class Conflict(exceptions.APIException):
    """The database refused the row as it would have become."""

    status_code = 409
    default_detail = "The row conflicts with another one."


class Changed(Conflict):
    """The row isn't what the client expected it to be; the answer shows what it is."""

    default_detail = "The row has changed."

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class CantBeRead(exceptions.APIException):
    """A program has written it past Django, and has to mend it."""

    status_code = 422
    default_detail = "The database holds something in this row that can't be read."


class DatabaseAway(exceptions.APIException):
    """Nothing was written; the client may try again."""

    status_code = 503
    default_detail = "The database is away or busy; try again."


#: Names that one answer refuses at most, and their letters: a client may send thousands.
_MOST_NAMES, _MOST_LETTERS = 20, 100


def refuse(names: Iterable[str], sentence: str) -> None:
    """Raises `ValidationError` with this sentence by each of the names, if there are any."""
    told = [name[:_MOST_LETTERS] for name in islice(names, _MOST_NAMES)]
    if told:
        raise exceptions.ValidationError({name: [sentence] for name in told})


def as_api_exception(exc: Exception) -> exceptions.APIException | None:
    """What the client is told of an exception; None: nothing, it is a fault of ours.

    Where one that is an answer was raised is forgotten: nobody reads that, and it would leave all
    that there was of a connection to Python's garbage collector.
    """
    found = _told_of(exc)
    if found is not None:
        known: BaseException | None = exc
        # Not around in a circle: one may be its own cause.
        while known is not None and known.__traceback__ is not None:
            known.__traceback__ = None
            known = known.__cause__ or known.__context__
    return found


def _told_of(exc: Exception) -> exceptions.APIException | None:
    match exc:
        case exceptions.APIException():
            return exc
        case Http404():
            return exceptions.NotFound()
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied()
        case DjangoValidationError():
            return invalid(exc)
        case ProtectedError() | RestrictedError():
            return Conflict("Other rows refer to this one.")
        case IntegrityError():
            return Conflict()
        case UnreadableBeside():
            return CantBeRead("It would take rows with it that can't be read.")
        case Unreadable():
            return CantBeRead()
        case _ if isinstance(exc, (*DATABASE_AWAY, relay.DatabaseAway)):
            return DatabaseAway()
    return None


def invalid(exc: DjangoValidationError) -> exceptions.ValidationError:
    """A model's own words in Django REST framework's form: what concerns no field has its name."""
    detail = get_error_detail(exc)
    if isinstance(detail, dict) and NON_FIELD_ERRORS in detail:
        detail[api_settings.NON_FIELD_ERRORS_KEY] = detail.pop(NON_FIELD_ERRORS)
    return exceptions.ValidationError(detail)
