"""`touch`: journal by hand what no capture sees.

    databinding.touch(room)                             # one row, as it is or was
    databinding.touch(Message.objects.filter(room=1))   # those that are in it now
    databinding.touch(Message, 4, 5)                    # by primary key, also of rows that are gone
    databinding.touch(Message)                          # any row

To be called in the transaction of the change, before or after it; or later, and pages heal then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model, QuerySet

from databinding.binding import aliases
from databinding.capture import Told, any_row, asked_of, journal_touched, told_by, watched_by
from databinding.conf import settings
from databinding.doorbell import ring_after_commit
from databinding.watching import Watch


def touch(what: Model | QuerySet[Any] | type[Model], *keys: Any) -> None:
    """Have these rows read again by whoever shows them, or something of them, after the commit.

    The keys are journalled in the caller's transaction; more rows than ``KEY_LIMIT`` as "any row".
    Raises `ValueError` for a model that no binding shows anything of, and for an instance that has
    no primary key.
    """
    model = _model_of(what)
    if keys and what is not model:
        raise TypeError("touch() takes primary keys after a model alone.")
    if isinstance(what, Model) and what.pk is None:
        raise ValueError(f"This {model.__name__} has no primary key: it isn't saved, or is gone.")
    watched = [(alias, watches) for alias in aliases() if (watches := watched_by(model, alias))]
    if not watched:
        raise ValueError(f"No binding shows rows of {model.__name__}, or watches them.")
    for alias, watches in watched:
        if isinstance(what, Model):
            touched: list[Told] = [(watch, [what]) for watch in watches]
        elif isinstance(what, QuerySet):
            touched = _found(watches, what.using(alias))
        elif keys:
            touched = _named(watches, model._base_manager.using(alias), keys)
        else:
            touched = any_row(watches)
        journal_touched(alias, touched)
        ring_after_commit(alias)


def _model_of(what: Any) -> type[Model]:
    if isinstance(what, QuerySet):
        return what.model
    model = what if isinstance(what, type) else type(what)
    if not issubclass(model, Model):
        raise TypeError(f"touch() takes a row, a queryset or a model, not {what!r}.")
    return model


def _found(watches: Sequence[Watch], rows: QuerySet[Any]) -> list[Told]:
    """Rows that a queryset finds."""
    limit: int = settings.KEY_LIMIT
    found = list(rows.values_list(*asked_of(watches))[: limit + 1])
    return any_row(watches) if len(found) > limit else told_by(watches, found)


def _named(watches: Sequence[Watch], rows: QuerySet[Any], keys: Sequence[Any]) -> list[Told]:
    """Rows of these primary keys. Of those that are gone that is all that can be told."""
    if len(keys) > settings.KEY_LIMIT:
        return any_row(watches)
    pk: Any = rows.model._meta.pk
    values = [pk.to_python(key) for key in keys]
    by_pk = [watch for watch in watches if watch.field is not None and watch.field.primary_key]
    others = [watch for watch in watches if watch not in by_pk]
    touched: list[Told] = [(watch, values) for watch in by_pk]
    return touched + (_found(others, rows.filter(pk__in=values)) if others else [])
