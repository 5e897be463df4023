"""Values with a past of one's choice.

row = kept(FloatValue, [(begin, 1.5), (begin + 60, None)])     # seconds since 1970
"""

import time

from django.db import connection

from values.models import Sample
from values.samples.history import at
from values.samples.kinds import KINDS

MINUTE, HOUR = 60, 3600
_KIND = {model: kind for kind, model in KINDS.items()}


def on_the_hour():
    """The last full hour, in seconds since 1970."""
    return time.time() // HOUR * HOUR


def kept(row, past):
    """Give a value these samples, and a new one (`row` is its model) no others."""
    if isinstance(row, type):
        row = row.objects.create(name=f"a value {time.monotonic_ns()}")
        Sample.objects.filter(kind=_KIND[type(row)], key=row.pk).delete()
    text = _KIND[type(row)] == "textval"
    Sample.objects.bulk_create(
        Sample(
            kind=_KIND[type(row)],
            key=row.pk,
            time=at(seconds),
            number=None if text else value,
            text=value if text else None,
        )
        for seconds, value in past
    )
    as_triggers_write(Sample)
    return row


def as_triggers_write(model):
    """SQLite's tell of the decimals of every second, Django of none that are nought."""
    if connection.vendor == "sqlite":
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET time = time || '.000000' WHERE length(time) = 19")
