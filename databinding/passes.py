"""One pass of the relay over the database, as those see it who asked for something.

Joining, resuming, a page's first rows: each is done inside one read transaction that began after
it was asked for. Whatever a thousand of them need in common is read once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from databinding import protocol
from databinding.audience import Audience, Chunk, Frames, Standing
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import CREATE, DELETE, UPDATE, Event, Group, Key, Window
from databinding.form import Form, UserKey
from databinding.holdings import Holdings
from databinding.journal import Keys, State
from databinding.positions import Position
from databinding.reading import Reader, Row
from databinding.watching import keys_of


class Page(NamedTuple):
    """Where a snapshot goes on whose rows are read from the database, page by page.

    `standing` is that of its beginning: its cursor is the one that counts, since a change to the
    rows of an earlier page is still to come as a batch.
    """

    standing: Standing
    after: Key | None = None


class Joined(NamedTuple):
    """A place in an audience: current up to ``frames.number`` once all is delivered.

    ``rest`` is what comes after ``frames`` where those are the beginning of a snapshot.
    """

    audience: Audience
    frames: Frames
    rest: Chunk | Page | None = None
    resumed: bool = False
    #: Whose place it is.
    user: UserKey = None


class Pass:
    """One read transaction, as jobs see it: one state of the database."""

    def __init__(
        self, holdings: Holdings, standing: Standing, reader: Reader, state: State
    ) -> None:
        self.holdings = holdings
        self.standing = standing
        self.reader = reader
        self.journal = reader.journal
        self.state = state
        self._met: set[Form] = set()
        self._since: dict[Position, Keys | None] = {}
        self._pages: dict[tuple[Audience, Key | None], list[Row]] = {}

    def audience(self, form: Form, groups: Iterable[str], limit: int | None = None) -> Audience:
        """The audience of these groups, loaded; of a binding with an order, so many rows of it."""
        names = names_of(form.binding, groups, limit)
        held = self.load(form, names)
        return self.holdings.open(held, names)

    def meet(self, forms: Iterable[Form]) -> None:
        """Somebody asks for these; whose rows they are then is read for all of them at once."""
        self._represent([self._meet(form) for form in forms])

    def _represent(self, forms: Iterable[Form]) -> None:
        self.reader.anew |= self.reader.represent(forms)

    def _meet(self, form: Form) -> Form:
        if form.personal and form not in self._met:
            self._met.add(form)
            # Nobody has looked after his rights while nobody was subscribed.
            self.holdings.forget_unused(form)
        held = self.holdings.held(form)
        held.visit(form)
        if held.vacant and self.holdings.rows[held].groups:
            self.reader.anew.add(held)
        return held

    def load(self, form: Form, names: Iterable[Group]) -> Form:
        """Hold these groups; whatever several jobs of one pass want is best loaded at once.

        Returns the form by which they are held.
        """
        held = self._meet(form)
        rows = self.holdings.rows[held]
        missing = [name for name in names if name not in rows.groups]
        if missing:
            self._represent([held])
            loaded = self.reader.load(held, rows, missing)
            for key in self.holdings.add(held, loaded):
                self.reader.owe(held, key)
        return held

    def join(
        self,
        form: Form,
        groups: Iterable[str],
        stream: str,
        *,
        limit: int | None = None,
        classic: bool = False,
        cursor: str | None = None,
    ) -> Joined:
        """Become a subscriber; `Relay.leave` the audience afterwards.

        A classic subscriber gets no frames to begin with, another one the batch that it missed
        since its cursor, or a snapshot.
        """
        audience = self.audience(form, groups, limit)
        joined = None
        if classic:
            joined = Joined(audience, Frames((), audience.number))
        elif cursor is not None:
            joined = self._resume(audience, stream, cursor)
        if joined is None:
            joined = self.snapshot(audience, stream)
        with self.holdings.lock:
            audience.doors[stream, classic] += 1
        audience.form.joined(form.asker)
        return joined._replace(user=form.asker)

    def between(self, before: Audience, after: Audience | None) -> list[Event]:
        """What takes a client from one audience to another, or to none; of rows that are held."""
        was = dict(before.items()) if before.held else {}
        now = dict(after.items()) if after is not None and after.held else {}
        gone = [Event(DELETE, key, was[key]) for key in was.keys() - now.keys()]
        there = [
            Event(UPDATE if key in was else CREATE, key, fragment)
            for key, fragment in now.items()
            if was.get(key) != fragment
        ]
        return gone + there

    def snapshot(self, audience: Audience, stream: str) -> Joined:
        """All rows of an audience: the first frame of them, and where it goes on."""
        rest: Chunk | Page | None
        if audience.held:
            (text, _), rest = audience.snapshot(stream, self.standing).frame()
        else:
            text, rest = self.page(audience, stream, Page(self.standing))
        return Joined(audience, Frames((text,), audience.number), rest)

    def page(self, audience: Audience, stream: str, page: Page) -> tuple[str, Page | None]:
        """The next frame of a large audience's snapshot, and where to go on (None: complete)."""
        size = settings.SNAPSHOT_CHUNK
        place = (audience, page.after)
        if place not in self._pages:
            self._pages[place] = self.reader.page(audience.form, page.after, size + 1)
        rows = self._pages[place]
        more = len(rows) > size
        cursor = protocol.NO_CURSOR if more else audience.cursor(stream, page.standing)
        items = ((row.key, row.fragment) for row in rows[:size] if row.fragment is not None)
        text = protocol.snapshot(stream, items, cursor)
        return text, page._replace(after=rows[size - 1].key) if more else None

    def _resume(self, audience: Audience, stream: str, cursor: str) -> Joined | None:
        """What was missed since a cursor; None if it isn't honoured, or a snapshot is cheaper."""
        position = audience.position_of(stream, cursor, self.state.epoch)
        if position is None or audience.windowed or audience.form.personal:
            # Keys that changed don't tell which rows a window showed, nor whose rights changed.
            return None
        if position not in self._since:
            honoured = self.journal.honours(position, self.state)
            limit = settings.BATCH_LIMIT
            self._since[position] = self.journal.keys_since(position, limit) if honoured else None
        keys = self._since[position]
        if keys is None:
            return None
        binding = audience.form.binding
        texts = keys_of(binding, keys, settings.BATCH_LIMIT)
        if None in texts:
            return None
        keep: list[Key] | None = None
        if binding.constant_groups() is None or not audience.form.sees_all() or not audience.groups:
            # A key tells that a row changed, not that this client ever saw it: who isn't there
            # now isn't named, but left out of what to keep.
            keep = list(audience.keys())
            if len(keep) > settings.BATCH_LIMIT:
                return None
        events = self._events(audience, [text for text in texts if text is not None])
        if keep is not None:
            events = [event for event in events if event.action != DELETE]
        batch = protocol.batch(stream, events, audience.cursor(stream, self.standing), keep)
        frames = Frames((batch,), audience.number, len(events))
        return Joined(audience, frames, resumed=True)

    def _events(self, audience: Audience, texts: list[str]) -> list[Event]:
        if not audience.held:
            change = self.reader.keys(audience.form, texts)
            there = [Event(UPDATE, row.key, row.fragment) for row in change.rows if row.fragment]
            return there + [Event(DELETE, key, None) for key in change.gone]
        events = []
        for text in texts:
            key = audience.form.binding.key_from_text(text)
            groups = audience.rows.index.get(key, ())
            if any(group in audience.groups for group in groups):
                events.append(Event(UPDATE, key, audience.rows.fragments[key]))
            else:
                events.append(Event(DELETE, key, None))
        return events


def names_of(
    binding: type[Binding], groups: Iterable[str], limit: int | None = None
) -> tuple[Group, ...]:
    """What is held for these groups: those in which the binding can have rows, or one window."""
    constant = binding.constant_groups()
    names = tuple(sorted(set(groups) if constant is None else constant.intersection(groups)))
    if binding.order_by and names:
        return (Window(names, binding.limit if limit is None else limit),)
    return names
