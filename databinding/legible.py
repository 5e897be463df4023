"""Rows that can be read, where some of them can't.

SQL may write what Python has no word for: PostgreSQL's 'infinity' or a date before our era; in
SQLite, whose columns hold anything, the 45th of the 13th month. Django reads all rows of a query or
none, so one such row would take the others with it. It is found by halving, logged, and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, Final, TypeVar

from django.db import DataError, OperationalError, connections, transaction
from django.db.models import Model, QuerySet

from databinding.locks import gave_up
from databinding.parts import parts

logger = logging.getLogger("databinding")

M = TypeVar("M", bound=Model)
T = TypeVar("T")

#: What is raised of a row that can't be read, and now and then of other faults. Fields' converters
#: ask no more of a value than they need: what text raises that stands in SQLite's column of numbers
#: is theirs.
UNREADABLE: Final = (
    DataError,
    OperationalError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class Unreadable(Exception):
    """There is such a row, but what it holds can't be read."""


def legible(rows: QuerySet[M], keys: Iterable[Any]) -> list[M]:
    """Those of the rows with these primary keys that can be read, in the order of the keys.

    They may be named tuples of `values_list` that have their `pk`.
    Raises what a database does that is away, or a query that is at fault itself.
    """
    wanted = list(keys)
    found = {row.pk: row for some in parts(wanted) for row in _halved(rows, some)}
    return [found[key] for key in wanted if key in found]


def legible_page(rows: QuerySet[M], page: QuerySet[M]) -> tuple[list[M], list[Any]]:
    """Those rows of a page that can be read; and, if there are others, the keys of all.

    `page` is a slice of `rows`. Raises what asking for the keys raises.
    """
    try:
        return _tried(rows, lambda: list(page)), []
    except UNREADABLE as error:
        if gave_up(error):
            raise
    keys = _tried(rows, lambda: list(page.values_list("pk", flat=True)))
    return legible(rows, keys), keys


def left_out(rows: Iterable[Any], keys: Iterable[Any]) -> list[Any]:
    """Those of the keys that none of these rows has."""
    there = {row.pk for row in rows}
    return [key for key in keys if key not in there]


def row_of(rows: QuerySet[M], key: Any) -> M | None:
    """The row with this primary key; None: there is none. Raises `Unreadable`."""
    those = rows.filter(pk=key)
    found, keys = legible_page(those, those[:1])
    if keys and not found:
        raise Unreadable
    return found[0] if found else None


def rest_of(rows: QuerySet[M], key: Any) -> M | None:
    """What can be read of the row with this primary key, which can't be; None: nothing.

    The other fields are deferred: whoever asks for one gets what reading it raises.
    """
    row = rows.filter(pk=key).select_related(None).prefetch_related(None)
    try:
        return _tried(rows, lambda: row.defer(*_faulty(row)).first())
    except UNREADABLE as error:
        if gave_up(error):
            raise
        return None


def _halved(rows: QuerySet[M], keys: list[Any]) -> list[M]:
    some = rows.filter(pk__in=keys)
    try:
        return _tried(rows, lambda: list(some))
    except UNREADABLE as error:
        if gave_up(error):
            raise
        if len(keys) == 1:
            _tried(
                rows, lambda: list(some.values_list("pk"))
            )  # Raises, if it isn't the row's fault.
            fields = ", ".join(_faulty(some)) or "no field by itself"
            label = rows.model._meta.label
            logger.warning("%s: row %r can't be read: %s.", label, keys[0], fields, exc_info=error)
            return []
    middle = len(keys) // 2
    return [*_halved(rows, keys[:middle]), *_halved(rows, keys[middle:])]


def _faulty(row: QuerySet[Any]) -> Iterator[str]:
    """The names of the fields that can't be read."""
    for field in row.model._meta.concrete_fields:
        column = row.values_list(field.attname)
        try:
            _tried(row, lambda column=column: list(column))  # type: ignore[misc]
        except UNREADABLE:
            yield field.name


def _tried(rows: QuerySet[Any], read: Callable[[], T]) -> T:
    """What is read; a transaction is as it was where that fails."""
    inside = connections[rows.db].in_atomic_block
    with transaction.atomic(using=rows.db) if inside else nullcontext():
        return read()
