"""The triggers that write samples: on each value's table, kept in step by `databinding.triggers`.

Every change of `value` is a sample, those between two looks of the relay and two within one
transaction, too. So is a deletion, after which nothing is known; and a silence: where the source
said nothing for three times its interval, nothing is known from when the next report was due
until it came, or somebody set the value, or until none was due any more. That is told by whatever
is written next, after which the row may not tell it; and beside the sample, for the summaries that
were made since, in `Silence`. Nor is anything known of a value that is no
finite number. The clock is the database's.

What a value is called and how it is read is a description, when it changes. It comes before the
sample of the same change: what has a value has a name.
"""

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper

from databinding.triggers import Further
from values.models import Description, Sample, Silence
from values.samples.kinds import KINDS, described_by, floats_of
from values.samples.silence import PATIENCE

_COLUMNS = "(kind, key, time, number, text, who)"
_DESCRIBED = "(kind, key, time, name, about)"
_SILENCE = "(kind, key, time, told)"


def samples(connection: BaseDatabaseWrapper):
    """The triggers that this database should have."""
    dialect = {"sqlite": _sqlite, "postgresql": _postgresql}[connection.vendor]
    tables = {model._meta.db_table for model in (Sample, Description, Silence)}
    if not tables <= set(connection.introspection.table_names()):
        return  # Not migrated yet.
    for kind, model in KINDS.items():
        if router.db_for_write(model) != connection.alias:
            continue
        for operation, body in dialect(connection, kind, model).items():
            yield Further(model._meta.db_table, operation, body)


def _sqlite(connection, kind, model):
    samples, descriptions, silences = (
        connection.ops.quote_name(one._meta.db_table) for one in (Sample, Description, Silence)
    )
    insert = f"INSERT INTO {samples} {_COLUMNS}"
    # Six decimals, as Django writes them: texts are compared.
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
    due = (
        "strftime('%Y-%m-%d %H:%M:%f', OLD.reported_at, "
        "printf('+%f seconds', OLD.expected_interval)) || '000'"
    )
    number = _finite("CAST(NEW.value AS REAL)")
    value = "NULL, NEW.value" if kind == "textval" else f"{number}, NULL"

    def silent(row, until):
        return (
            f"coalesce({row}.expected_interval > 0 "
            f"AND (julianday({until}) - julianday({row}.reported_at)) * 86400 "
            f"> {PATIENCE} * {row}.expected_interval, 0)"
        )

    def unknown(until):
        """From when a report was due, if nobody has set it since, nor told of that silence."""
        untold = (
            f"WHERE {silent('OLD', until)} AND NOT EXISTS (SELECT 1 FROM {samples} "
            f"WHERE kind = '{kind}' AND key = OLD.id AND time >= {due})"
        )
        return (
            f"INSERT INTO {silences} {_SILENCE} SELECT '{kind}', OLD.id, {due}, {now} {untold}; "
            f"{insert} SELECT '{kind}', OLD.id, {due}, NULL, NULL, '' {untold}"
        )

    # A report says itself when it was.
    report = "nullif(NEW.reported_at, OLD.reported_at)"
    until = f"coalesce({report}, {now})"
    still = f"({report} IS NULL AND {silent('NEW', now)})"
    other = "OLD.id IS NOT NEW.id"
    columns = described_by(model)
    pairs = ", ".join(f"'{column}', {_json(_finite(f'NEW.{column}'))}" for column in columns)
    # A merge leaves out what is NULL.
    about = f"json_patch('{{}}', json_object({pairs}))"
    changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in ["name", *columns])
    described = f"INSERT INTO {descriptions} {_DESCRIBED}"
    describe = f"{described} SELECT '{kind}', NEW.id, {now}, NEW.name, {about}"
    end = f"{described} SELECT '{kind}', OLD.id, {now}, NULL, '{{}}'"
    # A REPLACE fires no trigger for the row of that name that it removes.
    newest = "ORDER BY last.time DESC, last.id DESC LIMIT 1"
    replaced = (
        f"FROM {descriptions} AS was "
        f"WHERE was.kind = '{kind}' AND was.name = NEW.name AND was.key <> NEW.id "
        f"AND was.id = (SELECT last.id FROM {descriptions} AS last "
        f"WHERE last.kind = was.kind AND last.key = was.key {newest})"
    )
    end_replaced = (
        f"{insert} SELECT '{kind}', was.key, {now}, NULL, NULL, '' {replaced}",
        f"{described} SELECT '{kind}', was.key, {now}, NULL, '{{}}' {replaced}",
    )
    return {
        "insert": (
            f"{'; '.join(end_replaced)}; "
            # One that keeps its key may be described as it was.
            f"{describe} WHERE (NEW.name, {about}) IS NOT "
            f"(SELECT last.name, json(last.about) FROM {descriptions} AS last "
            f"WHERE last.kind = '{kind}' AND last.key = NEW.id {newest}); "
            f"{insert} SELECT '{kind}', NEW.id, {now}, {value}, '';"
        ),
        "update": (
            f"{end} WHERE {other}; "
            + "".join(f"{one} AND OLD.name IS NOT NEW.name; " for one in end_replaced)
            + f"{describe} WHERE {changed} OR {other}; "
            f"{unknown(until)}; "
            f"{insert} SELECT '{kind}', OLD.id, {now}, NULL, NULL, '' WHERE {other}; "
            f"{insert} SELECT '{kind}', NEW.id, {now}, {value}, '' "
            f"WHERE OLD.value IS NOT NEW.value OR {other} "
            f"OR ({silent('OLD', until)} AND NOT {still});"
        ),
        "delete": (
            f"{end}; {unknown(now)}; {insert} SELECT '{kind}', OLD.id, {now}, NULL, NULL, '';"
        ),
    }


def _finite(number):
    """NULL for an infinity; SQLite has no NaN."""
    return f"nullif(nullif({number}, 9e999), -9e999)"


def _json(value):
    """With all digits of a number: SQLite's JSON has 15, of which the largest becomes infinite."""
    return (
        f"json(CASE typeof({value}) WHEN 'real' THEN quote({value}) ELSE json_quote({value}) END)"
    )


def _postgresql(connection, kind, model):
    samples, descriptions, silences = (
        _qualified(connection, one) for one in (Sample, Description, Silence)
    )
    insert = f"INSERT INTO {samples} {_COLUMNS}"
    # NEW and OLD are taken. One moment for all rows of a statement.
    now = "(SELECT clock_timestamp())"
    who = "coalesce(current_setting('databinding.who', true), '')"
    floats = floats_of(model)

    def said(column):
        # NaN is greater than any number.
        number = f"now_is.{column}"
        finite = f"CASE WHEN abs({number}) < 'Infinity' THEN {number} END"
        return finite if column in floats else number

    value = {
        "textval": "NULL::float8, now_is.value::text",
        "boolval": "now_is.value::int::float8, NULL::text",
    }.get(kind, f"({said('value')})::float8, NULL::text")

    def silent(row, until):
        # By seconds: there are intervals that are none of PostgreSQL's. Nor can it take infinite
        # times from one another.
        return (
            f"CASE WHEN isfinite({row}.reported_at) AND isfinite({until}) THEN "
            f"coalesce({row}.expected_interval > 0 "
            f"AND extract(epoch FROM {until} - {row}.reported_at) / {PATIENCE} "
            f"> {row}.expected_interval, false) ELSE false END"
        )

    due = "was.reported_at + make_interval(secs => was.expected_interval)"
    unknown = "NULL::float8, NULL::text"

    def silence(rows, until):
        """From when a report was due, if nobody has set it since, nor told of that silence."""
        return (
            f"WITH untold AS ({insert} SELECT '{kind}', was.id, {due}, {unknown}, '' FROM {rows} "
            f"WHERE CASE WHEN {silent('was', until)} THEN coalesce("
            f"(SELECT max(last.time) FROM {samples} AS last "
            f"WHERE last.kind = '{kind}' AND last.key = was.id) < {due}, true) ELSE false END "
            f"RETURNING kind, key, time) "
            f"INSERT INTO {silences} {_SILENCE} SELECT kind, key, time, {now} FROM untold"
        )

    # A report says itself when it was.
    report = "nullif(now_is.reported_at, was.reported_at)"
    until = f"coalesce({report}, {now})"
    still = f"({report} IS NULL AND {silent('now_is', now)})"
    columns = described_by(model)
    pairs = ", ".join(f"'{column}', {said(column)}" for column in columns)
    about = f"jsonb_strip_nulls(jsonb_build_object({pairs}))"
    before, after = (
        f"({', '.join(f'{row}.{column}' for column in ['name', *columns])})"
        for row in ("was", "now_is")
    )
    described = f"INSERT INTO {descriptions} {_DESCRIBED}"
    describe = (
        f"{described} SELECT '{kind}', now_is.id, {now}, now_is.name, {about} "
        "FROM databinding_new AS now_is"
    )
    nothing = f"{now}, NULL, '{{}}'::jsonb"
    end = f"{described} SELECT '{kind}', was.id, {nothing} FROM databinding_old AS was"
    both = "databinding_old AS was LEFT JOIN databinding_new AS now_is ON now_is.id = was.id"
    return {
        "insert": (
            f"{describe}; {insert} SELECT '{kind}', now_is.id, {now}, {value}, {who} "
            "FROM databinding_new AS now_is;"
        ),
        "update": (
            f"{end} WHERE NOT EXISTS "
            "(SELECT FROM databinding_new AS now_is WHERE now_is.id = was.id); "
            f"{describe} LEFT JOIN databinding_old AS was ON was.id = now_is.id "
            f"WHERE was.id IS NULL OR {before} IS DISTINCT FROM {after}; "
            f"{silence(both, until)}; "
            f"{insert} SELECT '{kind}', was.id, {now}, {unknown}, {who} "
            f"FROM databinding_old AS was "
            f"WHERE NOT EXISTS (SELECT FROM databinding_new AS now_is WHERE now_is.id = was.id); "
            f"{insert} SELECT '{kind}', now_is.id, {now}, {value}, {who} "
            f"FROM databinding_new AS now_is "
            f"LEFT JOIN databinding_old AS was ON was.id = now_is.id "
            f"WHERE was.id IS NULL OR was.value IS DISTINCT FROM now_is.value "
            f"OR ({silent('was', until)} AND NOT {still});"
        ),
        "delete": (
            f"{end}; {silence('databinding_old AS was', now)}; "
            f"{insert} SELECT '{kind}', was.id, {now}, {unknown}, {who} "
            "FROM databinding_old AS was;"
        ),
        # It tells no rows: those of which something was known.
        "truncate": (
            f"{described} SELECT '{kind}', last.key, {nothing} FROM ("
            f"SELECT DISTINCT ON (key) key, name FROM {descriptions} "
            f"WHERE kind = '{kind}' ORDER BY key, time DESC, id DESC"
            ") AS last WHERE last.name IS NOT NULL; "
            f"{insert} SELECT '{kind}', last.key, {now}, {unknown}, {who} FROM ("
            f"SELECT DISTINCT ON (key) key, number, text FROM {samples} "
            f"WHERE kind = '{kind}' ORDER BY key, time DESC, id DESC"
            ") AS last WHERE last.number IS NOT NULL OR last.text IS NOT NULL;"
        ),
    }


def _qualified(connection, model):
    """The table with its schema: triggers look nowhere else."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%%I.%%I', schema.nspname, class.relname) FROM pg_class AS class "
            "JOIN pg_namespace AS schema ON schema.oid = class.relnamespace "
            "WHERE class.oid = to_regclass(%s)",
            [connection.ops.quote_name(model._meta.db_table)],
        )
        return cursor.fetchone()[0]
