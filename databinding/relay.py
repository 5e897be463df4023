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
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, Protocol, TypeVar

from django.db import connections

from databinding import doorbell
from databinding.alarm import new_alarm
from databinding.audience import Audience, Door, Standing
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Group, Key
from databinding.form import Form, UserKey
from databinding.holdings import Holdings
from databinding.journal import Journal, Keys, State, open_journal
from databinding.locks import gave_up
from databinding.passes import Pass, names_of
from databinding.reading import DATABASE_AWAY, Change, Reader
from databinding.refreshes import Refreshes
from databinding.routers import consistent_reads
from databinding.statements import Statements
from databinding.stray import caught
from databinding.tally import RelayTally
from databinding.watching import keys_of

logger = logging.getLogger("databinding")

T = TypeVar("T")
A = TypeVar("A", contravariant=True)


#: Texts of keys that are to be read again, by form; None among them: all rows.
Owed = dict[Form, set[str | None]]


class DatabaseAway(Exception):
    """The database could not be asked in time."""


class Listener(Protocol):
    """Who wants to know of news; called in the relay's thread. False: never call again."""

    #: Seconds that it took to tell everybody of the last.
    took: float

    def publish(self, audiences: list[Audience]) -> bool: ...

    def refresh_cursors(self, audiences: list[Audience]) -> bool: ...


#: A form, groups of it that a job needs to be held, and how many rows of a window.
Wants = tuple[Form, Iterable[str], int | None]


class Answer(Protocol[A]):
    """Where the answer to a question goes; called in the relay's thread.

    A `concurrent.futures.Future` is one.
    """

    def done(self) -> bool:
        """Is it given, or does nobody wait for it any more?"""

    def set_result(self, result: A, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class _Job(Generic[T]):
    def __init__(self, work: Callable[[Pass], T], wants: Wants | None, answer: Answer[T]) -> None:
        self.work = work
        self.wants = wants
        self.answer = answer
        self.asked = time.monotonic()
        #: What it wants to be held had to be read anew first.
        self.postponed = False

    def run(self, in_pass: Pass) -> None:
        try:
            result = caught(lambda: self.work(in_pass))
        except Exception as error:
            in_pass.reader.raise_if_away(error)
            self.fail(DatabaseAway(str(error)) if gave_up(error) else error)
        else:
            try:
                self.answer.set_result(result)
            except InvalidStateError:
                pass  # Whoever asked has gone.

    def fail(self, error: BaseException) -> None:
        try:
            self.answer.set_exception(error)
        except InvalidStateError:
            pass


class Relay:
    """Reads one database for this process. Get it by `relay_for`."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.holdings = Holdings()
        self.tally = RelayTally()
        self._listeners: list[Listener] = []
        self._jobs: deque[_Job[Any]] = deque()
        self._departures: deque[tuple[Audience, Door, UserKey]] = deque()
        self._rereads: deque[Form] = deque()
        # What the thread sleeps on, and what it was woken for.
        self.alarm = new_alarm()
        self._rung = False
        self._asked = False
        self._starting = threading.Lock()
        #: Held while the thread asks the database.
        self.asking = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    # Called in any thread

    @property
    def running(self) -> bool:
        return self._thread is not None

    def submit(self, work: Callable[[Pass], T], wants: Wants | None = None) -> Future[T]:
        """Have something done in a pass that begins from now on.

        What jobs want to be held is loaded together for all jobs of a pass.
        """
        future: Future[T] = Future()
        self.put(work, wants, future)
        return future

    def put(self, work: Callable[[Pass], T], wants: Wants | None, answer: Answer[T]) -> None:
        """As `submit`, for who has something else to be answered by than a future."""
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name=f"databinding-{self.alias}", daemon=True
                )
                # It raises where there may be no more threads; the next job tries again.
                thread.start()
                self._thread = thread
            # Behind another that wants something it is woken for by that one, if not at once: see
            # `_Life.joins_after`.
            waking = not self._jobs or wants is None
            self._jobs.append(_Job(work, wants, answer))
        if wants is None:
            self._asked = True
        if waking:
            self.alarm.set()

    def listen(self, listener: Listener) -> None:
        with self._starting:
            if listener not in self._listeners:
                self._listeners = [*self._listeners, listener]

    def hangs(self, patience: float | None = None) -> bool:
        """Has the database been working on one question for as long as anybody waits for it?"""
        since = self.tally.asking_since
        limit = settings.DATABASE_TIMEOUT if patience is None else patience
        return since is not None and time.monotonic() - since > limit

    def reread(self, form: Form) -> None:
        """Have all rows of a form read again: another user's rights show others."""
        self._rereads.append(form)
        self._asked = True
        self.alarm.set()

    def leave(self, audience: Audience, door: Door, user: UserKey) -> None:
        """One subscription of this user less, at this door."""
        self._departures.append((audience, door, user))

    def stop(self, timeout: float = 10.0) -> None:
        """End the thread now, whoever is subscribed; the next job starts it anew. For tests."""
        thread = self._thread
        if thread is not None:
            self._stopping = True
            self.alarm.set()
            thread.join(timeout)
            self._stopping = False

    def _ring(self) -> None:
        self._rung = True
        self.alarm.set()

    # The thread

    def _run(self) -> None:
        doorbell.listen(self.alias, self._ring)
        try:
            life = _Life(self)
            with consistent_reads():
                while not self._ended(life):
                    life.turn()
        except BaseException as error:
            logger.exception("The relay of %s can't run.", self.alias)
            with self._starting:
                self.alarm.close()
                self._thread = None
                self._fail_jobs(error)
        finally:
            connections[self.alias].close()

    def _ended(self, life: _Life) -> bool:
        with self._starting:
            if not self._stopping and (self._jobs or not life.idle()):
                return False
            self.holdings.clear()
            self.tally.behind_since = None
            self.tally.owed = 0
            self._fail_jobs(DatabaseAway("The relay was stopped."))
            # Before another thread may begin, which watches by the same.
            self.alarm.close()
            self._thread = None
            return True

    def _fail_jobs(self, error: BaseException) -> None:
        while self._jobs:
            self._jobs.popleft().fail(error)

    def _tell(self, tell: Callable[[Listener], bool]) -> None:
        deaf = [listener for listener in self._listeners if not tell(listener)]
        if deaf:
            with self._starting:
                self._listeners = [one for one in self._listeners if one not in deaf]


class _Life:
    """The relay's thread from its start to its end."""

    #: Pauses between attempts while the database is away, in seconds.
    RETRY_FIRST, RETRY_MOST = 0.1, 2.0
    #: Pauses between attempts to read rows that can't be read, in seconds.
    OWED_FIRST, OWED_MOST = 0.25, 60.0
    #: Passes in which somebody joins that may follow each other at once.
    JOINS = 10
    #: Seconds of jobs in one pass.
    JOBS = 0.1
    #: Seconds until the journal is pruned further.
    PRUNE_ON = 0.1
    #: For this long after news, other processes' commits are looked for often.
    BUSY = 1.0
    #: Seconds of looking for them before whatever else is to be done has its turn.
    NAP = 0.25
    #: A file is written before that can be read: pauses in seconds until it may be.
    LOOKS = 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032
    #: After so many commits in succession of which the files' system told nothing, as one over a
    #: network may, it isn't relied on.
    DISTRUST = 3

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.journal: Journal = open_journal(relay.alias)
        self.statements = Statements(relay.alias)
        now = time.monotonic()
        self.last_news = now
        self.last_used = now
        self.prune_due = now + self._prune_pause()
        self.last_cursors = now
        self.last_unload = now
        self.pause_until = 0.0
        self.joins_paced = 0.0
        self.joins_after = 0.0
        self.retry = 0.0
        #: Something was committed, and no pass has read it.
        self.grown = False
        #: A file was written, and what that was is still to be looked for.
        self.announced = False
        #: Commits in succession that no watched file told of.
        self.unannounced = 0
        # Rows that could not be read, to be read again.
        self.owed: Owed = {}
        self.owed_pause = self.OWED_FIRST
        self.owed_due = 0.0
        # Forms with such rows that were read again in this pass.
        self.retried: set[Form] = set()
        # Those of which nothing was read, since nobody had their key; until somebody has.
        self.vacant: set[Form] = set()
        self.vacant_due = 0.0
        self.refreshes = Refreshes()
        # Bindings that this pass has read anew, and how long each took.
        self.refreshed: dict[Form, float] = {}

    def idle(self) -> bool:
        relay = self.relay
        while relay._departures:
            audience, door, user = relay._departures.popleft()
            audience.doors[door] -= 1
            audience.form.left(user)
        now = time.monotonic()
        if relay._jobs or relay.holdings.in_use():
            self.last_used = now
            return False
        return bool(now - self.last_used > settings.LINGER)

    def turn(self) -> None:
        """Wait until there is something to do, and do it."""
        relay = self.relay
        try:
            self._ask(self._keep_house)
            # A pass that failed is still owed: what told of the news then tells it only once.
            told = self.grown or self._ask(self.journal.grown)
            told = told or (relay._rung and not self.journal.misses_nothing)
            self.grown = False
            if told and relay.tally.behind_since is None:
                relay.tally.behind_since = time.monotonic()
            due = self._due() or self._refresh_due()
            if not (told or relay._asked or self._joins_due() or self.retry or due):
                self._nap()
                return
            pause = self.pause_until - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            relay._rung = relay._asked = False
            self._ask(self._pass)
        except BaseException as error:
            # Whatever it is: without this thread nobody is told anything.
            self._failed(error)
        else:
            if self.retry:
                logger.warning("The relay of %s is back.", relay.alias)
                self.retry = 0.0

    def _nap(self) -> None:
        """Wait until there may be something to do, or it is time to look.

        Most looks find nothing, a hundred times a second; so nothing but the look is done then.
        """
        relay, alarm = self.relay, self.relay.alarm
        now = time.monotonic()
        watched = self.unannounced < self.DISTRUST and alarm.watch(self.journal.files())
        busy = not watched and now - self.last_news < self.BUSY
        pause = settings.POLL_BUSY if busy else settings.POLL_REST
        until = now + self.NAP
        if relay._jobs:
            until = min(until, self.joins_after)
        if self.owed:
            until = min(until, self.owed_due)
        if (refresh := self.refreshes.next(relay.holdings.rows)) is not None:
            until = min(until, now + refresh[1])
        # Perhaps before this, and not to be read then.
        self.announced = alarm.written() or self.announced
        looks = iter(self.LOOKS if self.announced else ())
        while now < until and not self.grown:
            if alarm.wait(min(next(looks, pause), until - now)):
                return
            if alarm.written():
                self.announced = True
                looks = iter(self.LOOKS)
                # A long transaction may write all the while.
                time.sleep(max(0.0, self.LOOKS[0] - (time.monotonic() - now)))
            self.grown = self._ask(self.journal.grown)
            now = time.monotonic()
        if self.grown and watched:
            told = self.announced or alarm.written()
            self.unannounced = 0 if told else self.unannounced + 1
        self.announced = False

    def _joins_due(self) -> bool:
        return bool(self.relay._jobs) and time.monotonic() >= self.joins_after

    def _ask(self, question: Callable[[], T]) -> T:
        """A database that hangs doesn't even fail: for how long it has been asked is seen."""
        tally = self.relay.tally
        with self.relay.asking:
            tally.asking_since = time.monotonic()
            try:
                return question()
            finally:
                tally.asking_since = None

    def _failed(self, error: BaseException) -> None:
        relay = self.relay
        relay.tally.failures += 1
        if relay.tally.behind_since is None:
            relay.tally.behind_since = time.monotonic()
        if not self.retry:
            known = isinstance(error, DATABASE_AWAY)
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
        began, worked = time.monotonic(), time.thread_time()
        jobs = [relay._jobs.popleft() for _ in range(len(relay._jobs))]
        reader = Reader(self.journal, relay.holdings.rows, self.statements)
        self.refreshed.clear()
        try:
            with self.journal.snapshot():
                state = self.journal.state()
                if state is not None:
                    if self._advance(reader, state):
                        self.last_news = time.monotonic()
                    standing = Standing(state.epoch, state.position)
                    self._do(jobs, Pass(relay.holdings, standing, reader, state))
            if state is None:
                self.journal.new_epoch()
                relay._asked = True
        finally:
            unfinished = [job for job in jobs if not job.answer.done()]
            relay._jobs.extendleft(reversed(unfinished))
            relay._asked = relay._asked or any(job.wants is None for job in unfinished)
            # Also if the database went away while jobs were done: the news before them counts.
            self._owe(reader)
        for form, seconds in self.refreshed.items():
            self.refreshes.done(form, seconds)
        now = time.monotonic()
        took = now - began
        # Under load frames fill: a frame for each change would cost as many sends, and what has
        # taken long to send is better sent less often.
        telling = max((listener.took for listener in relay._listeners), default=0.0)
        worked = time.thread_time() - worked
        self.pause_until = now + min(5 * (worked + telling), settings.PASS_PAUSE)
        if any(job.wants is not None and job.answer.done() for job in jobs):
            # Where clients come in a crowd, as after a restart, as many as possible share a pass:
            # after a few at once, one each PASS_PAUSE. News don't wait for that; who comes with
            # their passes, however many these are, has nobody wait for longer.
            pause = settings.PASS_PAUSE
            self.joins_paced = min(max(now, self.joins_paced), now + self.JOINS * pause) + pause
            self.joins_after = self.joins_paced - self.JOINS * pause
        tally = relay.tally
        tally.passes += 1
        tally.durations.add(took)
        tally.last_pass = time.time()
        tally.behind_since = None

    def _do(self, jobs: list[_Job[Any]], this: Pass) -> None:
        """Do jobs for a while; those left over wait for the next pass, behind its news."""
        wants: dict[Form, set[Group]] = {}
        for job in jobs:
            if job.wants is not None:
                form, groups, limit = job.wants
                wants.setdefault(form, set()).update(names_of(form.binding, groups, limit))
        try:
            this.meet(wants)
        except Exception as error:
            this.reader.raise_if_away(error)  # As below.
        for form, names in wants.items():
            try:
                this.load(form, names)
            except Exception as error:
                this.reader.raise_if_away(error)  # The jobs will see the fault for themselves.
        until = time.monotonic() + self.JOBS
        for job in jobs:
            if job.wants is not None and job.wants[0] in this.reader.anew and not job.postponed:
                # What is held is of other rights, or of nobody's; the next pass begins with that.
                job.postponed = True
                continue
            if not job.answer.done():
                job.run(this)
            if time.monotonic() > until:
                break

    def _advance(self, reader: Reader, state: State) -> bool:
        """From the state that is held to this one; True if somebody has news."""
        holdings, tally = self.relay.holdings, self.relay.tally
        standing = Standing(state.epoch, state.position)
        retrying, refresh = self._due(), self._refresh_due()
        asked = [self.relay._rereads[place] for place in range(len(self.relay._rereads))]
        retrying |= {form: {None} for form in asked if form in holdings.rows}
        if holdings.standing == standing and not retrying and refresh is None:
            self._reread(len(asked))  # None of them is held any more.
            return False
        keys: Keys | None = {}
        if holdings.standing is not None:
            keys = self._keys_since(holdings.standing, state)
            tally.keys += sum(map(len, (keys or {}).values()))
        changes = list(self._read(reader, keys, retrying, refresh))
        news = holdings.advance(changes, standing, retrying.keys() - reader.faulty.keys())
        for form in retrying:
            self.owed.pop(form, None)
        self.retried |= retrying.keys()
        self._reread(len(asked))
        if news:
            self.relay._tell(lambda listener: listener.publish(news))
            if tally.behind_since is not None:
                tally.delays.add(time.monotonic() - tally.behind_since)
        return bool(news)

    def _reread(self, many: int) -> None:
        for _ in range(many):
            self.relay._rereads.popleft()

    def _keys_since(self, standing: Standing, state: State) -> Keys | None:
        if standing.epoch != state.epoch or not self.journal.honours(standing.position, state):
            logger.warning("The journal of %s is another one; asking anew.", self.relay.alias)
            return None
        return self.journal.keys_since(standing.position, settings.KEY_LIMIT)

    def _read(
        self,
        reader: Reader,
        keys: Keys | None,
        retrying: Owed,
        refresh: Form | None,
    ) -> Iterator[tuple[Form, Change]]:
        held = self.relay.holdings.rows
        # Of personal forms there are as many as users, of bindings a few.
        named: dict[type[Binding], set[str | None]] = {}
        touched: dict[Form, set[str | None]] = {}
        for form in held:
            binding = form.binding
            if keys is None:
                named[binding] = {None}
            elif binding not in named:
                named[binding] = keys_of(binding, keys, settings.KEY_LIMIT)
            texts = named[binding] | retrying.get(form, set())
            if texts or form == refresh:
                touched[form] = texts
        readable, stale = reader.represented(touched)
        for form, texts in touched.items():
            if form in stale or form.vacant:
                texts.add(None)
        for form, texts in touched.items():
            if form not in readable:
                continue
            if form.personal and form.user is None:
                continue  # Until somebody has the key again it stays as it was, for nobody.
            began = time.monotonic()
            try:
                if texts:
                    change = reader.change(form, texts, held[form])
                    yield form, change
                if None in texts:
                    self.relay.tally.refreshes += 1
                    self.refreshed[form] = time.monotonic() - began
                elif form == refresh:
                    compared = reader.compared(form, held[form])
                    yield form, compared
                    told = change.keys() if texts else set()
                    self._refreshed(form, compared.keys() - told, time.monotonic() - began)
            except Exception as error:
                reader.raise_if_away(error)
                logger.exception("%s can't be read.", form)
                reader.owe(form, None)

    def _refresh_due(self) -> Form | None:
        """The form whose turn it is to be read anew, though no key tells of a change."""
        holdings = self.relay.holdings
        found = self.refreshes.next(holdings.rows)
        if found is None or found[1] > 0:
            return None
        form, _ = found
        if holdings.comparable(form):
            return form
        self.refreshes.put_off(form)
        return None

    def _refreshed(self, form: Form, healed: set[Key], took: float) -> None:
        tally = self.relay.tally
        tally.scheduled.add(took)
        tally.healed += len(healed)
        self.refreshed[form] = took
        if healed:
            logger.info("%s: %d rows had changed of which no key told.", form, len(healed))

    def _due(self) -> Owed:
        """What is to be read again by now."""
        now = time.monotonic()
        due = dict(self.owed) if now >= self.owed_due else {}
        if self.vacant and now >= self.vacant_due:
            due |= {form: {None} for form in self.vacant}
        return due

    def _owe(self, reader: Reader) -> None:
        """Remember what could not be read, and when to try again: ever more seldom.

        What fails meanwhile puts it off no further. A binding that was well so far begins again
        with short pauses, for all of them: there it may be but a lock.
        """
        waiting = bool(self.owed)
        fresh = reader.faulty.keys() - self.owed.keys() - self.retried
        self.retried.clear()
        for form, texts in reader.faulty.items():
            owed = self.owed.setdefault(form, set())
            owed |= texts
            if len(owed) > settings.KEY_LIMIT:
                self.owed[form] = {None}
        if fresh:
            self.owed_pause = self.OWED_FIRST
        if fresh or (reader.faulty and not waiting):
            self.owed_pause = min(self.OWED_MOST, self.owed_pause * 2)
            due = time.monotonic() + self.owed_pause
            self.owed_due = min(self.owed_due, due) if waiting else due
        elif not self.owed:
            self.owed_pause = self.OWED_FIRST
        self.relay.tally.owed = sum(map(len, self.owed.values()))
        for form in reader.anew:
            self.relay.reread(form)
        held = self.relay.holdings.rows
        vacant = self.vacant | reader.vacant
        self.vacant = {form for form in vacant if form.vacant and form in held}
        if reader.vacant:
            self.vacant_due = time.monotonic() + settings.RIGHTS_INTERVAL

    @staticmethod
    def _prune_pause() -> float:
        return float(min(60.0, settings.RETENTION / 10))

    def _keep_house(self) -> None:
        relay = self.relay
        now = time.monotonic()
        if now - self.last_cursors > settings.CURSOR_INTERVAL:
            self.last_cursors = now
            # A client that hears nothing would in the end hold a cursor older than the journal.
            quiet = relay.holdings.quiet()
            if quiet:
                relay._tell(lambda listener: listener.refresh_cursors(quiet))
        if now - self.last_unload > settings.LINGER:
            self.last_unload = now
            relay.holdings.unload()
        if now > self.prune_due:
            self.prune_due = now + self._prune_pause()
            self._prune()

    def _prune(self) -> None:
        """Drop some old keys: a slice at a time, for news to have their turn in between."""
        alias = self.relay.alias
        try:
            dropped = self.journal.prune(settings.RETENTION, slices=1)
        except Exception as error:
            if not connections[alias].is_usable():
                raise
            # Where nothing can be written (the disk is full, say), reading still goes on.
            known = isinstance(error, DATABASE_AWAY)
            logger.error("Old keys of %s can't be dropped: %s", alias, error, exc_info=not known)
            return
        if dropped == self.journal.prune_slice:
            self.prune_due = time.monotonic() + self.PRUNE_ON
        if dropped:
            logger.debug("Dropped %d old keys from the journal of %s", dropped, alias)


_relays: dict[str, Relay] = {}
_making = threading.Lock()


#: Seconds for which a fork waits for a relay that asks the database.
_FORK_PATIENCE = 1.0
_held = threading.local()


def _hold() -> None:
    """Let no relay be in the middle of a question when the process is forked.

    What it has locked then, within SQLite or whatever else asks, would stay so in the child.
    """
    _held.relays = [relay for relay in relays() if relay.asking.acquire(timeout=_FORK_PATIENCE)]


def _let_go() -> None:
    for relay in _held.relays:
        relay.asking.release()


def _renew() -> None:
    """Begin anew in a process that was forked: the threads are its parent's."""
    global _making
    _relays.clear()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_renew)


def stop_relays() -> None:
    """Stop every relay of this process. For tests, before their database goes."""
    for relay in _relays.values():
        relay.stop()


def relays() -> list[Relay]:
    """Those of this process."""
    return list(_relays.values())


def relay_for(alias: str) -> Relay:
    """The relay of a database in this process."""
    with _making:
        if alias not in _relays:
            _relays[alias] = Relay(alias)
        return _relays[alias]
