"""What a consumer of a stream is told: changes, each from a state that it saw to a later one.

There is no queue. Of what a consumer hasn't taken yet only this is kept: for each row, what it was
when the consumer last looked. However slow it is, its next change leads to the latest state, and
what it costs is bounded by the rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from databinding.client.store import Before, Data, Step, Unknown, same
from databinding.difference import CREATE, DELETE, UPDATE, Key


class Event(NamedTuple):
    """One row's way into the newest state."""

    #: "create", "update" or "delete".
    action: str
    pk: Key
    #: As it is now; None of a row that was deleted.
    data: Data | None
    #: As it was when the consumer last looked; None where it wasn't there, or isn't known.
    before: Data | None


@dataclass(frozen=True, slots=True)
class Change:
    """From the state that a consumer saw last to the newest one.

    Rows that were committed together are in one change, each row at most once. Iterating gives
    its events: what was deleted, created, updated. A change without events is false: it only
    brings a fresh cursor.
    """

    created: tuple[Event, ...]
    updated: tuple[Event, ...]
    deleted: tuple[Event, ...]
    #: Forget what you held: `created` is everything there is. So it is in the first change.
    reset: bool
    #: In a stream that was begun from a cursor alone: first of all forget what isn't among these.
    keep: frozenset[Key] | None
    #: Where this leads to; for `since`, once the change was dealt with.
    cursor: str | None

    def __iter__(self) -> Iterator[Event]:
        return chain(self.deleted, self.created, self.updated)

    def __len__(self) -> int:
        return len(self.deleted) + len(self.created) + len(self.updated)

    def __bool__(self) -> bool:
        return self.reset or self.keep is not None or len(self) > 0


class Unseen:
    """What one consumer hasn't seen yet: steps, merged until it takes them."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._any = False
        self._before: dict[Key, Before] = {}
        self._reset = False
        self._keep: frozenset[Key] | None = None

    def __bool__(self) -> bool:
        return self._any

    def add(self, step: Step, rows: Mapping[Key, Data]) -> None:
        """A frame led to these rows."""
        self._any = True
        if step.reset:
            self._before, self._reset, self._keep = {}, True, None
        elif step.keep is not None:
            self._keep = step.keep
        for pk, before in step.before.items():
            if self._before.setdefault(pk, before) is None and pk not in rows:
                del self._before[pk]  # it came and went unseen

    def take(self, rows: Mapping[Key, Data], cursor: str | None) -> Change:
        """All of it; nothing is unseen then."""
        created, updated, deleted = [], [], []
        for pk, before in self._before.items():
            data = rows.get(pk)
            was = None if isinstance(before, Unknown) else before
            if data is None:
                deleted.append(Event(DELETE, pk, None, was))
            elif before is None or before is Unknown.NEW:
                created.append(Event(CREATE, pk, data, None))
            elif not same(before, data) or (self._keep is not None and pk not in self._keep):
                updated.append(Event(UPDATE, pk, data, was))
        change = Change(
            tuple(created), tuple(updated), tuple(deleted), self._reset, self._keep, cursor
        )
        self._clear()
        return change
