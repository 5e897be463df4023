"""Sets of groups seen in one form, and the frames that all their subscribers share.

An audience's numbers are those of its groups' last changes (see `databinding.difference`): a
subscriber that was told everything up to `Audience.number` is current. The frames from a number
to now are made once and kept until the next change, so that everybody in step shares them.

An audience is the relay's: its thread alone changes and reads it freely. An event loop, which only
asks for `Audience.frames` and `Audience.empty_batch`, keeps to the rules of `databinding.holdings`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from heapq import merge
from typing import NamedTuple

from django.core.signing import BadSignature, Signer

from databinding import protocol
from databinding.conf import settings
from databinding.difference import (
    Group,
    Key,
    RecentMembers,
    Rows,
    Window,
    WindowMembers,
    difference,
)
from databinding.form import Form
from databinding.parts import parts
from databinding.positions import Cursor, InvalidCursor, Position
from databinding.servers import text_frame

_NO_EPOCH = ""

#: Keys that are sorted at once.
_PIECE = 10_000

#: What is sent to one, as text; and as a server's frame of it, if that was made for several.
Text = tuple[str, bytes | None]

#: A stream's name, and whether its frames are classic.
Door = tuple[str, bool]


class Frames(NamedTuple):
    """Encoded frames that take a subscriber to `number`."""

    texts: tuple[str, ...]
    number: int
    #: In the batches and classic frames among them.
    events: int = 0


class Standing(NamedTuple):
    """The newest state of the database that the relay has published."""

    epoch: str
    position: Position


class Audience:
    """The rows of a set of groups, or of a window on them, seen in one form."""

    def __init__(self, form: Form, groups: tuple[Group, ...], rows: Rows) -> None:
        self.form = form
        self.groups = groups
        self.rows = rows
        #: Nobody subscribed when the relay last looked.
        self.idle = False
        #: How many of them want which frames: by stream name, and whether classic.
        self.doors: Counter[Door] = Counter()
        #: Position of the newest cursor that the relay had sent to those in step.
        self.told: Position | None = None
        self._form = "\0".join((form.digest(), *map(str, self.groups)))
        self._frames: dict[tuple[str, bool, int], Frames | None] = {}
        self._page: tuple[str, Standing, str] | None = None
        self._snapshots: dict[str, Snapshot] = {}

    def is_of(self, form: Form, groups: tuple[Group, ...]) -> bool:
        """Is it that of these groups, seen in this form?"""
        return self.form == form and self.groups == groups

    @property
    def users(self) -> int:
        """Subscriptions, in whatever event loop, that need the groups to stay loaded."""
        return self.doors.total()

    @property
    def number(self) -> int:
        return max((self.rows.groups[name].changed for name in self.groups), default=0)

    @property
    def held(self) -> bool:
        """Are the rows in memory? Those of a large group aren't, and snapshots are paged."""
        return not any(isinstance(self.rows.groups[name], RecentMembers) for name in self.groups)

    @property
    def windowed(self) -> bool:
        """Is it a window: the first rows, in their binding's order?"""
        return any(isinstance(name, Window) for name in self.groups)

    def changed(self) -> None:
        """The groups have news: frames made so far lead to the past."""
        self._frames.clear()
        self._snapshots.clear()
        self._page = None

    def cursor(self, stream: str, standing: Standing) -> str:
        """Where a client stands that was told everything up to now.

        Of no epoch, so that it isn't honoured, while some row can't be told: whoever resumed by it,
        perhaps at a process that can read the row, would never get it. So it is where rows change
        of which no key tells.
        """
        doubtful = self.rows.doubtful or self.form.binding.refresh_every is not None
        epoch = _NO_EPOCH if doubtful else standing.epoch
        cursor = Cursor(epoch, self._digest(stream), standing.position)
        return _signer().sign(cursor.encode())

    def position_of(self, stream: str, cursor: str, epoch: str) -> Position | None:
        """The position in a cursor if it is ours, of this epoch, stream and audience."""
        try:
            read = Cursor.decode(_signer().unsign(cursor))
        except (BadSignature, InvalidCursor):
            return None
        if read.epoch != epoch or read.audience != self._digest(stream):
            return None
        return read.position

    def frames(self, stream: str, classic: bool, since: int, standing: Standing) -> Frames | None:
        """What takes a client from `since` to now; None: a snapshot must.

        Classic clients get a frame for each event, others one batch.
        """
        key = (stream, classic, since)
        if key not in self._frames:
            self._frames[key] = self._make_frames(stream, classic, since, standing)
        return self._frames[key]

    def made(self, stream: str, classic: bool, since: int) -> Frames | None:
        """Those that are made already and lead to what is news now, or was just before.

        The one thing here that needs no lock: frames once made are right from where they begin.
        """
        return self._frames.get((stream, classic, since))

    def _make_frames(
        self, stream: str, classic: bool, since: int, standing: Standing
    ) -> Frames | None:
        limit = None if classic else settings.BATCH_LIMIT
        events = difference(self.rows, self.groups, since, limit)
        if classic:
            # A classic client can't be given a snapshot; what is forgotten it has to live without.
            label = self.form.binding.label()
            texts = tuple(protocol.classic(stream, event, label) for event in events or ())
            return Frames(texts, self.number, len(texts))
        if events is None:
            return None
        batch = protocol.batch(stream, events, self.cursor(stream, standing))
        return Frames((batch,), self.number, len(events))

    def empty_batch(self, stream: str, standing: Standing) -> Frames:
        """Nothing new but the cursor."""
        text = protocol.batch(stream, (), self.cursor(stream, standing))
        return Frames((text,), self.number)

    def snapshot(self, stream: str, standing: Standing) -> Chunk:
        """The beginning of all rows; shared by all who come before the next change."""
        made = self._snapshots.get(stream)
        if made is None or made.standing != standing:
            # One that is left is of the same rows: where they change it is forgotten. Those of a
            # window may have changed places alone.
            before = None if self.windowed else made
            made = self._snapshots[stream] = Snapshot(self, stream, standing, before)
        return Chunk(made, 0)

    def page(self, stream: str, standing: Standing) -> str | None:
        """Items and cursor as a served page has them; None where the rows are too many for it."""
        many = sum(len(self.rows.groups[name].present) for name in self.groups)
        if not self.held or many > settings.BATCH_LIMIT:
            return None
        if self._page is None or self._page[:2] != (stream, standing):
            listed = ",".join(protocol.item(key, fragment) for key, fragment in self.items())
            cursor = protocol.encode(self.cursor(stream, standing))
            self._page = stream, standing, f'{{"items":[{listed}],"cursor":{cursor}}}'
        return self._page[2]

    def items(self) -> Iterable[tuple[Key, str]]:
        """Every row that is held, once each, as key and fragment."""
        fragments = self.rows.fragments
        for key in self.keys():
            yield key, fragments[key]

    def keys(self) -> Iterable[Key]:
        """The keys of the rows that are held, once each, in their order."""
        seen: dict[Key, None] = {}
        for name in self.groups:
            members = self.rows.groups[name]
            if isinstance(members, WindowMembers):
                return members.order
            seen.update(dict.fromkeys(self.rows.groups[name].present))
        return _in_order(list(seen))

    def _digest(self, stream: str) -> str:
        return hashlib.sha256(f"{stream}\0{self._form}".encode()).hexdigest()[:16]


class Snapshot:
    """The rows of a held audience at one state, for all who joined then.

    It holds on to that state's fragments, not to frames: those are made one by one, as clients
    come to need them, and only the latest are kept for others who are as far. Called in any
    thread, also without the relay's lock.
    """

    #: Frames that are kept.
    shared = 32

    def __init__(
        self, audience: Audience, stream: str, standing: Standing, before: Snapshot | None = None
    ) -> None:
        """With one of the same rows, of a state `before`: they are shared, and frames but the last,
        which has the cursor."""
        self.standing = standing
        self._stream = stream
        self._cursor = audience.cursor(stream, standing)
        self._size = settings.SNAPSHOT_CHUNK
        self._frames: dict[int, Text] = {}
        self._making = threading.Lock()
        if before is None or before._size != self._size:
            # Two lists: a tuple for each row would cost four times as much.
            self._keys = list(audience.keys())
            self._fragments = [audience.rows.fragments[key] for key in self._keys]
            return
        self._keys, self._fragments = before._keys, before._fragments
        with before._making:
            self._frames.update(before._frames)
        last = max(0, len(self._keys) - 1) // self._size * self._size
        self._frames.pop(last, None)

    def frame(self, start: int) -> tuple[Text, int | None]:
        """The frame with the rows from this one on, and where the next begins (None: complete)."""
        end = start + self._size
        more = end < len(self._keys)
        with self._making:
            made = self._frames.get(start)
            if made is None:
                cursor = protocol.NO_CURSOR if more else self._cursor
                items = zip(self._keys[start:end], self._fragments[start:end], strict=True)
                text = protocol.snapshot(self._stream, items, cursor)
                made = text, text_frame(text)
                if len(self._frames) >= self.shared:
                    del self._frames[next(iter(self._frames))]
                self._frames[start] = made
        return made, end if more else None


class Chunk(NamedTuple):
    """Where a snapshot goes on."""

    snapshot: Snapshot
    start: int

    def frame(self) -> tuple[Text, Chunk | None]:
        """The next frame, and where the snapshot goes on then (None: complete)."""
        made, after = self.snapshot.frame(self.start)
        return made, None if after is None else Chunk(self.snapshot, after)


def _in_order(keys: list[Key]) -> list[Key]:
    """Sorted; the keys of one model are of one type, unless some of its numbers are too large for
    JSON's readers: those are texts, and come last.

    In pieces: while Python sorts it lets no other thread run, and a hundred thousand random texts
    take it 50 ms.
    """
    try:
        if len(keys) <= _PIECE:
            return sorted(keys)
        return list(merge(*map(sorted, parts(keys, _PIECE))))
    except TypeError:
        return sorted(keys, key=lambda key: (isinstance(key, str), key))


def _signer() -> Signer:
    return Signer(salt="databinding.cursor")
