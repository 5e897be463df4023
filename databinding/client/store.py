"""The rows of one stream and the cursor they stand at: frames are applied here. Pure.

    store = Store()
    step = store.take(payload, cursor)      # of each snapshot and batch, in their order
    store.rows, store.cursor

The convergence oracle's copies (`databinding.testing.copy`) are kept by this, too. They look first
whether a frame is one that the protocol allows, and compare what comes out with the database: a
fault here that hid one of the server's would have to undo just that, and the wire vectors hold this
module, like the JavaScript one, to what frames mean. In return every random program of the oracle
tests the code with which programs keep their rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from databinding.client.errors import ProtocolError
from databinding.difference import CREATE, DELETE, UPDATE, Key
from databinding.protocol import SNAPSHOT

#: A row's fields as JSON has them. Not to be changed: the store's own.
Data = dict[str, Any]


class Unknown(Enum):
    """What a row was can't be told: the stream began from a cursor, without rows.

    The names say whether the server spoke of it as of a new one.
    """

    NEW = "new"
    OLD = "old"


#: What a row was: None where it wasn't there.
Before = Data | Unknown | None


@dataclass
class Step:
    """What one frame changed, from one state of the rows to the next."""

    #: What each row that was changed was before.
    before: dict[Key, Before] = field(default_factory=dict)
    #: What was there before can't be compared with what is: everything is named, as created.
    reset: bool = False
    #: First of all, rows that aren't among these are gone. Told only where what was there before
    #: isn't known; else those rows are named.
    keep: frozenset[Key] | None = None


class Store:
    """What a client holds of one stream.

    With `rows` and their `cursor` it begins where it was left; with a cursor alone it holds only
    what it has been told of since, until a snapshot comes.
    """

    def __init__(self, rows: Mapping[Key, Data] | None = None, cursor: str | None = None) -> None:
        #: By primary key, as it stands on the wire. The same dict as long as the store lives.
        self.rows: dict[Key, Data] = dict(rows or {})
        self.cursor = cursor
        #: Are the rows all that there are?
        self.loaded = rows is not None
        self._chunks: dict[Key, Data] = {}

    def begin(self) -> None:
        """A subscription begins: an unfinished snapshot of the one before will not be finished."""
        self._chunks = {}

    def forget(self) -> None:
        """A frame was lost on us: what the rows are can't be told until a snapshot comes."""
        self.cursor = None
        self.loaded = False

    def take(self, payload: Mapping[str, Any], cursor: str | None) -> Step | None:
        """Apply a snapshot or a batch; None while a snapshot isn't complete.

        A frame is applied whole or not at all. Raises `ProtocolError`.
        """
        whole = payload["action"] == SNAPSHOT
        step = self._snapshot(payload) if whole else self._batch(payload)
        if step is not None and cursor:
            self.cursor = cursor
        return step

    def _snapshot(self, payload: Mapping[str, Any]) -> Step | None:
        items = _items(payload.get("items"))
        self._chunks.update(items)
        if payload.get("complete") is not True:
            return None
        now, self._chunks = self._chunks, {}
        if not self.loaded:
            step = Step(dict.fromkeys(now), reset=True)
        else:
            was: dict[Key, Before] = {pk: self.rows.get(pk) for pk in (*self.rows, *now)}
            step = Step({pk: data for pk, data in was.items() if not same(data, now.get(pk))})
        # Those who hold `rows` hold the dict, so its contents are swapped, not the dict.
        self.rows.clear()
        self.rows.update(now)
        self.loaded = True
        return step

    def _batch(self, payload: Mapping[str, Any]) -> Step:
        events = _events(payload.get("events"))
        step = Step()
        if "keep" in payload:
            keep = _keep(payload["keep"])
            for pk in self.rows.keys() - keep:
                step.before[pk] = self.rows.pop(pk)
            if not self.loaded:
                step.keep = keep
        for action, pk, data in events:
            before: Before = self.rows.get(pk)
            if before is None and not self.loaded:
                before = Unknown.NEW if action == CREATE else Unknown.OLD
            if data is None:
                self.rows.pop(pk, None)
            else:
                self.rows[pk] = data
            if not same(before, data):
                step.before.setdefault(pk, before)
        return step


def same(one: Any, other: Any) -> bool:
    """Are two JSON values equal? In Python 1 equals 1.0 and True; in JSON it doesn't."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def is_pk(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _items(items: Any) -> Iterable[tuple[Key, Data]]:
    if not isinstance(items, list):
        raise ProtocolError("A snapshot came without items.")
    listed = []
    for item in items:
        match item:
            case {"pk": pk, "data": dict(data)} if is_pk(pk):
                listed.append((pk, data))
            case _:
                raise ProtocolError("A snapshot came with an item that is no row.")
    return listed


def _events(events: Any) -> Iterable[tuple[str, Key, Data | None]]:
    if not isinstance(events, list):
        raise ProtocolError("A batch came without events.")
    listed: list[tuple[str, Key, Data | None]] = []
    for event in events:
        match event:
            case {"action": str(action), "pk": pk, "data": dict(data)} if is_pk(pk) and action in (
                CREATE,
                UPDATE,
            ):
                listed.append((action, pk, data))
            case {"action": action, "pk": pk} if is_pk(pk) and action == DELETE:
                listed.append((DELETE, pk, None))
            case _:
                raise ProtocolError("A batch came with an event that is none.")
    return listed


def _keep(keep: Any) -> frozenset[Key]:
    if not isinstance(keep, list) or not all(map(is_pk, keep)):
        raise ProtocolError("A batch came with a keep that is no list of primary keys.")
    return frozenset(keep)
