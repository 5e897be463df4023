"""Emptying the test databases after a test: what Django's `flush` does, in a tenth of its time.

`flush` empties all tables and has everything made again that `migrate` makes, which takes longer
than most tests. Here tables are emptied that hold something, again until none does, since triggers
write down what goes. Content types and permissions are the same in every test and stay, unless a
test has changed them: then it is `flush` after all.
"""

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections, router
from django.test import TransactionTestCase

from databinding import triggers

KEPT = (ContentType, Permission)
#: What is emptied may have been written of in tables that were emptied before; not more often.
ROUNDS = 4

flush = TransactionTestCase._fixture_teardown
#: By database, what the tables that are kept hold since they were made by `flush`.
held = {}


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
        triggers.install_after_migrate(None, using=alias, verbosity=0)


def empty(alias):
    connection = connections[alias]
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    names = sorted(set(names) - {model._meta.db_table for model in KEPT})
    for _ in range(ROUNDS):
        filled = those_with_rows(connection, names)
        if not filled:
            return
        # PostgreSQL truncates no table that another refers to, even if that is empty.
        cascade = connection.vendor == "postgresql"
        statements = connection.ops.sql_flush(no_style(), filled, allow_cascade=cascade)
        connection.ops.execute_sql_flush(statements)
    raise AssertionError(f"Whatever is emptied, these are filled: {filled}.")


def those_with_rows(connection, names):
    asked = (
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})"
        for name in names
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor.fetchall()]
