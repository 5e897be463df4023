"""PostgreSQL's triggers: one per statement and table, over the statement's rows (transition
tables), with a function for each watched table. TRUNCATE journals "any row".

Of a partitioned table they are per row: those PostgreSQL itself gives to each of its partitions,
also to ones that are attached later, so what is written to a partition directly is seen, too. Only
TRUNCATE needs one on every partition.

Tables that inherit from one (INHERITS) have its triggers each by itself: a statement fires those of
the table that it names alone, whose transition tables have the rows of its heirs as well.

The functions stand beside the journal, whatever schema that is in, and run with the rights of
whoever installed them (SECURITY DEFINER), so that a program that may write a watched table needs no
rights on the journal; every name in them is qualified, and their search path is a fixed one,
whatever the writer's.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from databinding.keys import column as column_of
from databinding.models import JournalEntry

if TYPE_CHECKING:
    from databinding.triggers import Further
    from databinding.watching import Watch

_SEARCH_PATH = "pg_catalog, pg_temp"

#: The transition tables of each operation, as the function calls them.
_REFERENCING = {
    "insert": "REFERENCING NEW TABLE AS databinding_new ",
    "update": "REFERENCING OLD TABLE AS databinding_old NEW TABLE AS databinding_new ",
    "delete": "REFERENCING OLD TABLE AS databinding_old ",
    "truncate": "",
}
#: What `pg_trigger.tgtype` says of each, for one per statement, and with `_PER_ROW` per row.
_TYPES = {"insert": 4, "update": 16, "delete": 8, "truncate": 32}
_PER_ROW = 1


class Table(NamedTuple):
    """A table as the database knows it: `name` is qualified and quoted."""

    oid: int
    name: str
    writable: bool
    partitioned: bool
    #: Oids and names of the partitions, and theirs, of a partitioned one.
    partitions: tuple[tuple[int, str], ...] = ()
    #: Those of the tables that inherit from it, and from them, of another one.
    heirs: tuple[tuple[int, str], ...] = ()


def tables(connection: BaseDatabaseWrapper, names: list[str]) -> dict[str, Table]:
    """Those of the tables that are there, found as Django's queries find them."""
    quoted = {connection.ops.quote_name(name): name for name in names}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted, class.oid, format('%%I.%%I', schema.nspname, class.relname),
                class.relkind IN ('r', 'p'), class.relkind = 'p'
            FROM unnest(%s::text[]) AS wanted
            JOIN pg_class AS class ON class.oid = to_regclass(wanted)
            JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
            """,
            [list(quoted)],
        )
        found = {quoted[row[0]]: Table(*row[1:]) for row in cursor.fetchall()}
        for name, table in found.items():
            if table.partitioned:
                cursor.execute(
                    """
                    SELECT class.oid, format('%%I.%%I', schema.nspname, class.relname)
                    FROM pg_partition_tree(%s::oid) AS part
                    JOIN pg_class AS class ON class.oid = part.relid
                    JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
                    WHERE class.oid <> %s::oid AND class.relkind IN ('r', 'p')
                    """,
                    [table.oid, table.oid],
                )
                found[name] = table._replace(partitions=tuple(cursor.fetchall()))
        heirs: dict[int, list[tuple[int, str]]] = defaultdict(list)
        cursor.execute(_HEIRS, [[one.oid for one in found.values() if not one.partitioned]])
        for root, oid, name in cursor.fetchall():
            heirs[root].append((oid, name))
    return {
        name: table._replace(heirs=tuple(heirs.get(table.oid, ()))) for name, table in found.items()
    }


#: The tables whose rows are shown by a table that isn't partitioned.
_HEIRS = """
    WITH RECURSIVE heir (root, oid) AS (
        SELECT inhparent, inhrelid FROM pg_inherits WHERE inhparent = ANY(%s::oid[])
        UNION SELECT heir.root, inhrelid FROM pg_inherits JOIN heir ON inhparent = heir.oid
    )
    SELECT heir.root, class.oid, format('%%I.%%I', schema.nspname, class.relname)
    FROM heir
    JOIN pg_class AS class ON class.oid = heir.oid
    JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
    WHERE class.relkind = 'r'
    ORDER BY class.oid
"""


def statements(
    connection: BaseDatabaseWrapper,
    watch: Watch,
    table: Table,
    name: Callable[[Watch, str], str],
) -> Iterator[tuple[str, str, str]]:
    """The operation, SQL and fingerprint of each trigger for one watched table."""
    schema = _schema(connection)
    for operation in _TYPES:
        per_row = table.partitioned and operation != "truncate"
        kind = _TYPES[operation] + (_PER_ROW if per_row else 0)
        body = _body(connection, schema, watch, operation, per_row)
        places = [(operation, table.oid, table.name)]
        if operation == "truncate":
            places += ((f"t{oid}", oid, part) for oid, part in table.partitions)
        places += ((f"{operation[0]}{oid}", oid, heir) for oid, heir in table.heirs)
        for place, oid, on in places:
            trigger = connection.ops.quote_name(name(watch, place))
            sql = _made(schema, trigger, operation, on, body, per_row=per_row)
            yield place, sql, _fingerprint(oid, kind, body)


def further(
    connection: BaseDatabaseWrapper, further: Further, table: Table, name: str
) -> tuple[str, str]:
    """The SQL and the fingerprint of a trigger of an app's own."""
    trigger = connection.ops.quote_name(name)
    body = f" BEGIN {further.body} RETURN NULL; END "
    operation = further.operation
    sql = _made(_schema(connection), trigger, operation, table.name, body, per_row=False)
    return sql, _fingerprint(table.oid, _TYPES[operation], body)


def _made(
    schema: str, trigger: str, operation: str, table: str, body: str, *, per_row: bool
) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {schema}.{trigger}() RETURNS trigger "
        f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = {_SEARCH_PATH} "
        f"AS $databinding${body}$databinding$; "
        f"CREATE OR REPLACE TRIGGER {trigger} AFTER {operation.upper()} ON {table} "
        + ("FOR EACH ROW " if per_row else f"{_REFERENCING[operation]}FOR EACH STATEMENT ")
        + f"EXECUTE FUNCTION {schema}.{trigger}()"
    )


#: What tells one journalled key from another's.
_TAG = "(pg_catalog.random() OPERATOR(pg_catalog.*) 9007199254740991)::pg_catalog.int8"


def _body(
    connection: BaseDatabaseWrapper, schema: str, watch: Watch, operation: str, per_row: bool
) -> str:
    journal = f"{schema}.{connection.ops.quote_name(JournalEntry._meta.db_table)}"
    label = watch.label.replace("'", "''")
    any_row = operation == "truncate" or watch.column is None

    def insert(keys: str) -> str:
        return (
            f"INSERT INTO {journal} (model, key, tag) "
            f"SELECT '{watch.bound if any_row else label}', touched.key, "
            f"{_TAG} FROM ({keys}) AS touched (key)"
            f"{'' if any_row else ' WHERE touched.key IS NOT NULL'};"
        )

    if per_row:
        does = insert(_keys_per_row(connection, watch, operation))
    else:
        does = insert(_keys(connection, watch, operation))
        if operation == "update" and not any_row:
            # Most updates are of one row, for which comparing sets costs as much as all the rest.
            # Two plans: PostgreSQL keeps one for each, whatever number it was made for.
            one = insert(_keys_of_one(connection, watch))
            does = (
                "IF (SELECT pg_catalog.count(*) FROM databinding_new) OPERATOR(pg_catalog.=) 1 "
                f"THEN {one} ELSE {does} END IF;"
            )
    return f" BEGIN {does} RETURN NULL; END "


_ANY = "SELECT NULL::pg_catalog.text"


def _text(connection: BaseDatabaseWrapper, column: str, of: str = "") -> str:
    # Texts can be compared whatever the type, whose operators may be out of the search path.
    return f"{of}{connection.ops.quote_name(column)}::pg_catalog.text"


#: Kinds of fields whose values, cast to text, are in the writer's style, or aren't as they are
#: read: an address stands there with its netmask. In JSON they are.
_IN_JSON = ("DateField", "DateTimeField", "GenericIPAddressField", "TimeField")


def _key(connection: BaseDatabaseWrapper, watch: Watch, of: str = "") -> str:
    """What is journalled of a row."""
    column = f"{of}{connection.ops.quote_name(str(watch.column))}"
    if column_of(watch.field).get_internal_type() in _IN_JSON:
        return f"pg_catalog.to_json({column}) OPERATOR(pg_catalog.#>>) '{{}}'"
    return f"{column}::pg_catalog.text"


def _keys(connection: BaseDatabaseWrapper, watch: Watch, operation: str) -> str:
    """The query for the keys that a statement touches."""
    if operation == "truncate":
        return _ANY
    if watch.column is None:
        rows = "databinding_old" if operation == "delete" else "databinding_new"
        return f"{_ANY} WHERE EXISTS (SELECT FROM {rows})"
    key = _key(connection, watch)
    # Primary keys come once; of others one will do for many rows.
    select = f"SELECT {'' if watch.field.primary_key else 'DISTINCT '}{key} FROM"
    new, old = f"{select} databinding_new", f"{select} databinding_old"
    if operation == "insert":
        return new
    if operation == "delete":
        return old
    if watch.columns is None:
        # An update that changes keys touches the rows gone and the rows come.
        return f"{new} UNION {old}"
    identity = [_text(connection, column) for column in watch.identity]
    columns = [*identity, key, *(_text(connection, column) for column in watch.columns)]
    rows = ", ".join(columns)
    before, after = f"SELECT {rows} FROM databinding_old", f"SELECT {rows} FROM databinding_new"
    numbered = ", ".join(f"c{number}" for number in range(len(columns)))
    return (
        f"SELECT DISTINCT changed.c{len(identity)} FROM ("
        f"({after} EXCEPT {before}) UNION ALL ({before} EXCEPT {after})"
        f") AS changed ({numbered})"
    )


def _keys_of_one(connection: BaseDatabaseWrapper, watch: Watch) -> str:
    """The same of an update of one row."""
    assert watch.column is not None
    new, old = "databinding_new AS come", "databinding_old AS gone"

    def differs(*columns: str) -> str:
        return " OR ".join(
            f"{_text(connection, column, 'come.')} IS DISTINCT FROM "
            f"{_text(connection, column, 'gone.')}"
            for column in columns
        )

    come, gone = (_key(connection, watch, row) for row in ("come.", "gone."))
    after = f"SELECT {come} FROM {new}"
    if watch.columns is not None:
        changed = differs(*watch.identity, watch.column, *watch.columns)
        after = f"{after}, {old} WHERE {changed}"
    return f"{after} UNION ALL SELECT {gone} FROM {new}, {old} WHERE {differs(watch.column)}"


def _keys_per_row(connection: BaseDatabaseWrapper, watch: Watch, operation: str) -> str:
    if watch.column is None:
        return _ANY
    new, old = (f"SELECT {_key(connection, watch, row)}" for row in ("NEW.", "OLD."))
    if operation == "insert":
        return new
    if operation == "delete":
        return old
    where = ""
    if watch.columns is not None:
        where = " WHERE " + " OR ".join(
            f"{_text(connection, column, 'NEW.')} IS DISTINCT FROM "
            f"{_text(connection, column, 'OLD.')}"
            for column in (watch.column, *watch.columns)
        )
    return f"{new}{where} UNION {old}{where}"


def _schema(connection: BaseDatabaseWrapper) -> str:
    """Where the journal is, quoted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(schema.nspname) FROM pg_class AS class "
            "JOIN pg_namespace AS schema ON schema.oid = class.relnamespace "
            "WHERE class.oid = to_regclass(%s)",
            [connection.ops.quote_name(JournalEntry._meta.db_table)],
        )
        return str(cursor.fetchone()[0])


def _fingerprint(oid: int, kind: int, body: str) -> str:
    return hashlib.sha256(f"{oid}\0{kind}\0{body}".encode()).hexdigest()


def installed(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Names and fingerprints of our triggers that are there; of one that isn't as made, none.

    As made is one on the same table that fires for the same statements, for each and for all of
    their columns, and whose function does the same with the same rights. Ours are those whose
    function stands beside the journal; those of partitions belong to their tables'.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            r"""
            SELECT trigger.tgname, trigger.tgrelid, trigger.tgtype, function.prosrc,
                trigger.tgenabled IN ('O', 'A') AND trigger.tgqual IS NULL
                AND trigger.tgattr = '' AND function.prosecdef
                AND function.proconfig = ARRAY['search_path=' || %s]
            FROM pg_trigger AS trigger
            JOIN pg_proc AS function ON function.oid = trigger.tgfoid
            WHERE trigger.tgname LIKE 'databinding\_%%' AND trigger.tgparentid = 0
                AND function.pronamespace = (
                    SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)
                )
            """,
            [_SEARCH_PATH, connection.ops.quote_name(JournalEntry._meta.db_table)],
        )
        return {
            name: _fingerprint(oid, kind, body) if intact else ""
            for name, oid, kind, body, intact in cursor.fetchall()
        }


def replace(connection: BaseDatabaseWrapper, *, drop: Iterable[str], create: Iterable[str]) -> None:
    """Drop and create triggers, with their functions, in one transaction."""
    quote = connection.ops.quote_name
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        drop = list(drop)
        schema = _schema(connection) if drop else ""
        for name in drop:
            cursor.execute(f"DROP FUNCTION IF EXISTS {schema}.{quote(name)}() CASCADE")
        for statement in create:
            cursor.execute(statement)


def loosen(connection: BaseDatabaseWrapper, concerned: Callable[[str, str], bool]) -> None:
    """Have our triggers' functions name no columns: whatever changes, any row may have.

    Those that are concerned by their table and the label of a bound model.
    """
    schema = _schema(connection)
    quote = connection.ops.quote_name
    journal = f"{schema}.{quote(JournalEntry._meta.db_table)}"
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            r"""
            SELECT class.relname, function.proname,
                coalesce(substring(function.prosrc FROM $$SELECT '([^':]+)$$), '')
            FROM pg_trigger AS trigger
            JOIN pg_class AS class ON class.oid = trigger.tgrelid
            JOIN pg_proc AS function ON function.oid = trigger.tgfoid
            WHERE trigger.tgname LIKE 'databinding\_%%' AND trigger.tgparentid = 0
                AND function.pronamespace = (
                    SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)
                )
            """,
            [quote(JournalEntry._meta.db_table)],
        )
        for table, name, bound in cursor.fetchall():
            if bound and concerned(table, bound):
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {schema}.{quote(name)}() RETURNS trigger "
                    f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = {_SEARCH_PATH} AS "
                    f"$databinding$ BEGIN INSERT INTO {journal} (model, key, tag) "
                    f"SELECT '{bound}', NULL, {_TAG}; RETURN NULL; END $databinding$"
                )


def tidy(connection: BaseDatabaseWrapper) -> None:
    """Drop the functions of ours whose triggers went with their tables."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            r"""
            SELECT format('%%I.%%I', schema.nspname, function.proname)
            FROM pg_proc AS function
            JOIN pg_namespace AS schema ON schema.oid = function.pronamespace
            JOIN pg_class AS journal ON journal.relnamespace = schema.oid
            WHERE journal.oid = to_regclass(%s) AND function.proname LIKE 'databinding\_%%'
                AND function.prorettype = 'trigger'::regtype
                AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = function.oid)
            """,
            [connection.ops.quote_name(JournalEntry._meta.db_table)],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP FUNCTION {name}()")


def refused(connection: BaseDatabaseWrapper, tables: Mapping[str, Table]) -> list[str]:
    """Those of the tables on which this role may not make our triggers."""
    names = {table.oid: name for name, table in tables.items()}
    for table in tables.values():
        names.update((*table.partitions, *table.heirs))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT oid FROM unnest(%s::oid[]) AS oid
            WHERE NOT has_table_privilege(oid, 'TRIGGER')
                OR NOT has_schema_privilege(
                    (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)), 'CREATE')
            """,
            [list(names), connection.ops.quote_name(JournalEntry._meta.db_table)],
        )
        return [names[oid] for (oid,) in cursor.fetchall()]
