"""How summaries are written, and old things deleted: a little at a time."""

import time
from contextlib import contextmanager

from django.db import connections, router, transaction

from values.models import Summary

#: Rows in one transaction.
BATCH = 500


@contextmanager
def in_turn():
    """A short transaction, after which it is others' turn.

    Who waits for SQLite's lock looks for it now and then; he must have a chance to find it free.
    """
    alias = router.db_for_write(Summary)
    with transaction.atomic(using=alias):
        began = time.monotonic()
        yield alias
    if connections[alias].vendor == "sqlite":
        time.sleep(time.monotonic() - began)


def put(summaries):
    """Write summaries in the place of those that there are of the same time."""
    Summary.objects.bulk_create(
        summaries,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["kind", "key", "width", "time"],
        update_fields=["number", "text", "known", "least", "most", "mean", "count"],
    )


def summary(kind, key, width, begin, of):
    """The summary that says what an item or a bucket does."""
    text = isinstance(of.last, str)
    return Summary(
        kind=kind,
        key=key,
        width=width,
        time=begin,
        number=None if text else of.last,
        text=of.last if text else None,
        known=of.known,
        least=of.least,
        most=of.most,
        mean=of.mean,
        count=of.count,
    )
