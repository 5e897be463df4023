"""What the log is told of an exception: which one, and where; never what was in it.

The text of an exception may hold a row's contents: PostgreSQL's names the value that is there
already, a serializer's what it can't take, a KeyError its key. So the logger ``databinding`` has a
filter that leaves texts out, and a project may give the same filter to its handlers, for whatever
else is logged there:

    "filters": {"contents": {"()": "databinding.logs.WithoutContents"}},
    "handlers": {"console": {..., "filters": ["contents"]}},

With DEBUG on, on a developer's own machine, nothing is left out.
"""

from __future__ import annotations

import logging
import sqlite3
from types import TracebackType
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

#: PostgreSQL's classes of errors whose first line tells of connections, resources and locks.
_OF_THE_SERVER: Final = ("08", "25", "28", "3D", "40", "53", "54", "55", "57", "58", "F0")
#: SQLite's, by the names of their codes: of the file and its locks.
_OF_THE_FILE: Final = (
    *("BUSY", "CANTOPEN", "CORRUPT", "FULL", "INTERRUPT", "IOERR", "LOCKED", "NOMEM", "NOTADB"),
    *("PERM", "PROTOCOL", "READONLY"),
)


class WithoutContents(logging.Filter):
    """Leaves the texts of exceptions out of records, whether they are logged or mentioned."""

    def filter(self, record: logging.LogRecord) -> bool:
        if django_settings.DEBUG:
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(_said(argument) for argument in record.args)
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            error = outlined(record.exc_info[1])
            record.exc_info = (type(error), error, error.__traceback__)
            record.exc_text = None
        return True


class Outline:
    """Of an exception that stands for another one: mixed into a class of the other one's name."""


def outlined(error: BaseException) -> BaseException:
    """An exception of the same name, traceback and causes, with no text but what is harmless."""
    return _outlined(error, {})


def summary(error: BaseException) -> str:
    """The exception in a line: its name, and what is harmless to say of it."""
    said = harmless(error)
    name = type(error).__name__
    return f"{name}: {said}" if said else name


def harmless(error: BaseException) -> str:
    """What may be said of an exception besides its name.

    Of a database's: its code, the constraint, and, where it is about connections, locks and files
    instead of rows, what it says itself.
    """
    if isinstance(error, ImproperlyConfigured) or type(error).__module__.startswith("databinding."):
        return str(error)
    cause = error.__cause__
    for one in (error, cause):
        if isinstance(one, sqlite3.Error):
            return _of_sqlite(one)
        if hasattr(one, "diag") and hasattr(one, "sqlstate"):
            return _of_postgresql(one)
    return ""


def _of_sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    kind = name.removeprefix("SQLITE_").partition("_")[0]
    return str(error) if kind in _OF_THE_FILE else name


def _of_postgresql(error: Any) -> str:
    state: str | None = error.sqlstate
    if state is None:
        # Of connections libpq tells itself, before any row: that nobody answers, say.
        about_connections = type(error).__name__ in ("OperationalError", "InterfaceError")
        return " ".join(str(error).split()) if about_connections else ""
    words = [state]
    if state.startswith(_OF_THE_SERVER):
        words.append(error.diag.message_primary or "")
    words += filter(None, (error.diag.table_name, error.diag.constraint_name))
    return " ".join(words)


def _said(argument: Any) -> Any:
    return summary(argument) if isinstance(argument, BaseException) else argument


def _outlined(error: BaseException, made: dict[int, BaseException]) -> BaseException:
    if isinstance(error, Outline):
        return error
    if id(error) in made:
        return made[id(error)]
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    stand_in: BaseException
    if isinstance(error, BaseExceptionGroup):
        inner = [_outlined(one, made) for one in error.exceptions]
        stand_in = type(kind.__name__, (Outline, BaseExceptionGroup), names)("", inner)
    else:
        stand_in = type(kind.__name__, (Outline, Exception), names)(harmless(error))
    made[id(error)] = stand_in
    traceback: TracebackType | None = error.__traceback__
    stand_in.__traceback__ = traceback
    if error.__cause__ is not None:
        stand_in.__cause__ = _outlined(error.__cause__, made)
    if error.__context__ is not None:
        stand_in.__context__ = _outlined(error.__context__, made)
    stand_in.__suppress_context__ = error.__suppress_context__
    return stand_in
