"""Triggers on the bound tables that put the keys of changed rows into the journal.

They are made from the bindings, and kept in step with them by ``migrate``: after every run the
triggers that should be there are compared with those that are (SQLite drops a table's triggers
when a migration remakes it), missing and differing ones are made anew, others of ours dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import AppConfig
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from databinding import journal
from databinding.binding import Binding, bindings_of
from databinding.conf import settings
from databinding.locks import wait_at_most
from databinding.triggers import postgresql, sqlite

#: What a database needs for triggers, by `connection.vendor`.
_DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}


class Watch(NamedTuple):
    """Changes of `table` touch the row of `label` whose primary key is in `column`.

    Without a column they may touch any row.
    """

    table: str
    column: str | None
    label: str


class Trigger(NamedTuple):
    """The SQL that makes it, and by what it is known to be as it was made."""

    sql: str
    fingerprint: str


class Drift(NamedTuple):
    """How the triggers of a database differ from what the bindings ask for."""

    missing: tuple[str, ...]
    differing: tuple[str, ...]
    stale: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(self)


def supported(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor in _DIALECTS


def watches(alias: str) -> list[Watch]:
    """The tables that the bindings of this database depend on, each with the key's column."""
    found = (watch for binding in bindings_of(alias) for watch in _watches_of(binding))
    return list(dict.fromkeys(found))


def _watches_of(binding: type[Binding]) -> Iterator[Watch]:
    concrete: type[Model] | None = binding.model._meta.concrete_model
    assert concrete is not None
    label = binding.concrete_label()
    for model in (concrete, *concrete._meta.get_parent_list()):
        # A child's row is spread over its parents' tables: those on the way of its primary key
        # have the same key, others one of their own.
        column = model._meta.pk.column if _has_key_of(concrete, model) else None
        yield Watch(model._meta.db_table, column, label)
    for name in binding.many_to_many():
        field: Any = concrete._meta.get_field(name)
        yield Watch(field.m2m_db_table(), field.m2m_column_name(), label)


def _has_key_of(child: type[Model], parent: type[Model]) -> bool:
    model: Any = child
    while model is not parent:
        link = model._meta.pk.remote_field
        if link is None or not link.parent_link:
            return False
        model = link.model
    return True


def wanted(alias: str) -> dict[str, Trigger]:
    """The triggers that should be there, by their names."""
    if settings.CAPTURE != "triggers":
        return {}
    connection = connections[alias]
    dialect = _DIALECTS[connection.vendor]
    # An app may not be migrated yet, or not any more; its tables' turn comes with it.
    tables = set(connection.introspection.table_names())
    return {
        _name(watch, operation): Trigger(sql, dialect.fingerprint(watch, operation, sql))
        for watch in watches(alias)
        if watch.table in tables
        for operation, sql in dialect.statements(connection, watch, _name)
    }


def _name(watch: Watch, operation: str) -> str:
    # Readable, and distinct also where a table is called like another one's model.
    described = "\0".join((watch.table, watch.column or "", watch.label))
    digest = hashlib.sha256(described.encode()).hexdigest()[:8]
    # PostgreSQL cuts names after 63 bytes.
    table = watch.table.encode()[:30].decode(errors="ignore")
    return f"databinding_{table}_{operation}_{digest}"


def drift(alias: str) -> Drift:
    """Compare the triggers that are there with those that should be."""
    connection = connections[alias]
    dialect = _DIALECTS[connection.vendor]
    want = wanted(alias)
    have = dialect.installed(connection)
    return Drift(
        missing=tuple(name for name in want if name not in have),
        differing=tuple(
            name for name in want if name in have and have[name] != want[name].fingerprint
        ),
        stale=tuple(name for name in have if name not in want),
    )


def refused(alias: str) -> list[str]:
    """The watched tables on which whoever is connected may not make triggers."""
    connection = connections[alias]
    tables = set(connection.introspection.table_names())
    watched = dict.fromkeys(watch.table for watch in watches(alias) if watch.table in tables)
    found: list[str] = _DIALECTS[connection.vendor].refused(connection, list(watched))
    return found


def install(alias: str) -> Drift:
    """Bring the triggers in step with the bindings; return what was out of step.

    Where a trigger was missing, changes may have gone unseen: the journal is told that any row of
    its model may have changed.
    """
    connection = connections[alias]
    dialect = _DIALECTS[connection.vendor]
    found = drift(alias)
    if not found:
        return found
    want = wanted(alias)
    renewed = {
        watch.label
        for watch in watches(alias)
        for operation in dialect.OPERATIONS
        if _name(watch, operation) in (*found.missing, *found.differing)
    }
    with transaction.atomic(using=alias):
        # Whoever wants to write a table queues behind us while we wait for it.
        wait_at_most(alias, settings.DATABASE_TIMEOUT)
        dialect.replace(
            connection,
            drop=(*found.stale, *found.differing),
            create=[want[name].sql for name in (*found.missing, *found.differing)],
        )
        journal.append(alias, [(label, None) for label in sorted(renewed)])
    return found


def uninstall(alias: str) -> None:
    """Drop every trigger of ours."""
    connection = connections[alias]
    if not supported(connection):
        return
    dialect = _DIALECTS[connection.vendor]
    dialect.replace(connection, drop=tuple(dialect.installed(connection)), create=[])


def install_after_migrate(
    sender: AppConfig, *, using: str, verbosity: int = 1, **kwargs: Any
) -> None:
    """Receiver of ``post_migrate``."""
    from databinding.models import JournalEntry

    connection = connections[using]
    if (
        not supported(connection)
        or not router.allow_migrate_model(using, JournalEntry)
        or not journal.exists(using)
    ):
        return
    found = install(using)
    if found and verbosity >= 1:
        made = len(found.missing) + len(found.differing)
        print(f"  Live data binding: {made} triggers made, {len(found.stale)} dropped on {using}")
