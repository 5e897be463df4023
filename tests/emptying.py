"""Emptying the test databases after a test: what Django's `flush` does, in a tenth of its time.

`flush` empties all tables and has everything made again that `migrate` makes, which takes longer
than most tests. Here tables are emptied that hold something, again until none does, since triggers
write down what goes. Content types and permissions are the same in every test and stay, unless a
test has changed them: then it is `flush` after all. Triggers stay, too, as long as nobody has
touched them; else they are brought in step.
"""

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections, router
from django.test import TransactionTestCase

from databinding import triggers
from databinding.conf import settings
from databinding.watching import watches

KEPT = (ContentType, Permission)
#: What is emptied may have been written of in tables that were emptied before; not more often.
ROUNDS = 4
#: Bytes of a table that may be rows that are gone.
LARGE = 1 << 18

flush = TransactionTestCase._fixture_teardown
#: By database, what the tables that are kept hold since they were made by `flush`.
held = {}
#: By database, its triggers since they were last in step with the bindings of then.
in_step = {}


def what_is_kept(alias):
    return [
        list(model.objects.using(alias).order_by("pk").values_list())
        for model in KEPT
        if router.allow_migrate_model(alias, model)
    ]


def empty_all(test):
    """In the place of `TransactionTestCase._fixture_teardown`."""
    aliases = test._databases_names(include_mirrors=False)
    if any(held.get(alias) != what_is_kept(alias) for alias in aliases):
        flush(test)
        held.update((alias, what_is_kept(alias)) for alias in aliases)
    # After `flush`, too: it empties once, and there were triggers.
    for alias in aliases:
        empty(alias)
        if in_step.get(alias) != what_captures(alias):
            triggers.install_after_migrate(None, using=alias, verbosity=0)
            in_step[alias] = what_captures(alias)


#: What is another after any change of a trigger or of what it calls.
TRIGGERS = {
    "sqlite": "PRAGMA schema_version",
    "postgresql": r"""
        SELECT oid, xmin::text, tgenabled FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT oid, xmin::text, NULL FROM pg_proc WHERE proname LIKE 'databinding\_%' ORDER BY oid
    """,
}


def what_captures(alias):
    """The triggers that are there, and what they should be made from."""
    with connections[alias].cursor() as cursor:
        cursor.execute(TRIGGERS[connections[alias].vendor])
        return cursor.fetchall(), watches(alias), settings.CAPTURE


def empty(alias):
    connection = connections[alias]
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    names = sorted(set(names) - {model._meta.db_table for model in KEPT})
    for _ in range(ROUNDS):
        filled = those_with_rows(connection, names)
        if not filled:
            return
        if connection.vendor == "postgresql":
            delete(connection, filled)
        else:
            connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), filled))
    raise AssertionError(f"Whatever is emptied, these are filled: {filled}.")


def delete(connection, names):
    """In a quarter of the time of TRUNCATE, which makes new files; no trigger is told."""
    quoted = map(connection.ops.quote_name, names)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            cursor.execute(";".join(f"DELETE FROM {name}" for name in quoted))
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")
        # Nobody else does: see tests.postgresql.
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE oid = ANY(%s::regclass[]) "
            "AND pg_relation_size(oid) > %s",
            [[connection.ops.quote_name(name) for name in names], LARGE],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"VACUUM {name}")


def those_with_rows(connection, names):
    asked = (
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})"
        for name in names
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor.fetchall()]
