"""The journal's tables. They hold keys, never contents.

Nothing but `databinding.journal`, the triggers and `databinding.idempotency` reads or writes them.
"""

from __future__ import annotations

from django.db import models


class JournalEntry(models.Model):
    """A row of ``model`` that some transaction touched; ``pk`` NULL means any row of it.

    ``tag`` is random: together with the id it tells this journal from a restored or foreign one.
    """

    id = models.BigAutoField(primary_key=True)
    model = models.CharField(max_length=200)
    # The row's primary key as text: the column isn't a foreign key to anything.
    key = models.TextField(null=True)  # noqa: DJ001  (NULL: any row)
    tag = models.BigIntegerField()

    class Meta:
        db_table = "databinding_journal"

    def __str__(self) -> str:
        return f"{self.id}: {self.model} {self.key}"


class Epoch(models.Model):
    """One row: which life of the journal this is, and how far it has been pruned."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.CharField(max_length=40)
    # Keys below this position may be gone: an id on SQLite, a transaction's on PostgreSQL.
    pruned = models.BigIntegerField(default=0)

    class Meta:
        db_table = "databinding_epoch"

    def __str__(self) -> str:
        return self.value


class Mark(models.Model):
    """Where the journal stood at a time, recorded so that pruning can go by positions."""

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "databinding_mark"

    def __str__(self) -> str:
        return f"{self.position} at {self.recorded_at}"


class IdempotencyKey(models.Model):
    """What was created under a key of its client's; see `databinding.idempotency`."""

    #: Of the binding, whose key it is, and the key.
    digest = models.CharField(max_length=64, primary_key=True)
    #: Of the data that came with it.
    body = models.CharField(max_length=64)
    # The created row's primary key as text; never NULL once the transaction is over.
    key = models.TextField(null=True)  # noqa: DJ001  (as in `JournalEntry`)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "databinding_idempotencykey"

    def __str__(self) -> str:
        return f"{self.digest}: {self.key}"
