"""Who wrote a sample: triggers don't know Django's users, so each write of a value is told them.

A wrapper around the statements of every connection looks for those that write a value while a user
acts (`databinding.acting`). On PostgreSQL it says the name in a setting of the transaction, which
the triggers read. On SQLite, where a transaction has the database to itself, it adds the name to
the samples that the statement wrote. Either is undone with the transaction.

What comes without a user is nobody's: programs, commands, shells, SQL. So is, on SQLite, a value
that is created outside of a transaction, and what another table's triggers do to values.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from databinding.acting import acting_user
from values.models import Sample
from values.samples.kinds import KINDS

_TABLES = tuple(model._meta.db_table for model in KINDS.values())
_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH", "REPLACE")


def listen(connection, **kwargs):
    """Receiver of `connection_created`."""
    if connection.vendor in _TELL and attribute not in connection.execute_wrappers:
        connection.execute_wrappers.append(attribute)


def attribute(execute, sql, params, many, context):
    """A wrapper of Django's around each statement."""
    if not _writes_a_value(sql) or (user := acting_user()) is None:
        return execute(sql, params, many, context)
    connection = context["connection"]
    who = user.get_username()[: Sample._meta.get_field("who").max_length]

    def tell():
        return _TELL[connection.vendor](
            connection, who, lambda: execute(sql, params, many, context)
        )

    if connection.in_atomic_block:
        return tell()
    if connection.vendor == "sqlite" and "RETURNING" in sql:
        # It can't commit before its rows are read, which whoever asked for them does.
        return execute(sql, params, many, context)
    with transaction.atomic(using=connection.alias):
        return tell()


def _writes_a_value(sql):
    # Composed statements of psycopg's aren't Django's.
    return (
        isinstance(sql, str)
        and sql.lstrip()[:7].upper().startswith(_WRITES)
        and any(table in sql for table in _TABLES)
    )


def _by_setting(connection, who, execute):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('databinding.who', %s, true)", [who])
    return execute()


def _afterwards(connection, who, execute):
    samples = Sample.objects.using(connection.alias)
    began = timezone.now()
    newest = samples.aggregate(Max("id"))["id__max"] or 0
    result = execute()
    # That a source had been silent is nobody's doing; SQLite's clock is of milliseconds.
    written = {"id__gt": newest, "time__gte": began - timedelta(milliseconds=2)}
    samples.filter(who="", **written).update(who=who)
    return result


_TELL = {"postgresql": _by_setting, "sqlite": _afterwards}
