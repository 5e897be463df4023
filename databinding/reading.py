"""What one pass of the relay reads, inside its transaction: rows, as fragments and groups.

Rows are read by each binding's queryset and rendered once. User code runs here; a row for which
it raises stays as it was, for everybody, and is logged. Only errors that mean that the database
is away end the pass.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Key, RecentMembers, Rows

logger = logging.getLogger("databinding")

#: The database is away or busy; anything else that a query raises is a fault of its row.
DATABASE_AWAY = (OperationalError, InterfaceError)

#: Keys in one ``IN`` clause.
_CHUNK = 500


class Row(NamedTuple):
    """A row as it is in this reading. ``fragment`` None: it can't be rendered."""

    key: Key
    fragment: str | None
    groups: frozenset[str]


class Change(NamedTuple):
    """What is to be applied to `Rows`: rows that are there, keys gone, keys left as they were."""

    rows: list[Row]
    gone: list[Key]
    complete: bool = False

    def apply(self, to: Rows, number: int) -> None:
        if self.complete:
            there = {row.key: (row.fragment, row.groups) for row in self.rows if row.fragment}
            to.replace(there, {row.key for row in self.rows}, number)
            return
        for row in self.rows:
            if row.fragment is not None:
                to.put(row.key, row.fragment, row.groups, number)
        for key in self.gone:
            to.drop(key, number)


def read_keys(binding: type[Binding], texts: Collection[str]) -> Change:
    """The rows with these keys (as the journal holds them), and which are gone."""
    wanted = {}
    for text in texts:
        try:
            wanted[binding.key_from_text(text)] = text
        except Exception:
            logger.exception("%s: %r isn't a primary key.", binding.__qualname__, text)
    rows: list[Row] = []
    keys = iter(wanted)
    while chunk := list(islice(keys, _CHUNK)):
        rows += render(binding, binding.queryset().filter(pk__in=chunk))
    there = {row.key for row in rows}
    return Change(rows, [key for key in wanted if key not in there])


def read_all(binding: type[Binding], groups: Collection[str]) -> Change:
    """Every row that is in one of these groups."""
    constant = binding.constant_groups()
    if constant is not None and constant.isdisjoint(groups):
        return Change([], [], complete=True)
    rows: dict[Key, Row] = {}
    for queryset in _querysets(binding, groups):
        for row in render(binding, queryset):
            if row.fragment is None or not row.groups.isdisjoint(groups):
                rows[row.key] = row
    return Change(list(rows.values()), [], complete=True)


def _querysets(binding: type[Binding], groups: Iterable[str]) -> Iterator[QuerySet[Any]]:
    for group in groups:
        queryset = binding.rows(group)
        if queryset is None:
            # The binding can't say which rows a group has: ask every row which groups it is in.
            yield binding.queryset()
            return
        yield binding.prepared(queryset)


def read_page(binding: type[Binding], after: Key | None, size: int) -> list[Row]:
    """The next rows by primary key of a binding whose rows are all in the same groups."""
    queryset = binding.queryset().order_by("pk")
    if after is not None:
        queryset = queryset.filter(pk__gt=after)
    return list(render(binding, queryset[:size]))


def render(binding: type[Binding], queryset: QuerySet[Any]) -> Iterator[Row]:
    constant = binding.constant_groups()
    for instance in queryset.iterator(chunk_size=2_000):
        key = binding.key(instance)
        try:
            groups = constant if constant is not None else binding.groups_of(instance)
            yield Row(key, binding.fragment(instance), groups)
        except DATABASE_AWAY:
            raise
        except Exception:
            logger.exception("%s: row %r can't be rendered.", binding.__qualname__, key)
            yield Row(key, None, frozenset())


def load(
    binding: type[Binding], rows: Rows, groups: Collection[str]
) -> dict[str, list[tuple[Key, str]] | None]:
    """The rows of groups that aren't held yet; None for a group too large to be held."""
    constant = binding.constant_groups()
    if constant is not None and not constant.isdisjoint(groups):
        large = any(isinstance(members, RecentMembers) for members in rows.groups.values())
        if large or binding.queryset().count() > settings.GROUP_LIMIT:
            return {group: None if group in constant else [] for group in groups}
    change = read_all(binding, groups)
    return {
        group: [
            (row.key, row.fragment)
            for row in change.rows
            if row.fragment is not None and group in row.groups
        ]
        for group in groups
    }
