"""What an audience has to be told: pure bookkeeping of members, without Django or asyncio.

A process numbers the states of the database that it has seen: 1, 2, 3, … `Rows` holds what it
knows of one binding in the newest state: every row's fragment (its JSON text), which of the
loaded groups it is in, and for each group its `Members` in the order of their last change. What a
client lacks is then a walk from the newest member back to the number the client was last told
(`difference`): live delivery, a slow client that catches up, and a client that missed everything
are the same call, and there are no queues of events.

Two things are deliberate. A key that left is always named as a delete to a client that was last
told before it left, even when it had entered after that too: a row may leave, re-enter and leave
again while a client sleeps, and only the last coming and going is remembered. And a group forgets
old leavers once they are many; whoever was last told before that (`Members.floor`) can't be
served from memory and asks the database again.

What is held of each row are plain values: keys, texts, and tuples of these that rows which came or
changed together share. Of such, Python's garbage collector keeps no list. A hundred thousand small
objects would have it walk through all that the process holds, again and again, while every other
thread waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

T = TypeVar("T")

#: A primary key as it stands on the wire: a JSON number or string.
Key = int | str

CREATE = "create"
UPDATE = "update"
DELETE = "delete"


class Window(NamedTuple):
    """The first `limit` rows of these groups, in their binding's order.

    `Rows` holds it as a group of its own, whose members it is told (`Rows.hide`, `Rows.show`):
    that a row has changed doesn't say by itself which rows are the first now.
    """

    groups: tuple[str, ...]
    limit: int


#: What `Rows` can hold by name.
Group = str | Window


class Event(NamedTuple):
    """One row's way into the newest state. ``fragment`` of a delete is what the row last was."""

    action: str
    key: Key
    fragment: str | None


#: When a row that is there last changed, and when it entered.
_Present = tuple[int, int]

#: When a row left, when it had entered, and what it last was.
_Gone = tuple[int, int, str | None]


class Members:
    """One group's rows in the order of their last change, and those that left.

    `floor` is the oldest number from which differences can still be told, `changed` the number of
    the newest change.
    """

    __slots__ = ("_latest", "changed", "floor", "gone", "present")

    #: How many leavers are remembered before the older half of them is forgotten.
    remembered_leavers = 10_000

    def __init__(self, number: int) -> None:
        self.floor = number
        self.changed = number
        # Dicts keep insertion order; a changed key is taken out and put at the end.
        self.present: dict[Key, _Present] = {}
        self.gone: dict[Key, _Gone] = {}
        self._latest: _Present = (number, number)

    def load(self, key: Key, number: int) -> None:
        """The row was there when the group began to be held."""
        self.present[key] = self._shared(number, number)

    def enter(self, key: Key, number: int) -> None:
        self.gone.pop(key, None)
        self.present[key] = self._shared(number, self._entered(number))
        self.changed = number

    def change(self, key: Key, number: int) -> None:
        _, entered = self.present.pop(key)
        self.present[key] = self._shared(number, entered)
        self.changed = number

    def leave(self, key: Key, number: int, fragment: str | None) -> None:
        was = self.present.pop(key, None)
        self.gone.pop(key, None)
        self.gone[key] = (number, was[1] if was else 0, fragment)
        self.changed = number
        if len(self.gone) > 2 * self.remembered_leavers:
            forgotten = _forget_oldest(self.gone, self.remembered_leavers)
            self.floor = max(self.floor, forgotten[0])

    def _shared(self, number: int, entered: int) -> _Present:
        if self._latest != (number, entered):
            self._latest = (number, entered)
        return self._latest

    def _entered(self, number: int) -> int:
        return number


class RecentMembers(Members):
    """A group too large to be held: only its latest changes are, the rest stays in the database.

    Who was in it before is not known, so a row that is there is an update, never a create.
    """

    __slots__ = ()

    #: How many changed rows are held before the older half of them is forgotten.
    remembered_changes = 10_000

    def forget(self) -> list[Key]:
        """Drop the older changes if they are many; return the keys dropped."""
        if len(self.present) <= 2 * self.remembered_changes:
            return []
        before = set(self.present)
        forgotten = _forget_oldest(self.present, self.remembered_changes)
        self.floor = max(self.floor, forgotten[0])
        return list(before - self.present.keys())

    def _entered(self, number: int) -> int:
        return 0


class WindowMembers(Members):
    """A window's rows; `order` is that of the binding."""

    __slots__ = ("order",)

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.order: list[Key] = []


def _forget_oldest(entries: dict[Key, T], keep: int) -> T:
    """Keep the newest entries; return the newest of those forgotten."""
    oldest = list(islice(entries, len(entries) - keep))
    for key in oldest[:-1]:
        del entries[key]
    return entries.pop(oldest[-1])


class Rows:
    """What this process holds of one binding in the newest state it has seen.

    Every method takes the number of the state it belongs to; numbers never fall. `changed_groups`
    collects the names of groups that got news since it was last emptied by `take_changed`.
    """

    #: Sets of groups that are remembered beside those that rows may be in.
    remembered_sets = 1_000

    def __init__(self) -> None:
        self.fragments: dict[Key, str] = {}
        self.index: dict[Key, tuple[Group, ...]] = {}
        self.groups: dict[Group, Members] = {}
        #: Some row could not be read: it isn't, or may not be, what it is in this state.
        self.doubtful = False
        # Each set of groups that rows are in, once.
        self._sets: dict[tuple[Group, ...], tuple[Group, ...]] = {}
        # Those that are only followed: they have to hear of keys that they don't hold.
        self._followed: set[Group] = set()
        self._changed: set[Group] = set()

    def load(self, group: Group, number: int, rows: Iterable[tuple[Key, str]]) -> list[Key]:
        """Begin to hold a group whose rows in state ``number`` are ``rows``.

        A row that is held already, for another group, keeps the fragment it has there, since its
        readers have to be told of another one. Returns the keys of those that differ.
        """
        windowed = isinstance(group, Window)
        members = self.groups[group] = WindowMembers(number) if windowed else Members(number)
        differing = []
        for key, fragment in rows:
            if self.fragments.setdefault(key, fragment) != fragment:
                differing.append(key)
            self.index[key] = self._shared((*self.index.get(key, ()), group))
            members.load(key, number)
        if isinstance(members, WindowMembers):
            members.order = list(members.present)
        return differing

    def load_recent(self, group: Group, number: int) -> None:
        """Begin to follow a group that is too large to be held."""
        self.groups[group] = RecentMembers(number)
        self._followed.add(group)

    def unload(self, group: Group) -> None:
        self._followed.discard(group)
        members = self.groups.pop(group)
        for key in members.present:
            self._release(key, group)
        self._sets.clear()

    def holds(self, key: Key, fragment: str | None, groups: Collection[str]) -> bool:
        """Is the row held as this, and in just these groups (those not loaded are passed over)?"""
        if self.fragments.get(key) != fragment or fragment is None:
            return False
        held = {name for name in self.index[key] if isinstance(name, str)}
        return held == {name for name in groups if name in self.groups}

    def put(self, key: Key, fragment: str, groups: Collection[str], number: int) -> None:
        """The row is now ``fragment`` and in ``groups`` (those not loaded are passed over).

        It stays in the windows that it is in: `hide` and `show` tell of those.
        """
        before = self.index.get(key, ())
        named: list[Group] = [name for name in groups if name in self.groups]
        now = (*named, *(name for name in before if isinstance(name, Window)))
        old = self.fragments.get(key)
        for name in before:
            if name not in now:
                self.groups[name].leave(key, number, old)
                self._changed.add(name)
        if now:
            for name in now:
                if name not in before:
                    self.groups[name].enter(key, number)
                elif fragment != old:
                    self.groups[name].change(key, number)
                else:
                    continue
                self._changed.add(name)
            self.fragments[key] = fragment
            self.index[key] = self._shared(now)
            self._trim(now)
        elif before:
            del self.fragments[key], self.index[key]

    def drop(self, key: Key, number: int) -> None:
        """The row isn't there any more."""
        held = self.index.pop(key, ())
        fragment = self.fragments.pop(key, None)
        for name in self._followed.union(held):
            self.groups[name].leave(key, number, fragment)
            self._changed.add(name)

    def hide(self, window: Window, number: int, shown: Collection[Key]) -> None:
        """The window doesn't show other rows than these any more.

        To be said before `put`: what becomes of a row that leaves isn't for the window's readers.
        """
        members = self.groups[window]
        for key in [key for key in members.present if key not in shown]:
            members.leave(key, number, self.fragments.get(key))
            self._release(key, window)
            self._changed.add(window)

    def show(self, window: Window, number: int, rows: Sequence[tuple[Key, str]]) -> None:
        """The window's rows are these now, in this order; each fragment as it is in this state."""
        members = self.groups[window]
        assert isinstance(members, WindowMembers)
        for key, fragment in rows:
            if key not in members.present:
                members.enter(key, number)
                self.fragments.setdefault(key, fragment)
                self.index[key] = self._shared((*self.index.get(key, ()), window))
                self._changed.add(window)
        members.order = [key for key, _ in rows]

    def follow_anew(self, number: int) -> None:
        """Groups that aren't held can't be compared: all that was told of them before is void."""
        for name in self._followed:
            self.follow(name, number)

    def follow(self, group: Group, number: int) -> None:
        """Don't hold this group any more, if it was; from now on follow its changes."""
        for key in list(self.groups[group].present):
            self._release(key, group)
        self.load_recent(group, number)
        self._changed.add(group)

    def held(self) -> list[str]:
        """The loaded groups but those too large to be held, and windows."""
        return [
            name
            for name, members in self.groups.items()
            if isinstance(name, str) and not isinstance(members, RecentMembers)
        ]

    def windows(self) -> list[Window]:
        """The windows that are held."""
        return [name for name in self.groups if isinstance(name, Window)]

    def order(self, window: Window) -> list[Key]:
        """The keys of a window's rows, in the binding's order."""
        members = self.groups[window]
        assert isinstance(members, WindowMembers)
        return members.order

    def take_changed(self) -> set[Group]:
        changed, self._changed = self._changed, set()
        return changed

    def _trim(self, groups: Iterable[Group]) -> None:
        for name in groups:
            members = self.groups[name]
            if isinstance(members, RecentMembers):
                for key in members.forget():
                    self._release(key, name)

    def _shared(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        if len(self._sets) > 2 * len(self.index) + self.remembered_sets:
            self._sets.clear()  # Most are of rows that are in others now.
        return self._sets.setdefault(groups, groups)

    def _release(self, key: Key, group: Group) -> None:
        """The group doesn't hold the row any more; the last group takes the fragment with it."""
        left = tuple(name for name in self.index.get(key, ()) if name != group)
        if left:
            self.index[key] = self._shared(left)
        else:
            self.index.pop(key, None)
            self.fragments.pop(key, None)


def difference(
    rows: Rows, groups: Iterable[Group], since: int, limit: int | None = None
) -> list[Event] | None:
    """What a client of these groups that was last told state ``since`` lacks, oldest change first.

    Each key comes once. None: some of it is forgotten, only the database can tell; or there are
    more than ``limit`` events.
    """
    members = [rows.groups[name] for name in groups]
    if any(since < group.floor for group in members):
        return None
    touched: dict[Key, int] = {}
    for group in members:
        if group.changed <= since:
            continue
        for key in reversed(group.present):
            number = group.present[key][0]
            if number <= since:
                break
            touched[key] = max(number, touched.get(key, 0))
            if limit is not None and len(touched) > limit:
                return None
        for key in reversed(group.gone):
            number = group.gone[key][0]
            if number <= since:
                break
            touched[key] = max(number, touched.get(key, 0))
            if limit is not None and len(touched) > limit:
                return None
    # The walk went from the newest back; turned round and sorted (stably) it is in order.
    newest_first = list(touched.items())
    newest_first.reverse()
    newest_first.sort(key=lambda item: item[1])
    return [_event(rows, members, key, since) for key, _ in newest_first]


def _event(rows: Rows, members: list[Members], key: Key, since: int) -> Event:
    present = held = False
    fragment: str | None = None
    left = -1
    for group in members:
        here = group.present.get(key)
        if here is not None:
            present = True
            held = held or here[1] <= since
            continue
        when, entered, was = group.gone.get(key, (since, 0, None))
        if when > since:
            held = held or entered <= since
            if when > left:
                left, fragment = when, was
    if present:
        return Event(UPDATE if held else CREATE, key, rows.fragments[key])
    return Event(DELETE, key, fragment)
