"""SQLite's triggers: one per row, table and kind of statement; in force for every program.

For the rows that a REPLACE removes SQLite fires no trigger (unless that connection has asked for
recursive ones). So where a table has unique columns besides the key, what is about to be inserted
or changed first journals the rows that have the same values there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from databinding.models import JournalEntry

if TYPE_CHECKING:
    from databinding.triggers import Further
    from databinding.watching import Watch

_ROWS = {"insert": ("NEW",), "delete": ("OLD",), "update": ("NEW", "OLD")}


class Term(NamedTuple):
    """Of an index: a column with its collation, or (column None) an expression."""

    expression: str
    column: str | None = None
    collation: str = "BINARY"


class Unique(NamedTuple):
    """What no two rows have in common, of those for which `where` holds ("": all)."""

    terms: tuple[Term, ...]
    where: str = ""

    def tells(self, column: str | None) -> bool:
        """Have two rows that are the same here the same value in this column, too?"""
        return any(term.column == column and term.collation == "BINARY" for term in self.terms)


class Table(NamedTuple):
    """A table as the database knows it."""

    writable: bool
    columns: tuple[str, ...]
    unique: tuple[Unique, ...]


def tables(connection: BaseDatabaseWrapper, names: list[str]) -> dict[str, Table]:
    """Those of the tables that are there."""
    found: dict[str, Table] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
        there = {name.lower(): kind for name, kind in cursor.fetchall()}
    for name in names:
        # Django takes a name in quotation marks for one that is quoted already.
        plain = name[1:-1].replace('""', '"') if name[:1] == name[-1:] == '"' else name
        kind = there.get(plain.lower())
        if kind == "table":
            columns = _columns(connection, name)
            unique = tuple(_unique(connection, name, columns))
            found[name] = Table(True, tuple(columns), unique)
        elif kind is not None:
            found[name] = Table(False, (), ())
    return found


def _columns(connection: BaseDatabaseWrapper, table: str) -> dict[str, int]:
    """Names of the columns, each with its place in the primary key, from 1; 0: it isn't there."""
    with connection.cursor() as cursor:
        # Unlike table_info it has generated columns, too.
        cursor.execute(f"PRAGMA table_xinfo({connection.ops.quote_name(table)})")
        return {name: key for _, name, _, _, _, key, hidden in cursor.fetchall() if hidden != 1}


def _unique(
    connection: BaseDatabaseWrapper, table: str, columns: dict[str, int]
) -> Iterator[Unique]:
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA index_list({quote(table)})")
        indexes = [(name, origin) for _, name, unique, origin, *_ in cursor.fetchall() if unique]
        if "pk" not in [origin for _, origin in indexes]:
            key = [name for name, place in columns.items() if place]
            if key:  # The integer that numbers the rows has no index of its own.
                yield Unique(tuple(Term(quote(name), name) for name in key))
        for index, _ in indexes:
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [index])
            found = cursor.fetchone()
            expressions, where = parts_of_index(found[0]) if found and found[0] else ([], "")
            cursor.execute(f"PRAGMA index_xinfo({quote(index)})")
            yield Unique(
                tuple(
                    Term(f"({expressions[place]})")
                    if name is None
                    else Term(f"{quote(name)} COLLATE {quote(collation)}", name, collation)
                    for place, _, name, _, collation, is_key in cursor.fetchall()
                    if is_key
                ),
                where,
            )


#: What stands for itself in SQL, whatever is in it: strings, quoted names, comments.
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/""", re.S
)


def parts_of_index(sql: str) -> tuple[list[str], str]:
    """The terms of a CREATE INDEX, without ASC and DESC, and its condition ("": it has none)."""
    terms: list[str] = []
    depth = start = place = 0
    while place < len(sql):
        if quoted := _QUOTED.match(sql, place):
            place = quoted.end()
            continue
        letter = sql[place]
        if letter == "(":
            depth += 1
            start = place + 1 if depth == 1 else start
        elif depth == 1 and letter in ",)":
            terms.append(re.sub(r"\s+(ASC|DESC)\s*$", "", sql[start:place], flags=re.I).strip())
            start = place + 1
        if letter == ")":
            depth -= 1
            if depth == 0:
                break
        place += 1
    condition = re.match(r"\s*WHERE\s+(.*)", sql[place + 1 :], re.I | re.S)
    return terms, condition[1].strip() if condition else ""


#: What of a trigger's SQL stays when it is loosened. A label has no quotation marks.
_MADE = re.compile(
    r"(?P<when>AFTER|BEFORE) (?P<operation>INSERT|UPDATE|DELETE) ON .*? SELECT '(?P<label>[^']+)'",
    re.S,
)


def statements(
    connection: BaseDatabaseWrapper,
    watch: Watch,
    table: Table,
    name: Callable[[Watch, str], str],
) -> Iterator[tuple[str, str, str]]:
    """The operation, SQL and fingerprint of each trigger for one watched table."""
    quote = connection.ops.quote_name
    for operation, when, condition, body in _triggers(connection, watch, table):
        sql = (
            f"CREATE TRIGGER {quote(name(watch, operation))} "
            f"{when} ON {quote(watch.table)} {condition}"
            f"BEGIN {' '.join(body)} END"
        )
        yield operation, sql, sql


def _triggers(
    connection: BaseDatabaseWrapper, watch: Watch, table: Table
) -> Iterator[tuple[str, str, str, list[str]]]:
    """Of each trigger the operation, on what it fires, a WHEN, and its statements."""
    quote = connection.ops.quote_name
    insert = (
        f"INSERT INTO {quote(JournalEntry._meta.db_table)} (model, key, tag) "
        f"SELECT {_text(watch.label)}, "
    )
    if watch.column is None:
        for operation in _ROWS:
            yield operation, f"AFTER {operation.upper()}", "", [f"{insert}NULL, random();"]
        return
    key = quote(watch.column)
    for operation, rows in _ROWS.items():
        condition = ""
        if operation == "update" and watch.columns is not None:
            condition = f"WHEN {_differ(map(quote, (watch.column, *watch.columns)))} "
        body = [f"{insert}{rows[0]}.{key}, random() WHERE {rows[0]}.{key} IS NOT NULL;"]
        if len(rows) > 1:
            # An update that changes the key touches two rows: the one gone and the one come.
            changed = f"OLD.{key} IS NOT NULL AND {_differ([key])}"
            body.append(f"{insert}OLD.{key}, random() WHERE {changed};")
        yield operation, f"AFTER {operation.upper()}", condition, body
    for operation in ("insert", "update"):
        body = [
            f"{insert}{key}, random() FROM {quote(watch.table)} "
            f"WHERE {_same(connection, table, unique, operation)} AND {key} IS NOT NULL;"
            for unique in table.unique
            # Otherwise the row that it displaces has the same key.
            if not unique.tells(watch.column)
        ]
        if body:
            yield f"displace_{operation}", f"BEFORE {operation.upper()}", "", body


def _same(connection: BaseDatabaseWrapper, table: Table, unique: Unique, operation: str) -> str:
    """The condition for rows that have what the new one is to have alone."""
    quote = connection.ops.quote_name

    def of(row: str, term: Term) -> str:
        if term.column is not None:
            return f"{row}.{quote(term.column)}"
        # Expressions of indexes name columns without their table: here there are no others.
        columns = ", ".join(f"{row}.{quote(column)} AS {quote(column)}" for column in table.columns)
        return f"(SELECT {term.expression} FROM (SELECT {columns}))"

    conditions = [f"{term.expression} = {of('NEW', term)}" for term in unique.terms]
    if unique.where:
        conditions.append(f"({unique.where})")
    if operation == "update":
        changed = (f"{of('OLD', term)} IS NOT {of('NEW', term)}" for term in unique.terms)
        conditions.append(f"({' OR '.join(changed)})")
    return " AND ".join(conditions)


def _differ(columns: Iterable[str]) -> str:
    # Byte by byte, whatever the column's own collation takes for the same.
    return " OR ".join(f"OLD.{column} COLLATE BINARY IS NOT NEW.{column}" for column in columns)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def further(
    connection: BaseDatabaseWrapper, further: Further, table: Table, name: str
) -> tuple[str, str]:
    """The SQL and the fingerprint of a trigger of an app's own."""
    quote = connection.ops.quote_name
    sql = (
        f"CREATE TRIGGER {quote(name)} AFTER {further.operation.upper()} "
        f"ON {quote(further.table)} BEGIN {further.body} END"
    )
    return sql, sql


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


def loosen(connection: BaseDatabaseWrapper, concerned: Callable[[str, str], bool]) -> None:
    """Have our triggers name no columns: whatever changes, any row may have.

    Those that are concerned by their table and the label of a bound model.
    """
    quote = connection.ops.quote_name
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            r"SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' "
            r"AND name LIKE 'databinding\_%%' ESCAPE '\'",
            [],
        )
        for name, table, sql in cursor.fetchall():
            made = _MADE.search(sql)
            bound = made["label"].partition(":")[0] if made else ""
            if not concerned(table, bound):
                continue
            cursor.execute(f"DROP TRIGGER {quote(name)}")
            if made and made["when"] == "AFTER":
                cursor.execute(
                    f"CREATE TRIGGER {quote(name)} AFTER {made['operation']} ON "
                    f'"{table.replace(chr(34), 2 * chr(34))}" '
                    f"BEGIN INSERT INTO {quote(JournalEntry._meta.db_table)} (model, key, tag) "
                    f"SELECT '{bound}', NULL, random(); END"
                )


def tidy(connection: BaseDatabaseWrapper) -> None:
    """Nothing is left of triggers whose tables are gone."""


def refused(connection: BaseDatabaseWrapper, tables: Mapping[str, Table]) -> list[str]:
    """SQLite knows no rights."""
    return []
