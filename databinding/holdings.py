"""What one process holds of one database: rows, audiences, and which state they are of.

The relay's thread alone changes it; event loops read it, holding `Holdings.lock`, for which they
never wait but try again a little later. The relay's thread takes it for what takes no time; while
it changes many rows, or makes frames of them, it says so (`Holdings.moving`), and event loops keep
off these rows alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager

from databinding.audience import Audience, Standing
from databinding.conf import settings
from databinding.difference import Group, Key, Rows
from databinding.form import Form
from databinding.reading import Change
from databinding.stray import STRAY

logger = logging.getLogger("databinding")


class Holdings:
    """`standing` is the state of the database that everything here is of; None: of none yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.standing: Standing | None = None
        self.rows: dict[Form, Rows] = {}
        self._forms: dict[Form, Form] = {}
        #: Whose rows and audiences are being changed just now.
        self.moving: Set[Form] = frozenset()
        self._number = 0
        self._audiences: dict[Form, dict[tuple[Group, ...], Audience]] = {}

    def held(self, form: Form) -> Form:
        """The form by which rows are held, and which knows who is subscribed; it equals this."""
        with self.lock:
            if form not in self.rows:
                self.rows[form] = Rows()
                self._forms[form] = form
            return self._forms[form]

    def forget_unused(self, form: Form) -> None:
        """Hold nothing of a form to which nobody is subscribed."""
        with self.lock:
            if form in self._forms and not self._forms[form].users:
                del self.rows[form], self._forms[form]
                self._audiences.pop(form, None)

    def audiences(self) -> Iterator[Audience]:
        return (one for audiences in self._audiences.values() for one in audiences.values())

    def in_use(self) -> bool:
        return any(audience.users for audience in self.audiences())

    def comparable(self, form: Form) -> bool:
        """Is anybody subscribed to it, and are its rows held, so that they can be compared?"""
        audiences = self._audiences.get(form, {}).values()
        return any(one.users for one in audiences) and all(one.held for one in audiences)

    @contextmanager
    def _moving(self, forms: Set[Form]) -> Iterator[None]:
        """While these are changed, no event loop reads them; others it may go on reading."""
        with self.lock:
            self.moving = forms
        try:
            yield
        finally:
            with self.lock:
                self.moving = frozenset()

    def advance(
        self,
        changes: Collection[tuple[Form, Change]],
        standing: Standing,
        trusted: Set[Form] = frozenset(),
    ) -> list[Audience]:
        """Go to a later state; return the audiences that have news, with their frames made.

        Whatever could not be read of `trusted` forms is in the changes.
        """
        self._number += 1
        forms = {form for form, _ in changes}
        changed: dict[Form, set[Group]] = {form: set() for form in forms}
        with self._moving(forms):
            before = {
                audience: audience.number
                for form, audiences in self._audiences.items()
                if form in forms
                for audience in audiences.values()
            }
            for form in forms & trusted:
                self.rows[form].doubtful = False
                for audience in self._audiences.get(form, {}).values():
                    audience.told = None  # Only cursors that aren't honoured.
            for form, change in changes:
                rows = self.rows[form]
                change.apply(rows, self._number)
                self._follow_large(form, rows)
                changed[form] |= rows.take_changed()
            news = [
                audience
                for audience in before
                if not changed[audience.form].isdisjoint(audience.groups)
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

    def add(
        self,
        form: Form,
        loaded: Mapping[Group, Iterable[tuple[Key, str]] | None],
    ) -> list[Key]:
        """Hold groups that weren't held before (those of None are only followed).

        Returns the keys of rows that other groups hold as something else.
        """
        differing: list[Key] = []
        with self._moving({form}):
            rows = self.rows[form]
            for group, found in loaded.items():
                if found is None:
                    rows.load_recent(group, self._number)
                else:
                    differing += rows.load(group, self._number, found)
        return differing

    def open(self, form: Form, groups: tuple[Group, ...]) -> Audience:
        """The audience of these groups, all of them held."""
        with self.lock:
            audiences = self._audiences.setdefault(form, {})
            if groups not in audiences:
                audiences[groups] = Audience(form, groups, self.rows[form])
                audiences[groups].told = self.standing.position if self.standing else None
            return audiences[groups]

    def _follow_large(self, form: Form, rows: Rows) -> None:
        """A constant group that has grown far beyond the limit isn't held any longer."""
        limit = 2 * settings.GROUP_LIMIT
        large = [name for name in rows.held() if len(rows.groups[name].present) > limit]
        if not large:
            return
        try:
            lets_go = form.binding.constant_groups() is not None and form.sees_all()
        except (Exception, *STRAY):
            # Asked again at the next change; this one has to be told.
            logger.exception("%s: whether all rows are seen can't be told.", form)
            return
        if lets_go:
            for name in large:
                rows.follow(name, self._number)

    def quiet(self) -> list[Audience]:
        """The audiences whose subscribers hold an old cursor, though they are current."""
        with self.lock:
            if self.standing is None:
                return []
            position = self.standing.position
            found = [one for one in self.audiences() if one.told != position]
            for audience in found:
                audience.told = position
            return found

    def unload(self) -> None:
        """Forget audiences that had no subscribers since the last time, and rows of nobody."""
        used: dict[Form, set[Group]] = {}
        with self.lock:
            for form, audiences in list(self._audiences.items()):
                for groups, audience in list(audiences.items()):
                    if audience.idle and not audience.users:
                        del audiences[groups]
                    else:
                        used.setdefault(form, set()).update(groups)
                    audience.idle = not audience.users
                if not audiences:
                    del self._audiences[form]
        for form, rows in list(self.rows.items()):
            unused = rows.groups.keys() - used.get(form, set())
            if unused:
                with self._moving({form}):
                    for group in unused:
                        rows.unload(group)
            if form.personal and form not in used:
                with self.lock:
                    del self.rows[form], self._forms[form]  # There are as many as users.

    def clear(self) -> None:
        with self.lock:
            self.rows.clear()
            self._forms.clear()
            self._audiences.clear()
            self.standing = None
