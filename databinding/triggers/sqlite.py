"""SQLite's triggers: one per row, table and kind of statement; in force for every program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from databinding.models import JournalEntry

if TYPE_CHECKING:
    from databinding.triggers import Watch

OPERATIONS = ("insert", "update", "delete")

_ROWS = {"insert": ("NEW",), "delete": ("OLD",), "update": ("NEW", "OLD")}


def statements(
    connection: BaseDatabaseWrapper, watch: Watch, name: Callable[[Watch, str], str]
) -> Iterator[tuple[str, str]]:
    """The operation and SQL of each trigger for one watched table."""
    quote = connection.ops.quote_name
    journal = quote(JournalEntry._meta.db_table)
    label = watch.label.replace("'", "''")
    for operation in OPERATIONS:
        body: list[str] = []
        for row in _ROWS[operation] if watch.column else ("any",):
            # An update that changes the key touches two rows: the one gone and the one come.
            column = quote(watch.column) if watch.column else ""
            condition = f" WHERE OLD.{column} IS NOT NEW.{column}" if body else ""
            key = f"{row}.{column}" if watch.column else "NULL"
            body.append(
                f"INSERT INTO {journal} (model, key, tag) "
                f"SELECT '{label}', {key}, random(){condition};"
            )
        yield (
            operation,
            f"CREATE TRIGGER {quote(name(watch, operation))} "
            f"AFTER {operation.upper()} ON {quote(watch.table)} "
            f"BEGIN {' '.join(body)} END",
        )


def fingerprint(watch: Watch, operation: str, sql: str) -> str:
    """What `installed` says of a trigger that was made by this SQL."""
    return sql


def installed(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Names and fingerprints of our triggers that are there."""
    with connection.cursor() as cursor:
        cursor.execute(
            r"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' "
            r"AND name LIKE 'databinding\_%%' ESCAPE '\'",
            [],
        )
        return dict(cursor.fetchall())


def replace(connection: BaseDatabaseWrapper, *, drop: Iterable[str], create: Iterable[str]) -> None:
    """Drop and create triggers in one transaction."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for name in drop:
            cursor.execute(f"DROP TRIGGER IF EXISTS {connection.ops.quote_name(name)}")
        for statement in create:
            cursor.execute(statement)


def refused(connection: BaseDatabaseWrapper, tables: list[str]) -> list[str]:
    """SQLite knows no rights."""
    return []
