"""What a client holds of one stream, kept by the rules of the wire, which are checked on the way.

    copy = Copy()
    copy.take(frame)            # each frame of its stream, in their order
    copy.rows                   # {pk: data}
    copy.cursor                 # to resume from, or None
    copy.acknowledge()          # how many frames to acknowledge now

Pure: whoever has frames, from whatever socket, can keep one. It trusts no server: a frame that the
protocol (docs/reference/protocol.md) doesn't allow raises `BrokenRule`. What is allowed is applied
by `databinding.client.store`, which says why it is trusted to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from databinding import protocol
from databinding.client.errors import ProtocolError
from databinding.client.store import Store
from databinding.difference import CREATE, DELETE, UPDATE, Key

#: A stream's rows, by primary key as it stands on the wire.
Rows = dict[Key, dict[str, Any]]

#: Looks at a copy before and after a frame, and at the client's groups; returns a sentence that
#: says what is wrong, or None.
Invariant = Callable[[Rows, Rows, frozenset[str]], str | None]


class BrokenRule(AssertionError):
    """A frame that the protocol doesn't allow, or that breaks an invariant."""


class Copy:
    """A stream as one client holds it, over all of its connections.

    `invariants` are asked after every frame that leads to one state of the database; `groups` are
    passed on to them. A snapshot in several frames may have been read in several states, which
    the next batch corrects: after it they aren't asked.
    """

    def __init__(
        self, invariants: Iterable[Invariant] = (), groups: Iterable[str] = frozenset()
    ) -> None:
        #: The subscription's window in frames; set it before subscribing.
        self.window: int | None = None
        #: Frames that were taken but not acknowledged.
        self.unacknowledged = 0
        #: Events and snapshot's rows taken so far.
        self.delivered = 0
        #: Is the last frame taken one that leads to a state of the database?
        self.whole = False
        self._invariants = list(invariants)
        self._groups = frozenset(groups)
        self._store = Store()
        self._in_parts = False
        # The action that must come next, by the reply to `subscribe`.
        self._first: str | None = None
        # May the next batch say what to keep? That of a resume may.
        self._resuming = True

    @property
    def rows(self) -> Rows:
        return self._store.rows

    @rows.setter
    def rows(self, rows: Rows) -> None:
        self._store = Store(rows, self.cursor)

    @property
    def cursor(self) -> str | None:
        return self._store.cursor

    @cursor.setter
    def cursor(self, cursor: str | None) -> None:
        self._store.cursor = cursor

    def take(self, frame: Mapping[str, Any]) -> None:
        """Apply a frame of this stream. Raises `BrokenRule`; replies to others pass."""
        payload = frame["payload"]
        action = payload.get("action")
        if action == protocol.SUBSCRIBE and payload["response_status"] == 200:
            self._subscribed(payload["data"]["resumed"])
            if payload.get("request_id") is not None:  # else the server has begun its snapshot anew
                self.unacknowledged = 0
        elif action in (protocol.SNAPSHOT, protocol.BATCH):
            self._check_turn(action)
            before = dict(self.rows)
            if action == protocol.SNAPSHOT:
                self._check_snapshot(payload)
            else:
                self._check_batch(payload)
            self._check_cursor(frame)
            try:
                self._store.take(payload, frame["cursor"])
            except ProtocolError as error:
                raise BrokenRule(str(error)) from error
            if "keep" in payload and self.rows.keys() != set(payload["keep"]):
                lacking = set(payload["keep"]) - self.rows.keys()
                raise BrokenRule(f"Rows to keep that were never given: {lacking}.")
            in_parts, self._in_parts = self._in_parts, not self.whole
            if self.whole:
                self._first, self._resuming = None, False
                for invariant in () if in_parts else self._invariants:
                    if (wrong := invariant(before, self.rows, self._groups)) is not None:
                        raise BrokenRule(wrong)

    def acknowledge(self) -> int:
        """How many frames there are to acknowledge; from now on they are."""
        frames, self.unacknowledged = self.unacknowledged, 0
        return frames

    def hold(self, rows: Rows, cursor: str | None) -> None:
        """Begin with what was held before, by a page or another connection."""
        self._store = Store(rows, cursor)

    # The rules

    def _subscribed(self, resumed: bool) -> None:
        self._first = protocol.BATCH if resumed else protocol.SNAPSHOT
        self._resuming = resumed
        self._store.begin()
        self._in_parts = False

    def _check_turn(self, action: str) -> None:
        if self._first not in (None, action):
            raise BrokenRule(f"A {action} where a {self._first} must be the first frame.")
        if self._in_parts and action != protocol.SNAPSHOT:
            raise BrokenRule(f"A {action} between a snapshot's frames.")

    def _check_cursor(self, frame: Mapping[str, Any]) -> None:
        """Every frame counts for the window; one that leads to no state has an empty cursor."""
        cursor = frame.get("cursor")
        if self.whole is not (isinstance(cursor, str) and cursor != ""):
            raise BrokenRule(f"Complete: {self.whole}, with the cursor {cursor!r}.")
        if cursor == protocol.VOID_CURSOR:
            return  # It takes everything back, and the subscription is over.
        self.unacknowledged += 1
        if self.window is not None and self.unacknowledged > self.window:
            raise BrokenRule(
                f"{self.unacknowledged} frames unacknowledged, in a window of {self.window}."
            )

    def _check_snapshot(self, payload: Mapping[str, Any]) -> None:
        items = payload["items"]
        self.delivered += len(items)
        for item in items:
            _key(item)
        self.whole = payload["complete"]

    def _check_batch(self, payload: Mapping[str, Any]) -> None:
        events = payload["events"]
        self.delivered += len(events)
        named = [_key(event) for event in events]
        if len(set(named)) < len(named):
            twice = [pk for pk in named if named.count(pk) > 1]
            raise BrokenRule(f"Rows more than once in a batch: {twice}.")
        for event in events:
            match event:
                case {"action": str(action), "data": dict()} if action in (CREATE, UPDATE):
                    pass
                case {"action": action, **rest} if action == DELETE and rest.keys() == {"pk"}:
                    pass
                case _:
                    raise BrokenRule(f"No event of a batch: {event}.")
        if "keep" in payload:
            self._check_keep(payload["keep"], events)
        self.whole = True

    def _check_keep(self, keep: list[Key], events: list[Mapping[str, Any]]) -> None:
        if not self._resuming:
            raise BrokenRule("Rows to keep in a batch that doesn't resume.")
        for event in events:
            if event["action"] == DELETE or event["pk"] not in keep:
                raise BrokenRule(f"A row that isn't to be kept is named: {event}.")


def _key(named: Mapping[str, Any]) -> Key:
    pk = named["pk"]
    if isinstance(pk, bool) or not isinstance(pk, (int, str)):
        raise BrokenRule(f"No primary key: {pk!r}.")
    return pk


# Invariants


def never_shrinks(field: str) -> Invariant:
    """No row's `field` is seen to become less."""

    def check(before: Rows, after: Rows, groups: frozenset[str]) -> str | None:
        for pk in before.keys() & after.keys():
            if after[pk][field] < before[pk][field]:
                return f"{field} of {pk!r} shrank from {before[pk][field]} to {after[pk][field]}."
        return None

    return check


def constant_sum(field: str, total: Any) -> Invariant:
    """The rows' `field` adds up to `total`, for clients that see all of them, in every state.

    Whoever writes keeps it so in each transaction: a client that sees another sum was shown half
    of one.
    """

    def check(before: Rows, after: Rows, groups: frozenset[str]) -> str | None:
        found = sum(row[field] for row in after.values())
        return None if found == total else f"{field} adds up to {found}, not {total}."

    return check
