"""Locks: how long a transaction waits for what others have locked, and one that it takes itself.

PostgreSQL waits for ever, SQLite for its ``timeout``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.models import Model

#: The SQLSTATE "lock_not_available".
_GAVE_UP = "55P03"


def wait_at_most(alias: str, seconds: float) -> None:
    """Let the rest of this transaction wait at most so long for each lock that it needs."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # For the transaction, not for the session, which a pooler gives to others.
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds * 1000:.0f}"])


def write_alone(alias: str) -> None:
    """Let nobody else write until this transaction ends, where one at a time does (SQLite).

    A transaction that only begins to read may find that somebody has written when it wants to.
    """
    connection = connections[alias]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE databinding_epoch SET id = id WHERE id IS NULL")


def lock_rows(model: type[Model], keys: Iterable[Any], alias: str) -> None:
    """Let nobody else write these rows until this transaction ends, where several write at a time.

    Those of a multi-table child with all that its parents' tables hold of them.
    """
    if not connections[alias].features.has_select_for_update:
        return
    # A table is locked where something of it is asked for.
    theirs = [
        field.name
        for parent in model._meta.all_parents
        for field in [one for one in parent._meta.local_fields if not one.primary_key][:1]
    ]
    # By the bare model: outer joins, DISTINCT and GROUP BY can't be locked.
    rows: Any = model._base_manager.using(alias).filter(pk__in=keys)
    # In one order, so that two who write the same rows don't wait for each other.
    list(rows.order_by("pk").select_for_update().values_list("pk", *theirs))


def gave_up(error: BaseException) -> bool:
    """Is this the error of a statement that has waited for long enough?"""
    return getattr(error.__cause__, "sqlstate", None) == _GAVE_UP
