"""Rows that can be read, where some of them can't.

SQL may write what Python has no word for: PostgreSQL's 'infinity' or a date before our era; in
SQLite, whose columns hold anything, the 45th of the 13th month. Django reads all rows of a query or
none, so one such row would take the others with it. It is found by halving, logged, and left out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from typing import Any, Final, TypeVar

from django.db import DataError, OperationalError, connections, transaction
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete

from databinding.locks import gave_up
from databinding.parts import halved, parts

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


#: What has Django read rows that refer to one that is to be deleted.
_READ: Final = (CASCADE, PROTECT, RESTRICT)


class Unreadable(Exception):
    """There is such a row, but what it holds can't be read."""


class UnreadableBeside(Unreadable):
    """It can't be deleted, as it would take rows with it that can't be read."""


def legible(rows: QuerySet[M], keys: Iterable[Any]) -> list[M]:
    """Those of the rows with these primary keys that can be read, in the order of the keys.

    They may be named tuples of `values_list` that have their `pk`.
    Raises what a database does that is away, or a query that is at fault itself.
    """
    wanted = list(keys)
    read = chain.from_iterable(_halved(rows, some) for some in parts(wanted))
    found = {row.pk: row for row in chain.from_iterable(read)}
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


def unread_with(instance: Model) -> list[tuple[str, list[Any]]]:
    """The keys of rows that would go with this one and can't be read, by what they are called."""
    found: dict[Any, dict[Any, None]] = defaultdict(dict)
    known = {(type(instance), instance.pk)}
    going: dict[Any, list[Any]] = {type(instance): [instance]}
    while going:
        model, those = going.popitem()
        relation: Any
        for relation in get_candidate_relations_to_delete(model._meta):
            theirs = relation.related_model
            if relation.on_delete not in _READ:
                continue
            for some in parts(those):
                rows = theirs._base_manager.using(instance._state.db)
                rows = rows.filter(**{f"{relation.field.name}__in": some})
                keys = list(rows.values_list("pk", flat=True))
                read = legible(rows, keys)
                found[theirs].update(dict.fromkeys(left_out(read, keys)))
                new = [row for row in read if (theirs, row.pk) not in known]
                if new and relation.on_delete is CASCADE:
                    known.update((theirs, row.pk) for row in new)
                    going.setdefault(theirs, []).extend(new)
    return [
        (str(model._meta.verbose_name_plural), list(keys)) for model, keys in found.items() if keys
    ]


def _halved(rows: QuerySet[M], keys: list[Any]) -> Iterator[list[M]]:
    def ask(keys: list[Any]) -> list[M]:
        return _tried(rows, lambda: list(rows.filter(pk__in=keys)))

    def bear(error: Exception) -> None:
        if not isinstance(error, UNREADABLE) or gave_up(error):
            raise error

    def alone(key: Any, error: Exception) -> list[M]:
        row = rows.filter(pk=key)
        _tried(rows, lambda: list(row.values_list("pk")))  # Raises, if it isn't the row's fault.
        fields = ", ".join(_faulty(row)) or "no field by itself"
        label = rows.model._meta.label
        logger.warning("%s: row %r can't be read: %s.", label, key, fields, exc_info=error)
        return []

    return halved(keys, ask, bear, alone)


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
