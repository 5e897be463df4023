"""Django's signals: they ring the doorbell after each commit, and may journal the keys.

With ``CAPTURE = "triggers"`` the database itself journals the keys of whatever is written, and
the signals only make delivery prompt. With ``CAPTURE = "signals"``, for databases or rights
without triggers, they journal the keys, in the transaction of the change if it is in one, else just
after it. What sends no signal is
not seen then: ``update()``, ``bulk_create()``, ``bulk_update()`` and fast deletes (but through
`databinding.managers`), raw SQL and other programs; and what was written in autocommit is lost if
the process dies before its ``post_save``, or if another receiver raises there before ours is
called.

Nothing in Django is wrapped or patched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from databinding import journal
from databinding.binding import aliases
from databinding.conf import settings
from databinding.doorbell import ring_after_commit
from databinding.keys import to_text
from databinding.watching import Watch, watches

_UID = "databinding"

#: What a watch is told of rows that have changed: the rows, or the values of its field; None among
#: them: any row.
Told = tuple[Watch, Iterable[Any]]


def connect() -> None:
    """Listen to the signals of the watched models, and of their children and proxies.

    Not to those of all models: where anybody listens, Django deletes row by row instead of fast.
    """
    watched_by.cache_clear()
    # A binding with a mistake is for the checks to name: neither they nor saves may end here.
    models = {watch.model for alias in aliases() for watch in watches(alias, leniently=True)}
    for model in apps.get_models(include_auto_created=True):
        if not models.isdisjoint(_lineage(model)):
            post_save.connect(_changed, sender=model, dispatch_uid=_UID)
            post_delete.connect(_changed, sender=model, dispatch_uid=_UID)
    m2m_changed.connect(_related_changed, dispatch_uid=_UID)


def _lineage(model: type[Model]) -> set[type[Model] | None]:
    return {model._meta.concrete_model, *model._meta.get_parent_list()}


@cache
def watched_by(model: type[Model], alias: str) -> tuple[Watch, ...]:
    """What watches the tables of a row of this model."""
    lineage = _lineage(model)
    return tuple(watch for watch in watches(alias, leniently=True) if watch.model in lineage)


def _changed(
    sender: type[Model],
    instance: Model,
    using: str,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    found = watched_by(sender, using)
    if update_fields is not None:
        found = tuple(watch for watch in found if counts(watch, update_fields))
    if not found:
        return
    if settings.CAPTURE == "signals":
        journal_touched(using, [(watch, [instance]) for watch in found])
    ring_after_commit(using)


def counts(watch: Watch, saved: Collection[str]) -> bool:
    """Is a change of these fields (their names) one for the watch?"""
    if watch.fields is None:
        return True
    return any(field.name in saved for field in (watch.field, *watch.fields))


def _related_changed(
    sender: type[Model],
    instance: Model,
    action: str,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    found = watched_by(sender, using)
    if not found or not action.startswith("post_"):
        return
    if settings.CAPTURE == "signals":
        touched = [(watch, _touched(watch, instance, model, pk_set)) for watch in found]
        journal_touched(using, touched)
    ring_after_commit(using)


def _touched(
    watch: Watch, instance: Model, model: type[Model], pk_set: set[Any] | None
) -> list[Any]:
    """The rows at one end of a many-to-many's, or their keys; a None among them: it isn't said."""
    owner = watch.field and watch.field.remote_field.model._meta.concrete_model
    rows: list[Any] = []
    if owner is None or owner in _lineage(type(instance)):
        rows.append(instance)
    if owner is not None and owner in _lineage(model):
        # Clearing from one side doesn't say which rows it touched on the other.
        rows += [None] if pk_set is None or not watch.field.target_field.primary_key else pk_set
    return rows


def any_row(watches: Iterable[Watch]) -> list[Told]:
    """It can't be told which rows have changed."""
    return [(watch, [None]) for watch in watches]


def asked_of(watches: Iterable[Watch]) -> list[str]:
    """What to ask of rows: the primary key, and the value of each watch that has one."""
    return ["pk", *(watch.field.attname for watch in watches if watch.field is not None)]


def told_by(watches: Iterable[Watch], rows: Sequence[tuple[Any, ...]]) -> list[Told]:
    """Rows have changed that were asked for `asked_of`."""
    if not rows:
        return []
    with_value = [watch for watch in watches if watch.field is not None]
    touched: list[Told] = [
        (watch, [row[place] for row in rows]) for place, watch in enumerate(with_value, start=1)
    ]
    return [*touched, *any_row(watch for watch in watches if watch.field is None)]


def journal_touched(using: str, touched: Iterable[Told]) -> None:
    """Journal, in the caller's transaction, what rows have changed, by whom that touches."""
    keys: dict[tuple[str, str | None], None] = {}
    for watch, rows in touched:
        for row in rows:
            if row is None or watch.field is None:
                keys[watch.bound, None] = None
                continue
            value = _value(watch, row) if isinstance(row, Model) else row
            if value is not None:
                keys[watch.label, to_text(watch.field, value, using)] = None
    journal.append(using, keys)


def _value(watch: Watch, row: Model) -> Any:
    if isinstance(row, watch.model):
        return getattr(row, watch.field.attname)
    # A row at the end of a many-to-many's.
    return getattr(row, watch.field.target_field.attname)
