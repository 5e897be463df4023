"""The journal on PostgreSQL (14 and newer): the position is the snapshot itself.

Ids are handed out before the commit, so "everything after id n" would lose rows that commit late.
Each journal row holds its transaction's id instead, and what is new since a snapshot
``xmin:xmax:xip…`` is exactly what has ``xid >= xmax`` or ``xid`` among the then running ``xip``.
See https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT

Rows of transactions that are still running are passed over by their ids: one that has written
millions of rows and stays open would else be waded through, row by row, at each read.

After a crash PostgreSQL may hand out transaction ids again that a snapshot had already covered.
So half of the epoch lives in an UNLOGGED table, which every crash empties. A restored dump makes
the journal's table anew: its OID is part of the epoch, too.

Everything keeps to the rules of a transaction pooler: no session state, no cursor that outlives
its transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from databinding.conf import settings
from databinding.journal.base import Journal, Keys, State
from databinding.models import Epoch, JournalEntry, Mark
from databinding.positions import Position, Snapshot

_JOURNAL = JournalEntry._meta.db_table
_EPOCH = Epoch._meta.db_table
#: Made by migration 0002; not a model, since Django knows no unlogged tables.
LIFE = "databinding_life"


class PostgreSQLJournal(Journal):
    """Reads in REPEATABLE READ, read only; polls by comparing snapshots."""

    # Nobody waits for it but the news that come meanwhile.
    prune_slice = 2_000
    #: Milliseconds that a snapshot waits for a table that somebody has locked, as migrations do.
    lock_wait = 1_000

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._seen: str | None = None
        self._looked = 0.0
        #: ``pg_current_snapshot()`` of the read transaction that is open.
        self._now: str | None = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with super().snapshot():
            with self.connection.cursor() as cursor:
                # Read only from its beginning: PostgreSQL holds a transaction's own writes for
                # visible, so a position taken after them would claim what may never commit.
                cursor.execute(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
                    f"SET LOCAL lock_timeout = {self.lock_wait}"
                )
                cursor.execute("SELECT pg_current_snapshot()::text")
                # The next look needn't find once more what is read here.
                self._now = self._seen = cursor.fetchone()[0]
            try:
                yield
            finally:
                self._now = None

    def append(self, keys: Sequence[tuple[str, str | None]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {_JOURNAL} (model, key, tag) "
                "SELECT model, key, (random() * 9007199254740991)::bigint "
                "FROM unnest(%s::text[], %s::text[]) AS touched (model, key)",
                [[label for label, _ in keys], [key for _, key in keys]],
            )

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
        now = self._current()
        gaps = now.ended()[::-1]
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT epoch.value || life.value || '{_JOURNAL}'::regclass::oid, epoch.pruned,
                    newest.id, newest.tag,
                    -- In order: of a table it knows little of PostgreSQL expects a third here, and
                    -- for EXISTS would wade through it.
                    (SELECT true FROM {_JOURNAL} WHERE xid >= %s::text::xid8 ORDER BY xid LIMIT 1)
                FROM {_EPOCH} AS epoch
                JOIN {LIFE} AS life ON life.id = 1
                LEFT JOIN LATERAL (
                    SELECT one.id, one.tag
                    FROM unnest(%s::text[]::xid8[], %s::text[]::xid8[]) AS gap (first, stop),
                    LATERAL (
                        SELECT id, tag FROM {_JOURNAL}
                        WHERE xid >= gap.first AND xid < gap.stop ORDER BY xid DESC LIMIT 1
                    ) AS one
                    LIMIT 1
                ) AS newest ON true
                WHERE epoch.id = 1
                """,
                [str(now.xmax), [str(first) for first, _ in gaps], [str(stop) for _, stop in gaps]],
            )
            found = cursor.fetchone()
        if found is None:
            return None
        epoch, pruned, newest, tag, foreign = found
        if foreign:
            return None  # Keys of another cluster's transactions: a restored or copied journal.
        return State(epoch, pruned, Position(newest or 0, tag or 0, str(self._now)))

    def _current(self) -> Snapshot:
        if self._now is None:
            raise RuntimeError("Positions are taken and read in a transaction that only reads.")
        return Snapshot.parse(self._now)

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
        then = Snapshot.parse(position.snapshot)
        if then.xmin < state.pruned or then.xmax > self._current().xmax:
            return False
        if position.id == 0:
            return True
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT tag FROM {_JOURNAL} WHERE id = %s", [position.id])
            return bool(cursor.fetchone() == (position.tag,))

    def keys_since(self, position: Position, limit: int) -> Keys | None:
        then, now = Snapshot.parse(position.snapshot), self._current()
        # In the order of the index, so that none but the index is worth the planner's while.
        read = f"(SELECT model, key FROM {_JOURNAL} WHERE {{}} ORDER BY xid LIMIT %s)"
        parts: list[str] = []
        values: list[Any] = []
        if late := then.running - now.running:
            parts.append(read.format("xid = ANY(%s::text[]::xid8[])"))
            values += [[str(one) for one in sorted(late)], limit + 1]
        for first, stop in now.ended(then.xmax):
            parts.append(read.format("xid >= %s::text::xid8 AND xid < %s::text::xid8"))
            values += [str(first), str(stop), limit + 1]
        if not parts:
            return {}
        with self.connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), values)
            found = cursor.fetchall()
        return self._gathered(found, limit)

    def _horizon(self) -> int:
        # Every transaction below it has ended, also those that were prepared.
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])

    def _drop(self, upto: int) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"""
                DELETE FROM {_JOURNAL} WHERE id IN (
                    SELECT id FROM {_JOURNAL}
                    WHERE xid < (
                        SELECT xid FROM {_JOURNAL} WHERE xid < %s::text::xid8
                        ORDER BY xid DESC LIMIT 1
                    )
                    ORDER BY xid LIMIT %s FOR UPDATE SKIP LOCKED
                )
                """,
                [str(upto), self.prune_slice],
            )
            return int(cursor.rowcount)
