"""What one pass of the relay reads, inside its transaction: rows, as fragments and groups.

Rows are read by each binding's queryset and rendered once. User code and the database's own
converters run here, and what they raise is the fault of its row, or of its binding, and stays
there: that row stays as it was, for everybody, and is logged. Only a database that doesn't even
answer for its journal is taken to be away, and ends the pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Model, QuerySet

from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Key, RecentMembers, Rows
from databinding.journal import Journal
from databinding.locks import gave_up

logger = logging.getLogger("databinding")

T = TypeVar("T")

#: What a database that is away or busy raises. A faulty query may raise the same.
DATABASE_AWAY = (OperationalError, InterfaceError)

#: Keys in one ``IN`` clause.
_CHUNK = 500


class Row(NamedTuple):
    """A row as it is in this reading.

    ``fragment`` None: it can't be rendered; ``groups`` None: nor can its groups be told.
    """

    key: Key
    fragment: str | None
    groups: frozenset[str] | None


class Change(NamedTuple):
    """What is to be applied to `Rows`: rows that are there, and keys that are gone.

    A complete change names every row that is there.
    """

    rows: list[Row]
    gone: list[Key]
    complete: bool = False

    def apply(self, to: Rows, number: int) -> None:
        gone = self.gone
        if self.complete:
            there = {row.key for row in self.rows}
            gone = [key for key in to.index if key not in there]
        for key in gone:
            to.drop(key, number)
        for row in self.rows:
            if row.groups is None:
                continue  # It stays as it was.
            if row.fragment is not None:
                to.put(row.key, row.fragment, row.groups, number)
            elif row.key in to.fragments:
                # What it is can't be told, but whom it has left can.
                stays = row.groups.intersection(to.index[row.key])
                to.put(row.key, to.fragments[row.key], stays, number)
        if self.complete:
            to.follow_anew(number)


class Reader:
    """Reads in the transaction of one pass, from the database of its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        #: Rows that could not be read or rendered, as texts of their keys; None: the whole binding.
        self.faulty: dict[type[Binding], set[str | None]] = {}

    def keys(self, binding: type[Binding], texts: Collection[str]) -> Change:
        """The rows with these keys (as the journal holds them), and which are gone."""
        wanted: list[Key] = []
        for text in texts:
            try:
                wanted.append(binding.key_from_text(text))
            except Exception:
                logger.exception("%s: %r isn't a primary key.", binding.__qualname__, text)
        rows = self._by_keys(binding, wanted)
        there = {row.key for row in rows}
        return Change(rows, [key for key in wanted if key not in there])

    def all(self, binding: type[Binding], groups: Collection[str]) -> Change:
        """Every row that is in one of these groups. Raises what the binding's querysets raise."""
        constant = binding.constant_groups()
        if constant is not None and constant.isdisjoint(groups):
            return Change([], [], complete=True)
        rows: dict[Key, Row] = {}
        for queryset in _querysets(binding, groups):
            for row in self._scan(binding, queryset, groups):
                rows[row.key] = row
        return Change(list(rows.values()), [], complete=True)

    def owe(self, binding: type[Binding], key: Key | None) -> None:
        """Note what has to be read again, since it couldn't be now."""
        text = None if key is None else str(key)
        self.faulty.setdefault(binding, set()).add(text)

    def page(self, binding: type[Binding], after: Key | None, size: int) -> list[Row]:
        """The next rows by primary key of a binding whose rows are all in the same groups."""
        queryset = binding.queryset().order_by("pk")
        if after is not None:
            queryset = queryset.filter(pk__gt=after)
        return self._scan(binding, queryset[:size])

    def load(
        self, binding: type[Binding], rows: Rows, groups: Collection[str]
    ) -> dict[str, list[tuple[Key, str]] | None]:
        """The rows of groups that aren't held yet; None for a group too large to be held."""
        constant = binding.constant_groups()
        if constant is not None and not constant.isdisjoint(groups) and binding.sees_all():
            large = any(isinstance(members, RecentMembers) for members in rows.groups.values())
            if large or self._guarded(binding.queryset().count) > settings.GROUP_LIMIT:
                return {group: None if group in constant else [] for group in groups}
        found: dict[str, list[tuple[Key, str]] | None] = {group: [] for group in groups}
        for row in self.all(binding, groups).rows:
            if row.fragment is not None:
                for group in (row.groups or frozenset()).intersection(groups):
                    found[group].append((row.key, row.fragment))  # type: ignore[union-attr]
        return found

    # Faults

    def raise_if_away(self, error: Exception) -> None:
        """Pass over an error that is the fault of what was read, not of a database that is away."""
        if isinstance(error, DATABASE_AWAY):
            self.journal.state()  # Raises the like if it is away.

    def _raise_if_hopeless(self, error: Exception) -> None:
        """Pass over an error that may be the fault of one row."""
        if gave_up(error):
            raise error  # The table is locked; each row of it would be waited for anew.
        self.raise_if_away(error)

    def _guarded(self, read: Callable[[], T]) -> T:
        # A savepoint: after a failed statement PostgreSQL refuses all others until it is undone.
        with transaction.atomic(using=self.journal.alias):
            return read()

    def _rendered(
        self, binding: type[Binding], queryset: QuerySet[Any], groups: Collection[str] | None
    ) -> list[Row]:
        rows = self._guarded(lambda: list(_render(binding, queryset, groups)))
        for row in rows:
            if row.fragment is None:
                self.owe(binding, row.key)
        return rows

    def _scan(
        self,
        binding: type[Binding],
        queryset: QuerySet[Any],
        groups: Collection[str] | None = None,
    ) -> list[Row]:
        """All rows of a queryset; where one can't even be read, they are read by their keys."""
        try:
            return self._rendered(binding, queryset, groups)
        except Exception as error:
            self._raise_if_hopeless(error)
            keys = self._guarded(lambda: list(queryset.values_list("pk", flat=True)))
            return self._by_keys(binding, keys, groups)

    def _by_keys(
        self,
        binding: type[Binding],
        keys: list[Any],
        groups: Collection[str] | None = None,
    ) -> list[Row]:
        rows: list[Row] = []
        for start in range(0, len(keys), _CHUNK):
            rows += self._chunk(binding, keys[start : start + _CHUNK], groups)
        return rows

    def _chunk(
        self,
        binding: type[Binding],
        keys: list[Any],
        groups: Collection[str] | None,
    ) -> list[Row]:
        """The rows with these keys; one that can't be read is found by halving."""
        try:
            return self._rendered(binding, binding.queryset().filter(pk__in=keys), groups)
        except Exception as error:
            self._raise_if_hopeless(error)
            if len(keys) == 1:
                logger.exception("%s: row %r can't be read.", binding.__qualname__, keys[0])
                key = keys[0] if isinstance(keys[0], int) else str(keys[0])
                self.owe(binding, key)
                return [Row(key, None, None)]
            half = len(keys) // 2
            return [
                *self._chunk(binding, keys[:half], groups),
                *self._chunk(binding, keys[half:], groups),
            ]


def _querysets(binding: type[Binding], groups: Iterable[str]) -> Iterator[QuerySet[Any]]:
    for group in groups:
        queryset = binding.rows(group)
        if queryset is None:
            # The binding can't say which rows a group has: ask every row which groups it is in.
            yield binding.queryset()
            return
        yield binding.prepared(queryset)


def _render(
    binding: type[Binding], queryset: QuerySet[Any], groups: Collection[str] | None
) -> Iterator[Row]:
    """The rows, if groups are given those in one of them."""
    constant = binding.constant_groups()
    for instance in queryset.iterator(chunk_size=2_000):
        row = _row(binding, instance, constant, groups)
        if groups is None or row.groups is None or not row.groups.isdisjoint(groups):
            yield row


def _row(
    binding: type[Binding],
    instance: Model,
    constant: frozenset[str] | None,
    wanted: Collection[str] | None,
) -> Row:
    key = binding.key(instance)
    found = None
    try:
        found = binding.groups_of(instance) if constant is None else constant
        if wanted is not None and found.isdisjoint(wanted):
            return Row(key, "", found)  # Nobody asks for it; `_render` leaves it out.
        return Row(key, binding.fragment(instance), found)
    except DATABASE_AWAY:
        raise  # Whose fault that is is found out in `Reader._chunk`.
    except Exception:
        logger.exception("%s: row %r can't be rendered.", binding.__qualname__, key)
        return Row(key, None, found)
