"""The one reader per database and process: a thread that turns the journal into news.

Woken by the doorbell, by another process's commit or by a request of its own process, it makes a
*pass*: in one read transaction it takes the keys journalled since its position and those rows,
applies them to what it holds (`databinding.difference`), and tells the event loops which
audiences have news. Whatever needs a state of the database - a subscription, a resume, a page's
first rows, "a reply follows its own effect" - is a job, done in a pass that began after it was
asked for; a thousand of them share one pass.

It starts with the first job and ends some time after the last subscriber has left. While the
database is away it goes on trying; nothing is lost by that, since its position stays.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, Protocol, TypeVar

from django.db import connections

from databinding import doorbell, protocol, reading
from databinding.audience import Audience, Frames, Standing
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import DELETE, UPDATE, Event, Key, Rows
from databinding.journal import Journal, Keys, State, open_journal
from databinding.positions import Position

logger = logging.getLogger("databinding")

T = TypeVar("T")


class DatabaseAway(Exception):
    """The database could not be asked in time."""


class Listener(Protocol):
    """Who wants to know of news; called in the relay's thread. False: never call again."""

    def publish(self, audiences: list[Audience]) -> bool: ...

    def refresh_cursors(self, audiences: list[Audience]) -> bool: ...


class Joined:
    """A place in an audience: current up to ``frames.number`` once ``frames`` are delivered.

    ``after`` is the key from which a paged snapshot goes on (see `Pass.page`), else None.
    """

    def __init__(
        self,
        relay: Relay,
        audience: Audience,
        frames: Frames,
        standing: Standing,
        *,
        resumed: bool = False,
        after: Key | None = None,
    ) -> None:
        self.relay = relay
        self.audience = audience
        self.frames = frames
        self.standing = standing
        self.resumed = resumed
        self.after = after


class _Job(Generic[T]):
    def __init__(self, work: Callable[[Pass], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()
        self.asked = time.monotonic()

    def run(self, in_pass: Pass) -> None:
        try:
            result = self.work(in_pass)
        except reading.DATABASE_AWAY:
            raise
        except Exception as error:
            self.fail(error)
        else:
            try:
                self.future.set_result(result)
            except InvalidStateError:
                pass  # Whoever asked has gone.

    def fail(self, error: Exception) -> None:
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            pass


class Relay:
    """Holds what this process knows of one database. Get it by `relay_for`.

    `lock` guards what is held (rows, audiences, `standing`). The relay takes it for as long as it
    takes to apply news in memory, never while it waits for the database; event loops only ever
    try it.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.lock = threading.Lock()
        self.standing: Standing | None = None
        self._number = 0
        self._rows: dict[type[Binding], Rows] = {}
        self._audiences: dict[tuple[type[Binding], tuple[str, ...]], Audience] = {}
        self._listeners: list[Listener] = []
        self._jobs: deque[_Job[Any]] = deque()
        self._departures: deque[Audience] = deque()
        self._rung = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        doorbell.listen(alias, self._rung.set)

    # Called in any thread

    @property
    def running(self) -> bool:
        return self._thread is not None

    def submit(self, work: Callable[[Pass], T]) -> Future[T]:
        """Have something done in a pass that begins from now on."""
        job = _Job(work)
        with self._starting:
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"databinding-{self.alias}", daemon=True
                )
                self._thread.start()
        self._rung.set()
        return job.future

    def listen(self, listener: Listener) -> None:
        with self._starting:
            if listener not in self._listeners:
                self._listeners = [*self._listeners, listener]

    def leave(self, audience: Audience) -> None:
        """One subscription less."""
        self._departures.append(audience)

    # The thread

    def _run(self) -> None:
        try:
            life = _Life(self)
            while not self._ended(life):
                life.turn()
        except BaseException:
            logger.exception("The relay of %s ended by a fault; it will start anew.", self.alias)
            with self._starting:
                self._thread = None
        finally:
            connections[self.alias].close()

    def _ended(self, life: _Life) -> bool:
        with self._starting:
            if self._jobs or not life.idle():
                return False
            with self.lock:
                self._rows.clear()
                self._audiences.clear()
                self.standing = None
            self._thread = None
            return True

    def _tell(self, tell: Callable[[Listener], bool]) -> None:
        deaf = [listener for listener in self._listeners if not tell(listener)]
        if deaf:
            with self._starting:
                self._listeners = [one for one in self._listeners if one not in deaf]


class _Life:
    """The relay's thread from its start to its end."""

    #: Pauses between attempts while the database is away, in seconds.
    RETRY_FIRST, RETRY_MOST = 0.1, 2.0
    #: For this long after news, other processes' commits are looked for often.
    BUSY = 1.0

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.journal: Journal = open_journal(relay.alias)
        now = time.monotonic()
        self.last_news = now
        self.last_used = now
        self.last_prune = now
        self.last_cursors = now
        self.last_unload = now
        self.pause_until = 0.0
        self.retry = 0.0

    def idle(self) -> bool:
        relay = self.relay
        while relay._departures:
            relay._departures.popleft().users -= 1
        now = time.monotonic()
        if relay._jobs or any(audience.users for audience in relay._audiences.values()):
            self.last_used = now
            return False
        return bool(now - self.last_used > settings.LINGER)

    def turn(self) -> None:
        """Wait until there is something to do, and do it."""
        relay = self.relay
        try:
            self._keep_house()
            if not (self.journal.grown() or relay._rung.is_set() or relay._jobs):
                busy = time.monotonic() - self.last_news < self.BUSY
                relay._rung.wait(settings.POLL_BUSY if busy else settings.POLL_REST)
                return
            pause = self.pause_until - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            relay._rung.clear()
            self._pass()
        except Exception as error:
            self._failed(error)
        else:
            if self.retry:
                logger.warning("The relay of %s is back.", relay.alias)
                self.retry = 0.0

    def _failed(self, error: Exception) -> None:
        relay = self.relay
        if not self.retry:
            known = isinstance(error, reading.DATABASE_AWAY)
            logger.error("The relay of %s: %s", relay.alias, error, exc_info=not known)
        self.retry = min(self.RETRY_MOST, self.retry * 2 or self.RETRY_FIRST)
        try:
            connections[relay.alias].close()
        except Exception:
            logger.debug("Closing the relay's connection", exc_info=True)
        limit = time.monotonic() - settings.DATABASE_TIMEOUT
        while relay._jobs and relay._jobs[0].asked < limit:
            relay._jobs.popleft().fail(DatabaseAway("The database is away; try again."))
        time.sleep(self.retry)

    def _pass(self) -> None:
        relay = self.relay
        began = time.monotonic()
        jobs = [relay._jobs.popleft() for _ in range(len(relay._jobs))]
        try:
            with self.journal.snapshot():
                state = self.journal.state()
                if state is not None:
                    if self._advance(state):
                        self.last_news = time.monotonic()
                    this = Pass(relay, self.journal, state)
                    for job in jobs:
                        if not job.future.cancelled():
                            job.run(this)
            if state is None:
                self.journal.new_epoch()
                relay._rung.set()
        finally:
            unfinished = [job for job in jobs if not job.future.done()]
            relay._jobs.extendleft(reversed(unfinished))
        took = time.monotonic() - began
        self.pause_until = time.monotonic() + min(3 * took, settings.PASS_PAUSE)

    def _advance(self, state: State) -> bool:
        """From the state that is held to this one; True if somebody has news."""
        relay = self.relay
        standing = Standing(state.epoch, state.position)
        if relay.standing == standing:
            return False
        keys: Keys | None = {}
        if relay.standing is not None:
            keys = self._keys_since(relay.standing, state)
        changes = list(self._read(keys))
        with relay.lock:
            before = {
                audience: audience.number
                for audience in relay._audiences.values()
                if any(audience.binding is binding for binding, _ in changes)
            }
            relay._number += 1
            changed: set[tuple[type[Binding], str]] = set()
            for binding, change in changes:
                rows = relay._rows[binding]
                change.apply(rows, relay._number)
                changed.update((binding, group) for group in rows.take_changed())
            relay.standing = standing
            news = [
                audience
                for audience in before
                if any((audience.binding, group) in changed for group in audience.groups)
            ]
            for audience in news:
                audience.changed()
                audience.told = standing.position
                for stream, classic in audience.doors:
                    audience.frames(stream, classic, before[audience], standing)
        if news:
            relay._tell(lambda listener: listener.publish(news))
        return bool(news)

    def _keys_since(self, standing: Standing, state: State) -> Keys | None:
        if standing.epoch != state.epoch or not self.journal.honours(standing.position, state):
            logger.warning("The journal of %s is another one; asking anew.", self.relay.alias)
            return None
        return self.journal.keys_since(standing.position, settings.KEY_LIMIT)

    def _read(self, keys: Keys | None) -> Iterable[tuple[type[Binding], reading.Change]]:
        for binding, rows in self.relay._rows.items():
            texts = None if keys is None else keys.get(binding.concrete_label(), ())
            if texts is None or None in texts:
                yield binding, reading.read_all(binding, rows.held())
            elif texts:
                yield binding, reading.read_keys(binding, texts)  # type: ignore[arg-type]

    def _keep_house(self) -> None:
        relay = self.relay
        now = time.monotonic()
        if now - self.last_cursors > settings.CURSOR_INTERVAL:
            self.last_cursors = now
            self._refresh_cursors()
        if now - self.last_unload > settings.LINGER:
            self.last_unload = now
            self._unload()
        if now - self.last_prune > min(60.0, settings.RETENTION / 10):
            self.last_prune = now
            dropped = self.journal.prune(settings.RETENTION)
            if dropped:
                logger.debug("Dropped %d old keys from the journal of %s", dropped, relay.alias)

    def _refresh_cursors(self) -> None:
        """A client that hears nothing would in the end hold a cursor older than the journal."""
        relay = self.relay
        with relay.lock:
            if relay.standing is None:
                return
            position = relay.standing.position
            quiet = [one for one in relay._audiences.values() if one.told != position]
            for audience in quiet:
                audience.told = position
        if quiet:
            relay._tell(lambda listener: listener.refresh_cursors(quiet))

    def _unload(self) -> None:
        """Forget the rows of groups that nobody has subscribed to since the last time."""
        relay = self.relay
        with relay.lock:
            for place, audience in list(relay._audiences.items()):
                if audience.users:
                    audience.idle = False
                elif not audience.idle:
                    audience.idle = True
                else:
                    del relay._audiences[place]
            for binding, rows in relay._rows.items():
                used = {
                    group
                    for audience in relay._audiences.values()
                    if audience.binding is binding
                    for group in audience.groups
                }
                for group in rows.groups.keys() - used:
                    rows.unload(group)


class Pass:
    """One read transaction, as jobs see it: one state of the database."""

    def __init__(self, relay: Relay, journal: Journal, state: State) -> None:
        self.relay = relay
        self.journal = journal
        self.state = state
        assert relay.standing is not None
        self.standing = relay.standing
        self._since: dict[Position, Keys | None] = {}
        self._pages: dict[tuple[Audience, Key | None], list[reading.Row]] = {}

    def audience(self, binding: type[Binding], groups: Iterable[str]) -> Audience:
        """The audience of these groups, loaded."""
        relay = self.relay
        constant = binding.constant_groups()
        wanted = tuple(sorted(set(groups) if constant is None else constant.intersection(groups)))
        audience = relay._audiences.get((binding, wanted))
        if audience is not None:
            return audience
        rows = relay._rows.get(binding) or Rows()
        missing = [group for group in wanted if group not in rows.groups]
        loaded = reading.load(binding, rows, missing) if missing else {}
        with relay.lock:
            for group, found in loaded.items():
                if found is None:
                    rows.load_recent(group, relay._number)
                else:
                    rows.load(group, relay._number, found)
            relay._rows[binding] = rows
            audience = Audience(binding, wanted, rows)
            audience.told = self.standing.position
            relay._audiences[binding, wanted] = audience
        return audience

    def join(
        self,
        binding: type[Binding],
        groups: Iterable[str],
        stream: str,
        *,
        classic: bool = False,
        cursor: str | None = None,
    ) -> Joined:
        """Become a subscriber; `Relay.leave` the audience afterwards.

        A classic subscriber gets no frames to begin with, another one the batch that it missed
        since its cursor, or a snapshot.
        """
        audience = self.audience(binding, groups)
        joined = None
        if classic:
            joined = Joined(self.relay, audience, Frames((), audience.number), self.standing)
        elif cursor is not None:
            joined = self._resume(audience, stream, cursor)
        if joined is None:
            joined = self.snapshot(audience, stream)
        with self.relay.lock:
            audience.users += 1
            audience.doors.add((stream, classic))
        return joined

    def snapshot(self, audience: Audience, stream: str) -> Joined:
        """All rows of an audience, or the first page of them."""
        if audience.held:
            with self.relay.lock:
                frames = audience.snapshot(stream, self.standing)
            return Joined(self.relay, audience, frames, self.standing)
        text, after = self.page(audience, stream, None, self.standing)
        frames = Frames((text,), audience.number)
        return Joined(self.relay, audience, frames, self.standing, after=after)

    def page(
        self, audience: Audience, stream: str, after: Key | None, standing: Standing
    ) -> tuple[str, Key | None]:
        """The next frame of a large audience's snapshot, and where to go on (None: complete).

        `standing` is that of the snapshot's beginning: its cursor is the one that counts, since
        a change to the rows of an earlier page is still to come as a batch.
        """
        size = settings.SNAPSHOT_CHUNK
        place = (audience, after)
        if place not in self._pages:
            self._pages[place] = reading.read_page(audience.binding, after, size + 1)
        rows = self._pages[place]
        more = len(rows) > size
        cursor = None if more else audience.cursor(stream, standing)
        items = ((row.key, row.fragment) for row in rows[:size] if row.fragment is not None)
        text = protocol.snapshot_chunk(stream, items, cursor)
        return text, rows[size - 1].key if more else None

    def _resume(self, audience: Audience, stream: str, cursor: str) -> Joined | None:
        """What was missed since a cursor; None if it isn't honoured, or a snapshot is cheaper."""
        position = audience.position_of(stream, cursor, self.state.epoch)
        if position is None:
            return None
        if position not in self._since:
            honoured = self.journal.honours(position, self.state)
            limit = settings.BATCH_LIMIT
            self._since[position] = self.journal.keys_since(position, limit) if honoured else None
        keys = self._since[position]
        if keys is None:
            return None
        binding = audience.binding
        texts = keys.get(binding.concrete_label(), set())
        if None in texts:
            return None
        keep: list[Key] | None = None
        if binding.constant_groups() is None:
            # A key tells that a row changed, not that this client ever saw it: who isn't there
            # now isn't named, but left out of what to keep.
            keep = list(audience.keys())
            if len(keep) > settings.BATCH_LIMIT:
                return None
        events = self._events(audience, [text for text in texts if text is not None])
        if keep is not None:
            events = [event for event in events if event.action != DELETE]
        batch = protocol.batch(stream, events, audience.cursor(stream, self.standing), keep)
        frames = Frames((batch,), audience.number)
        return Joined(self.relay, audience, frames, self.standing, resumed=True)

    def _events(self, audience: Audience, texts: list[str]) -> list[Event]:
        if not audience.held:
            change = reading.read_keys(audience.binding, texts)
            there = [Event(UPDATE, row.key, row.fragment) for row in change.rows if row.fragment]
            return there + [Event(DELETE, key, None) for key in change.gone]
        events = []
        for text in texts:
            key = audience.binding.key_from_text(text)
            groups = audience.rows.index.get(key, ())
            if any(group in audience.groups for group in groups):
                events.append(Event(UPDATE, key, audience.rows.fragments[key]))
            else:
                events.append(Event(DELETE, key, None))
        return events


_relays: dict[str, Relay] = {}
_making = threading.Lock()


def relay_for(alias: str) -> Relay:
    """The relay of a database in this process."""
    with _making:
        if alias not in _relays:
            _relays[alias] = Relay(alias)
        return _relays[alias]
