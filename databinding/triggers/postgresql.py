"""PostgreSQL's triggers: one per statement and table, over the statement's rows (transition
tables), with a function for each watched table. TRUNCATE journals "any row".

The functions run with the rights of whoever installed them (SECURITY DEFINER), so that a program
that may write a bound table needs no rights on the journal; every name in them is qualified, and
their search path is a fixed one, whatever the writer's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from databinding.models import JournalEntry

if TYPE_CHECKING:
    from databinding.triggers import Watch

OPERATIONS = ("insert", "update", "delete", "truncate")

_SEARCH_PATH = "pg_catalog, pg_temp"

#: The transition tables of each operation, as the function calls them.
_REFERENCING = {
    "insert": "REFERENCING NEW TABLE AS databinding_new",
    "update": "REFERENCING OLD TABLE AS databinding_old NEW TABLE AS databinding_new",
    "delete": "REFERENCING OLD TABLE AS databinding_old",
    "truncate": "",
}


def statements(
    connection: BaseDatabaseWrapper, watch: Watch, name: Callable[[Watch, str], str]
) -> Iterator[tuple[str, str]]:
    """The operation and SQL of each trigger for one watched table."""
    quote = connection.ops.quote_name
    for operation in OPERATIONS:
        trigger = quote(name(watch, operation))
        body = _body(connection, watch, operation)
        yield (
            operation,
            f"CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger "
            f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = {_SEARCH_PATH} "
            f"AS $databinding${body}$databinding$; "
            f"CREATE OR REPLACE TRIGGER {trigger} AFTER {operation.upper()} "
            f"ON {quote(watch.table)} {_REFERENCING[operation]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {trigger}()",
        )


def _body(connection: BaseDatabaseWrapper, watch: Watch, operation: str) -> str:
    quote = connection.ops.quote_name
    journal = f"{quote(_schema(connection))}.{quote(JournalEntry._meta.db_table)}"
    column = f"{quote(watch.column)}::pg_catalog.text" if watch.column else "NULL::pg_catalog.text"
    new, old = f"SELECT {column} FROM databinding_new", f"SELECT {column} FROM databinding_old"
    keys = {
        "insert": new,
        "delete": old,
        # An update that changes keys touches the rows gone and the rows come.
        "update": f"{new} UNION {old}",
        "truncate": "SELECT NULL::pg_catalog.text",
    }[operation]
    label = watch.label.replace("'", "''")
    return (
        f" BEGIN INSERT INTO {journal} (model, key, tag) "
        f"SELECT '{label}', touched.key, "
        f"(pg_catalog.random() OPERATOR(pg_catalog.*) 9007199254740991)::pg_catalog.int8 "
        f"FROM ({keys}) AS touched (key); RETURN NULL; END "
    )


def _schema(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


def fingerprint(watch: Watch, operation: str, sql: str) -> str:
    """What `installed` says of a trigger that was made by this SQL."""
    return _fingerprint(watch.table, operation, sql.split("$databinding$")[1])


def _fingerprint(table: str, operation: str, body: str) -> str:
    return hashlib.sha256("\0".join((table, operation, body)).encode()).hexdigest()


def installed(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Names and fingerprints of our triggers that are there; of one that isn't as made, none.

    As made is one on the same table that fires for the same statements, for each and for all of
    their columns, and whose function does the same with the same rights.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            r"""
            SELECT trigger.tgname, class.relname,
                CASE trigger.tgtype
                    WHEN 4 THEN 'insert' WHEN 8 THEN 'delete' WHEN 16 THEN 'update'
                    WHEN 32 THEN 'truncate' ELSE ''
                END,
                function.prosrc,
                trigger.tgenabled IN ('O', 'A') AND trigger.tgqual IS NULL
                AND trigger.tgattr = '' AND function.prosecdef
                AND function.proconfig = ARRAY['search_path=' || %s]
            FROM pg_trigger AS trigger
            JOIN pg_proc AS function ON function.oid = trigger.tgfoid
            JOIN pg_class AS class ON class.oid = trigger.tgrelid
            JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
            WHERE trigger.tgname LIKE 'databinding\_%%' AND schema.nspname = current_schema()
            """,
            [_SEARCH_PATH],
        )
        return {
            name: _fingerprint(table, operation, body) if intact else ""
            for name, table, operation, body, intact in cursor.fetchall()
        }


def replace(connection: BaseDatabaseWrapper, *, drop: Iterable[str], create: Iterable[str]) -> None:
    """Drop and create triggers, with their functions, in one transaction."""
    quote = connection.ops.quote_name
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for name in drop:
            cursor.execute(f"DROP FUNCTION IF EXISTS {quote(name)}() CASCADE")
        for statement in create:
            cursor.execute(statement)


def refused(connection: BaseDatabaseWrapper, tables: list[str]) -> list[str]:
    """Those of the tables on which this role may not make our triggers."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name FROM unnest(%s::text[]) AS name
            WHERE NOT has_table_privilege(quote_ident(name), 'TRIGGER')
                OR NOT has_schema_privilege(current_schema(), 'CREATE')
            """,
            [tables],
        )
        return [name for (name,) in cursor.fetchall()]
