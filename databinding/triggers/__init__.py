"""Triggers on the watched tables that put the keys of changed rows into the journal.

They are made from the bindings, and kept in step with them by ``migrate``: after every run the
triggers that should be there are compared with those that are (SQLite drops a table's triggers
when a migration remakes it), missing and differing ones are made anew, others of ours dropped.
Apps may have further triggers kept in step with theirs (`also`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.apps import AppConfig
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from databinding import journal
from databinding.conf import settings
from databinding.locks import wait_at_most
from databinding.triggers import postgresql, sqlite
from databinding.watching import Watch, watches

#: What a database needs for triggers, by `connection.vendor`.
_DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}


class Further(NamedTuple):
    """A trigger of an app's own: `body` is run after each `operation` on `table`.

    `body` is SQL of the database at hand. On SQLite it is run for each row and knows ``OLD`` and
    ``NEW``; on PostgreSQL for each statement, with its rows in ``databinding_old`` and
    ``databinding_new``, by a function as ours are: with the rights of whoever migrated, and with
    nothing but ``pg_catalog`` in its search path. Not for partitioned tables.
    """

    table: str
    operation: str
    body: str


#: What gives the further triggers of a database.
Source = Callable[[BaseDatabaseWrapper], Iterable[Further]]
_sources: list[Source] = []


def also(source: Source) -> None:
    """Keep further triggers in step, too: from an app's ``ready()``."""
    if source not in _sources:
        _sources.append(source)


class Trigger(NamedTuple):
    """The SQL that makes it, by what it is known to be as it was made, and for whom it is.

    One of an app's own is for no bound model.
    """

    sql: str
    fingerprint: str
    bound: str | None


class Drift(NamedTuple):
    """How the triggers of a database differ from what the bindings ask for."""

    missing: tuple[str, ...]
    differing: tuple[str, ...]
    stale: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(self)


def supported(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor in _DIALECTS


def wanted(alias: str) -> dict[str, Trigger]:
    """The triggers that should be there, by their names."""
    if settings.CAPTURE != "triggers":
        return {}
    connection = connections[alias]
    dialect = _DIALECTS[connection.vendor]
    ours = {
        _name(watch, operation): Trigger(sql, fingerprint, watch.bound)
        # An app may not be migrated yet, or not any more; its tables' turn comes with it.
        for watch, table in _tables(alias)
        if table is not None and table.writable
        for operation, sql, fingerprint in dialect.statements(connection, watch, table, _name)
    }
    for source in _sources:
        for one in source(connection):
            for table in dialect.tables(connection, [one.table]).values():
                name = _named(one.table, one.operation, source.__module__)
                sql, fingerprint = dialect.further(connection, one, table, name)
                ours[name] = Trigger(sql, fingerprint, None)
    return ours


def _tables(alias: str) -> list[tuple[Watch, Any]]:
    """What is watched, each with its table as the database knows it; None: it isn't there."""
    connection = connections[alias]
    found = watches(alias)
    names = dict.fromkeys(watch.table for watch in found)
    tables: dict[str, Any] = _DIALECTS[connection.vendor].tables(connection, list(names))
    return [(watch, tables.get(watch.table)) for watch in found]


def without_triggers(alias: str) -> set[str]:
    """Labels of bound models with a watched "table" that can't have any: a view, say."""
    return {
        watch.bound
        for watch, table in _tables(alias)
        if table is not None and not table.writable and watch.direct
    }


def _name(watch: Watch, operation: str) -> str:
    # Readable, and distinct also where a table is called like another one's model.
    return _named(watch.table, operation, watch.column or "", watch.label)


def _named(of: str, operation: str, *described: str) -> str:
    digest = hashlib.sha256("\0".join((of, *described)).encode()).hexdigest()[:8]
    # PostgreSQL cuts names after 63 bytes.
    table = of.encode()[:26].decode(errors="ignore").replace('"', "")
    return f"databinding_{table}_{operation}_{digest}"


def _digest(name: str) -> str:
    """What the names of all triggers of one watch end in."""
    return name.rpartition("_")[2]


def drift(alias: str) -> Drift:
    """Compare the triggers that are there with those that should be."""
    connection = connections[alias]
    return _drift(wanted(alias), _DIALECTS[connection.vendor].installed(connection))


def _drift(want: dict[str, Trigger], have: dict[str, str]) -> Drift:
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
    tables = {watch.table: table for watch, table in _tables(alias) if table is not None}
    found: list[str] = _DIALECTS[connection.vendor].refused(connection, tables)
    return found


def install(alias: str) -> Drift:
    """Bring the triggers in step with the bindings; return what was out of step.

    Where a trigger was missing, changes may have gone unseen: the journal is told that any row of
    its model may have changed.
    """
    connection = connections[alias]
    dialect = _DIALECTS[connection.vendor]
    want = wanted(alias)
    found = _drift(want, dialect.installed(connection))
    if not found:
        return found
    made = [want[name] for name in (*found.missing, *found.differing)]
    # One that is left over from a partition tells that there are rows less.
    left = {_digest(name) for name in found.stale}
    touched = [*made, *(one for name, one in want.items() if _digest(name) in left)]
    labels = {one.bound for one in touched if one.bound is not None}
    with transaction.atomic(using=alias):
        # Whoever wants to write a table queues behind us while we wait for it.
        wait_at_most(alias, settings.DATABASE_TIMEOUT)
        dialect.replace(
            connection,
            drop=(*found.stale, *found.differing),
            create=[trigger.sql for trigger in made],
        )
        journal.append(alias, [(label, None) for label in sorted(labels)])
    return found


def uninstall(alias: str) -> None:
    """Drop every trigger of ours."""
    connection = connections[alias]
    if not supported(connection):
        return
    dialect = _DIALECTS[connection.vendor]
    dialect.replace(connection, drop=tuple(dialect.installed(connection)), create=[])
    dialect.tidy(connection)


def loosen_before_migrate(
    sender: AppConfig, *, using: str, plan: list[tuple[Migration, bool]], **kwargs: Any
) -> None:
    """Receiver of ``pre_migrate``: let triggers stand in no migration's way.

    They name columns. PostgreSQL renames and drops those all the same, and a migration that then
    writes rows would fail in the trigger; SQLite refuses to drop them. So where apps are migrated
    that are bound or watched, the triggers name none until the migrations are done: any row may
    have changed then. If one fails, they stay so, and miss nothing.
    """
    connection = connections[using]
    if not supported(connection):
        return
    migrated = {migration.app_label for migration, _ in plan}
    apps = {watch.table: watch.model._meta.app_label for watch in watches(using)}

    def concerned(table: str, bound: str) -> bool:
        # A table that isn't known is one that a migration is about to rename or drop.
        return apps.get(table) in {*migrated, None} or bound.partition(".")[0] in migrated

    if migrated and journal.exists(using):
        _DIALECTS[connection.vendor].loosen(connection, concerned)


def install_after_migrate(
    sender: AppConfig, *, using: str, verbosity: int = 1, **kwargs: Any
) -> None:
    """Receiver of ``post_migrate``. Raises `CommandError` where they can't be made."""
    from databinding.models import JournalEntry

    connection = connections[using]
    if (
        not supported(connection)
        or not router.allow_migrate_model(using, JournalEntry)
        or not journal.exists(using)
    ):
        return
    try:
        found = install(using)
        _DIALECTS[connection.vendor].tidy(connection)
    except DatabaseError as error:
        tables = ", ".join(refused(using))
        raise CommandError(
            f"The triggers of live data binding can't be made on {using!r}, so changes would go "
            f"unseen: {' '.join(str(error).split())}\n"
            + (f"This role may not make those of {tables}. " if tables else "")
            + "Run migrate again as the owner of the tables, when nobody locks them, or set "
            "DATABINDING['CAPTURE'] = 'signals'."
        ) from error
    if found and verbosity >= 1:
        made = len(found.missing) + len(found.differing)
        print(f"  Live data binding: {made} triggers made, {len(found.stale)} dropped on {using}")
