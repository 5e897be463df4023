"""The journal on PostgreSQL (14 and newer): the position is the snapshot itself.

Ids are handed out before the commit, so "everything after id n" would lose rows that commit late.
Each journal row holds its transaction's id instead, and what is new since a snapshot
``xmin:xmax:xip…`` is exactly what has ``xid >= xmax`` or ``xid`` among the then running ``xip``.
See https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT

After a crash PostgreSQL may hand out transaction ids again that a snapshot had already covered.
So half of the epoch lives in an UNLOGGED table, which every crash empties.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from databinding.conf import settings
from databinding.journal.base import Journal, Keys, State
from databinding.models import Epoch, JournalEntry, Mark
from databinding.positions import Position

_JOURNAL = JournalEntry._meta.db_table
_EPOCH = Epoch._meta.db_table
#: Made by migration 0002; not a model, since Django knows no unlogged tables.
LIFE = "databinding_life"


class PostgreSQLJournal(Journal):
    """Reads in REPEATABLE READ, read only; polls by comparing snapshots."""

    #: Keys deleted in one statement of a pruning.
    prune_slice = 10_000

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._seen: str | None = None
        self._looked = 0.0

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with super().snapshot():
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def grown(self) -> bool:
        now = time.monotonic()
        if now - self._looked < settings.POLL_POSTGRESQL:
            return False
        self._looked = now
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_snapshot()::text")
            snapshot = cursor.fetchone()[0]
        if snapshot == self._seen:
            return False
        self._seen = snapshot
        return True

    def state(self) -> State | None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT epoch.value || life.value, epoch.pruned, pg_current_snapshot()::text,
                    newest.id, newest.tag,
                    EXISTS (
                        SELECT FROM {_JOURNAL}
                        WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                    )
                FROM {_EPOCH} AS epoch
                JOIN {LIFE} AS life ON life.id = 1
                LEFT JOIN LATERAL (
                    SELECT id, tag FROM {_JOURNAL} ORDER BY id DESC LIMIT 1
                ) AS newest ON true
                WHERE epoch.id = 1
                """
            )
            found = cursor.fetchone()
        if found is None:
            return None
        epoch, pruned, snapshot, newest, tag, foreign = found
        if foreign:
            return None  # Keys of another cluster's transactions: a restored or copied journal.
        return State(epoch, pruned, Position(newest or 0, tag or 0, snapshot))

    def new_epoch(self) -> None:
        with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {_JOURNAL} WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"
            )
            cursor.execute(
                f"INSERT INTO {LIFE} (id, value) VALUES (1, %s) "
                "ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value",
                [secrets.token_hex(8)],
            )
            # Those of another cluster may lie in this one's far future, and would void every
            # position until then.
            Mark.objects.using(self.alias).all().delete()
            Epoch.objects.using(self.alias).update_or_create(
                id=1, defaults={"value": secrets.token_hex(8), "pruned": 0}
            )

    def honours(self, position: Position, state: State) -> bool:
        if not position.snapshot:
            return False
        xmin = int(position.snapshot.split(":")[0])
        if xmin < state.pruned:
            return False
        if position.id == 0:
            return True
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT tag FROM {_JOURNAL} WHERE id = %s", [position.id])
            return bool(cursor.fetchone() == (position.tag,))

    def keys_since(self, position: Position, limit: int) -> Keys | None:
        _, xmax, running = position.snapshot.split(":")
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"""
                (SELECT model, key FROM {_JOURNAL} WHERE xid >= %s::xid8 LIMIT %s)
                UNION ALL
                (SELECT model, key FROM {_JOURNAL} WHERE xid = ANY(%s::xid8[]) LIMIT %s)
                """,
                [xmax, limit + 1, running.split(",") if running else [], limit + 1],
            )
            found = cursor.fetchall()
        if len(found) > limit:
            return None
        keys: Keys = {}
        for label, key in found:
            keys.setdefault(label, set()).add(key)
        return keys

    def prune(self, retention: float) -> int:
        now = timezone.now()
        state = Epoch.objects.using(self.alias).filter(id=1).first()
        marks = Mark.objects.using(self.alias)
        newest = marks.order_by("-id").first()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            xmin = cursor.fetchone()[0]
        # A mark says that every transaction below it had ended by then, so what is dropped by it
        # is older than the retention, however late a transaction may commit.
        if newest is None or newest.recorded_at < now - timedelta(seconds=retention / 10):
            marks.create(position=xmin, recorded_at=now)
        old = marks.filter(recorded_at__lte=now - timedelta(seconds=retention))
        upto = old.order_by("-position").values_list("position", flat=True).first() or 0
        if state is None or upto <= state.pruned:
            return 0
        epochs = Epoch.objects.using(self.alias).filter(id=1, value=state.value, pruned__lt=upto)
        if not epochs.update(pruned=upto):
            return 0  # Meanwhile another relay has pruned as far, or begun a new epoch.
        dropped: int = 0
        while True:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"""
                    DELETE FROM {_JOURNAL} WHERE id IN (
                        SELECT id FROM {_JOURNAL}
                        WHERE xid < %s::text::xid8 AND id < (SELECT max(id) FROM {_JOURNAL})
                        LIMIT %s FOR UPDATE SKIP LOCKED
                    )
                    """,
                    [str(upto), self.prune_slice],
                )
                dropped += cursor.rowcount
                if cursor.rowcount < self.prune_slice:
                    break
        marks.filter(position__lt=upto).delete()
        return dropped
