"""The journal on SQLite: one writer at a time, so ids become visible in their order."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError

from databinding.journal.base import Journal, Keys, State
from databinding.models import Epoch, JournalEntry
from databinding.positions import Position
from databinding.threads import file_of

_JOURNAL = JournalEntry._meta.db_table
_EPOCH = Epoch._meta.db_table


class SQLiteJournal(Journal):
    """Positions are ids; ``PRAGMA data_version`` tells that another connection has committed."""

    misses_nothing = True
    refuses_after_failure = False
    # Writers wait milliseconds.
    prune_slice = 2_000
    #: Milliseconds that pruning waits for a writer before it leaves it for the next time.
    prune_wait = 50

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._version: tuple[int, int | None] | None = None
        self._names: Sequence[str] = ()
        # The connection that has said so.
        self._names_of: Any = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        connection: Any = self.connection
        # Connecting sets the mode, to what the project asks for: IMMEDIATE, it should. With that
        # every read would wait for the one write lock, and take it.
        connection.ensure_connection()
        mode = connection.transaction_mode
        connection.transaction_mode = "DEFERRED"
        raw = connection.connection
        try:
            # What a binding's code wrote here would be told of by no change of the version.
            raw.execute("PRAGMA query_only = ON")
            with super().snapshot():
                yield
        finally:
            connection.transaction_mode = mode
            if connection.connection is raw:
                raw.execute("PRAGMA query_only = OFF")

    def append(self, keys: Sequence[tuple[str, str | None]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {_JOURNAL} (model, key, tag) SELECT json_extract(value, '$[0]'), "
                "json_extract(value, '$[1]'), random() FROM json_each(%s)",
                [json.dumps(keys)],
            )

    def grown(self) -> bool:
        ((count,),) = self._asked("PRAGMA data_version")
        # A database file that was replaced under us (a restored copy) is another file; the
        # connection would go on reading the old one.
        version = (count, file_of(self.connection))
        if version == self._version:
            return False
        if self._version is not None and version[1] != self._version[1]:
            self.connection.close()
            self._version = None  # The next connection counts anew.
        else:
            self._version = version
        return True

    def files(self) -> Sequence[str]:
        # As SQLite names it: with links resolved, and a URI's parameters left out.
        connection: Any = self.connection
        connection.ensure_connection()
        if self._names_of is not connection.connection:
            self._names_of = connection.connection
            _, _, name = self._names_of.execute("PRAGMA database_list").fetchone()
            self._names = (name, f"{name}-wal") if name else ()
        return self._names

    def _asked(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """What SQLite answers, past Django's cursors: with those a pass takes a fifth longer, and
        a hundred looks a second twice as long."""
        connection: Any = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            found: list[tuple[Any, ...]] = connection.connection.execute(
                question, values
            ).fetchall()
        return found

    def state(self) -> State | None:
        found = self._asked(
            f"SELECT epoch.value, epoch.pruned, newest.id, newest.tag FROM {_EPOCH} AS epoch"
            f" LEFT JOIN (SELECT id, tag FROM {_JOURNAL} ORDER BY id DESC LIMIT 1) AS newest"
            " WHERE epoch.id = 1"
        )
        if not found:
            return None
        ((epoch, pruned, newest, tag),) = found
        return State(epoch, pruned, Position(0, 0) if newest is None else Position(newest, tag))

    def new_epoch(self) -> None:
        Epoch.objects.using(self.alias).update_or_create(
            id=1, defaults={"value": secrets.token_hex(8)}
        )

    def honours(self, position: Position, state: State) -> bool:
        if position.id == 0:
            return state.pruned == 0
        if not state.pruned <= position.id <= state.position.id:
            return False
        witness = self._asked(f"SELECT tag FROM {_JOURNAL} WHERE id = ?", position.id)
        return witness == [(position.tag,)]

    def keys_since(self, position: Position, limit: int) -> Keys | None:
        found = self._asked(
            f"SELECT model, key FROM {_JOURNAL} WHERE id > ? LIMIT ?", position.id, limit + 1
        )
        return self._gathered(found, limit)

    def prune(self, retention: float, *, slices: float = math.inf) -> int:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {self.prune_wait}")
            return super().prune(retention, slices=slices)
        except OperationalError:
            return 0  # A writer was at it; there is a next time.
        finally:
            timeout = self.connection.settings_dict["OPTIONS"].get("timeout", 5)
            with self.connection.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")

    def _horizon(self) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT coalesce(max(id), 0) FROM {_JOURNAL}")
            return int(cursor.fetchone()[0])

    def _drop(self, upto: int) -> int:
        # The key with the mark's own id is the newest that was there then.
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {_JOURNAL} WHERE id IN "
                f"(SELECT id FROM {_JOURNAL} WHERE id < %s ORDER BY id LIMIT %s)",
                [upto, self.prune_slice],
            )
            return int(cursor.rowcount)
