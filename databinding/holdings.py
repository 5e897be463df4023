"""What one process holds of one database: rows, audiences, and which state they are of.

The relay's thread alone changes it; event loops read it, holding `Holdings.lock`, for which they
never wait but try again a little later. The relay's thread takes it for what takes no time; while
it changes many rows, or makes frames of them, it says so (`Holdings.moving`), and event loops keep
off these rows alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager

from databinding.audience import Audience, Standing
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Group, Key, Rows
from databinding.reading import Change


class Holdings:
    """`standing` is the state of the database that everything here is of; None: of none yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.standing: Standing | None = None
        self.rows: dict[type[Binding], Rows] = {}
        #: Whose rows and audiences are being changed just now.
        self.moving: Set[type[Binding]] = frozenset()
        self._number = 0
        self._audiences: dict[tuple[type[Binding], tuple[Group, ...]], Audience] = {}

    def in_use(self) -> bool:
        return any(audience.users for audience in self._audiences.values())

    def comparable(self, binding: type[Binding]) -> bool:
        """Is anybody subscribed to it, and are its rows held, so that they can be compared?"""
        audiences = [one for one in self._audiences.values() if one.binding is binding]
        return any(one.users for one in audiences) and all(one.held for one in audiences)

    @contextmanager
    def _moving(self, bindings: Set[type[Binding]]) -> Iterator[None]:
        """While these are changed, no event loop reads them; others it may go on reading."""
        with self.lock:
            self.moving = bindings
        try:
            yield
        finally:
            with self.lock:
                self.moving = frozenset()

    def advance(
        self, changes: Collection[tuple[type[Binding], Change]], standing: Standing
    ) -> list[Audience]:
        """Go to a later state; return the audiences that have news, with their frames made."""
        self._number += 1
        bindings = {binding for binding, _ in changes}
        changed: dict[type[Binding], set[Group]] = {binding: set() for binding in bindings}
        with self._moving(bindings):
            before = {
                audience: audience.number
                for audience in self._audiences.values()
                if audience.binding in bindings
            }
            for binding, change in changes:
                rows = self.rows[binding]
                change.apply(rows, self._number)
                self._follow_large(binding, rows)
                changed[binding] |= rows.take_changed()
            news = [
                audience
                for audience in before
                if not changed[audience.binding].isdisjoint(audience.groups)
            ]
            for audience in news:
                audience.changed()
                audience.told = standing.position
                # Those in step are at the number before this one.
                for stream, classic in +audience.doors:
                    audience.frames(stream, classic, before[audience], standing)
            # Before they are read again: what is held is of this state from now on.
            self.standing = standing
            return news

    def trust(self, binding: type[Binding]) -> None:
        """Whatever could not be read of a binding is in the changes that come next."""
        with self.lock:
            self.rows[binding].doubtful = False
            for audience in self._audiences.values():
                if audience.binding is binding:
                    audience.told = None  # Only cursors that aren't honoured.

    def add(
        self,
        binding: type[Binding],
        loaded: Mapping[Group, Iterable[tuple[Key, str]] | None],
    ) -> list[Key]:
        """Hold groups that weren't held before (those of None are only followed).

        Returns the keys of rows that other groups hold as something else.
        """
        differing: list[Key] = []
        with self._moving({binding}):
            rows = self.rows.setdefault(binding, Rows())
            for group, found in loaded.items():
                if found is None:
                    rows.load_recent(group, self._number)
                else:
                    differing += rows.load(group, self._number, found)
        return differing

    def open(self, binding: type[Binding], groups: tuple[Group, ...]) -> Audience:
        """The audience of these groups, all of them held."""
        with self.lock:
            audience = self._audiences.get((binding, groups))
            if audience is None:
                audience = Audience(binding, groups, self.rows.setdefault(binding, Rows()))
                audience.told = self.standing.position if self.standing else None
                self._audiences[binding, groups] = audience
            return audience

    def _follow_large(self, binding: type[Binding], rows: Rows) -> None:
        """A constant group that has grown far beyond the limit isn't held any longer."""
        limit = 2 * settings.GROUP_LIMIT
        large = [name for name in rows.held() if len(rows.groups[name].present) > limit]
        if large and binding.constant_groups() is not None and binding.sees_all():
            for name in large:
                rows.follow(name, self._number)

    def quiet(self) -> list[Audience]:
        """The audiences whose subscribers hold an old cursor, though they are current."""
        with self.lock:
            if self.standing is None:
                return []
            position = self.standing.position
            found = [one for one in self._audiences.values() if one.told != position]
            for audience in found:
                audience.told = position
            return found

    def unload(self) -> None:
        """Forget audiences that had no subscribers since the last time, and rows of nobody."""
        used: dict[type[Binding], set[Group]] = {}
        with self.lock:
            for place, audience in list(self._audiences.items()):
                if audience.idle and not audience.users:
                    del self._audiences[place]
                else:
                    used.setdefault(audience.binding, set()).update(audience.groups)
                audience.idle = not audience.users
        for binding, rows in self.rows.items():
            unused = rows.groups.keys() - used.get(binding, set())
            if unused:
                with self._moving({binding}):
                    for group in unused:
                        rows.unload(group)

    def clear(self) -> None:
        with self.lock:
            self.rows.clear()
            self._audiences.clear()
            self.standing = None
