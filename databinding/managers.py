"""A queryset that journals what sends no signal, for databases without triggers.

    class Message(models.Model):
        ...
        objects = JournalingManager()

        class Meta:
            base_manager_name = "objects"

With ``CAPTURE = "signals"`` its `update()`, `bulk_create()`, `bulk_update()` and `_raw_delete()`
journal the keys of the rows that they touch, in the same transaction. As the base manager it also
serves where Django writes by itself: ``on_delete=SET_NULL``, ``room.message_set.add()``. With
``CAPTURE = "triggers"`` it does what Django's own does, and rings the doorbell.

Which rows a statement touches must be known whatever others are writing meanwhile. So they are
locked as they are asked for (on PostgreSQL these rows, on SQLite the whole database, where one
writes at a time), and the statement is kept to them. More rows than ``KEY_LIMIT``, changed primary
keys, and conditions by chance or by a slice of other rows are journalled as "any row".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db import connections, transaction
from django.db.models import Manager, Model, QuerySet
from django.db.models.expressions import Exists, RawSQL
from django.db.models.functions import Random
from django.db.models.sql import Query
from django.db.models.sql.where import ExtraWhere

from databinding.capture import (
    Told,
    any_row,
    asked_of,
    counts,
    journal_touched,
    told_by,
    watched_by,
)
from databinding.conf import settings
from databinding.doorbell import ring_after_commit
from databinding.locks import write_alone
from databinding.parts import parts
from databinding.watching import Watch

M = TypeVar("M", bound=Model)


class JournalingQuerySet(QuerySet[M]):
    """Journals the keys of what it writes, where signals capture."""

    def update(self, **kwargs: Any) -> int:
        using = self._writing()
        changed = {self._field(name) for name in kwargs}
        watches = self._watches(using, changed)
        if not watches or self.query.is_sliced or self.query.combinator:
            return super().update(**kwargs)
        if not _by_hand():
            updated = super().update(**kwargs)
            ring_after_commit(using)
            return updated
        with transaction.atomic(using=using, savepoint=False):
            rows = self._locked(using, watches, no_key=True)
            if rows is None or not changed.isdisjoint(self._identity()):
                touched = any_row(watches)
                updated = super().update(**kwargs)
            else:
                updated = QuerySet.update(self._kept_to(rows, using), **kwargs)
                touched = told_by(watches, rows)
                touched += [
                    (watch, self._now(watch, rows, using))
                    for watch in watches
                    if watch.field in changed
                ]
            journal_touched(using, touched)
        ring_after_commit(using)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def _raw_delete(self, using: str) -> int:  # type: ignore[override]
        watches = self._watches(using)
        if not watches or not _by_hand():
            deleted: int = super()._raw_delete(using)
            if watches:
                ring_after_commit(using)
            return deleted
        with transaction.atomic(using=using, savepoint=False):
            rows = self._locked(using, watches)
            if rows is None:
                touched = any_row(watches)
                deleted = super()._raw_delete(using)
            else:
                touched = told_by(watches, rows)
                deleted = QuerySet._raw_delete(self._kept_to(rows, using), using)
            journal_touched(using, touched)
        ring_after_commit(using)
        return deleted

    _raw_delete.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M]:
        using = self._writing()
        watches = self._watches(using)
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "ignore_conflicts": ignore_conflicts,
            "update_conflicts": update_conflicts,
            "update_fields": update_fields,
            "unique_fields": unique_fields,
        }
        if not watches or not _by_hand():
            made = super().bulk_create(objs, **options)
            if watches:
                ring_after_commit(using)
            return made
        objs = list(objs)
        with transaction.atomic(using=using, savepoint=False):
            made = super().bulk_create(objs, **options)
            if not objs:
                return made
            if len(objs) > settings.KEY_LIMIT:
                touched = any_row(watches)
            elif update_conflicts:
                unique = [self._field(name) for name in unique_fields or ()]
                touched = self._met(using, watches, objs, unique)
                # What they referred to before isn't known.
                changed = {self._field(name) for name in update_fields or ()}
                touched += any_row(watch for watch in watches if watch.field in changed)
            elif ignore_conflicts:
                touched = self._met(using, watches, objs, self._unique(objs))
            else:
                touched = [(watch, _values(watch, objs)) for watch in watches]
            journal_touched(using, touched)
        ring_after_commit(using)
        return made

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    # What is written, and who watches it

    def _writing(self) -> str:
        self._for_write = True  # As what is overridden here does.
        return self.db

    def _field(self, name: str) -> Any:
        meta = self.model._meta
        return meta.pk if name == "pk" else meta.get_field(name)

    def _identity(self) -> set[Any]:
        parents = self.model._meta.all_parents
        return {self.model._meta.pk, *(parent._meta.pk for parent in parents)}

    def _watches(self, using: str, changed: Collection[Any] | None = None) -> list[Watch]:
        found = watched_by(self.model, using)
        if changed is None:
            return list(found)
        names = {field.name for field in changed}
        return [watch for watch in found if counts(watch, names)]

    # Rows that are about to change

    def _locked(
        self, using: str, watches: Sequence[Watch], *, no_key: bool = False
    ) -> list[tuple[Any, ...]] | None:
        """Primary key and watched values of each row; None: they are too many, or the statement
        finds others each time.

        Nobody else changes them until the transaction ends.
        """
        if not _is_repeatable(self.query):
            return None
        write_alone(using)
        rows: Any = self.model._base_manager.using(using).order_by()
        rows = rows.filter(pk__in=self.using(using).order_by().values("pk"))
        if connections[using].features.has_select_for_update:
            rows = rows.select_for_update(no_key=no_key)
        found = list(rows.values_list(*asked_of(watches))[: settings.KEY_LIMIT + 1])
        return None if len(found) > settings.KEY_LIMIT else found

    def _kept_to(self, rows: Sequence[tuple[Any, ...]], using: str) -> QuerySet[M]:
        """This queryset, for these rows alone: others may have been committed meanwhile."""
        keys: Any = [row[0] for row in rows]
        connection = connections[using]
        if connection.vendor == "sqlite":
            # As one parameter: of those it takes not many.
            pk = self.model._meta.pk
            prepared = [pk.get_db_prep_value(key, connection) for key in keys]
            keys = RawSQL("SELECT value FROM json_each(%s)", [json.dumps(prepared)])
        return self.filter(pk__in=keys)

    def _now(self, watch: Watch, rows: Sequence[tuple[Any, ...]], using: str) -> Iterator[Any]:
        """The values of a watch's field after it has changed."""
        table = self.model._base_manager.using(using).order_by()
        for keys in parts(row[0] for row in rows):
            yield from table.filter(pk__in=keys).values_list(watch.field.attname, flat=True)

    def _met(
        self, using: str, watches: Sequence[Watch], objs: Sequence[M], unique: Sequence[Any]
    ) -> list[Told]:
        """What an insertion touched that may have met rows which were there already.

        They are all among those that have the objects' values in the fields that are unique. Where
        there are none of these it can't be told.
        """
        names = [field.attname for field in unique]
        plain = all(_is_plain(getattr(obj, name)) for obj in objs for name in names)
        if not names or not plain:
            return any_row(watches)
        touched: list[Told] = []
        table = self.model._base_manager.using(using).order_by()
        for some in parts(objs):
            those = {f"{name}__in": [getattr(obj, name) for obj in some] for name in names}
            touched += told_by(watches, list(table.filter(**those).values_list(*asked_of(watches))))
        return touched

    def _unique(self, objs: Sequence[M]) -> list[Any]:
        """A field that no two rows have the same value in, and all objects have one for."""
        for field in self.model._meta.concrete_fields:
            if field.unique and all(_is_plain(getattr(obj, field.attname)) for obj in objs):
                return [field]
        return []


class JournalingManager(Manager.from_queryset(JournalingQuerySet)):  # type: ignore[misc]
    """`JournalingQuerySet` as a manager."""


def _by_hand() -> bool:
    return bool(settings.CAPTURE == "signals")


def _values(watch: Watch, objs: Iterable[Model]) -> list[Any]:
    """What a watch sees of rows as they were inserted; None for what the database made up."""
    if watch.field is None:
        return [None]
    return [
        value if _is_plain(value) else None
        for value in (getattr(obj, watch.field.attname) for obj in objs)
        if value is not None or watch.field.primary_key
    ]


def _is_repeatable(part: Any) -> bool:
    """Does a condition find the same rows again, if nobody changes any? Not by chance, nor by the
    first of some rows in an order that isn't a total one."""
    if isinstance(part, Exists):
        part = part.query  # Of which it asks for one row, and whichever does.
    if isinstance(part, Query):
        return _is_repeatable(part.where)
    if isinstance(part, Random | RawSQL | ExtraWhere):
        return False
    sources: Iterable[Any] = getattr(part, "get_source_expressions", tuple)()
    return all(
        _is_repeatable(one) and not (isinstance(one, Query) and one.is_sliced) for one in sources
    )


def _is_plain(value: Any) -> bool:
    """Not NULL, nor an expression, of which the value isn't known here."""
    return value is not None and not hasattr(value, "resolve_expression")
