"""What a database says of itself to its operators, in bounded time, whatever it is doing.

It is asked in a thread of its own, on a connection of its own, so that nobody waits for a database
that hangs; and once for all who ask within a second, so that asking often costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from datetime import datetime
from typing import Final, Literal, NamedTuple

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from databinding import journal, triggers
from databinding.journal import State
from databinding.logs import harmless
from databinding.models import JournalEntry, Mark
from databinding.triggers import Drift

logger = logging.getLogger("databinding")

#: Seconds that anybody waits for an answer.
PATIENCE: Final = 2.0
#: Seconds for which an answer is good.
FRESH: Final = 1.0
#: Seconds after which a question that wasn't answered is asked once more, on another connection.
GIVE_UP: Final = 30.0

Condition = Literal["ok", "away", "not migrated"]


class Inspection(NamedTuple):
    """What was found. Below `condition` and `detail`, only if it is migrated."""

    alias: str
    condition: Condition
    #: What is wrong, in words that are for operators alone.
    detail: str = ""
    #: None: no relay has begun an epoch yet.
    state: State | None = None
    #: Ids of the oldest and newest key; None: the journal is empty.
    oldest: int | None = None
    newest: int | None = None
    #: The journal tells everything since then; None: it was never pruned.
    since: datetime | None = None
    drift: Drift = Drift((), (), ())

    @property
    def entries(self) -> int:
        """Keys in the journal, at most: ids of transactions that were rolled back count, too."""
        if self.oldest is None or self.newest is None:
            return 0
        return self.newest - self.oldest + 1


async def inspect(alias: str) -> Inspection:
    """For event loops."""
    answer = asyncio.wrap_future(_ask(alias))
    # Not `wait_for`: it would cancel what others wait for, too.
    await asyncio.wait({answer}, timeout=PATIENCE)
    return answer.result() if answer.done() else _no_answer(alias)


def inspect_now(alias: str) -> Inspection:
    """For other threads."""
    try:
        return _ask(alias).result(timeout=PATIENCE)
    except TimeoutError:
        return _no_answer(alias)


def _no_answer(alias: str) -> Inspection:
    return Inspection(alias, "away", f"no answer within {PATIENCE:g} s")


class _Question(NamedTuple):
    future: Future[Inspection]
    asked: float


_questions: dict[str, _Question] = {}
_asking = threading.Lock()
#: Databases that were found migrated: they stay so.
_migrated: set[str] = set()


def _ask(alias: str) -> Future[Inspection]:
    now = time.monotonic()
    with _asking:
        latest = _questions.get(alias)
        if latest is not None:
            old = now - latest.asked
            if old < FRESH or (old < GIVE_UP and not latest.future.done()):
                return latest.future
        future: Future[Inspection] = Future()
        _questions[alias] = _Question(future, now)
        threading.Thread(
            target=_answer, args=(alias, future), name=f"databinding-inspect-{alias}", daemon=True
        ).start()
        return future


def _answer(alias: str, future: Future[Inspection]) -> None:
    try:
        found = _look(alias)
    except Exception as error:
        logger.debug("Inspecting %s", alias, exc_info=True)
        said = harmless(error) or type(error).__name__
        found = Inspection(alias, "away", " ".join(said.split()).rstrip("."))
    finally:
        connections[alias].close()
    future.set_result(found)


def _look(alias: str) -> Inspection:
    if not journal.exists(alias):
        return Inspection(alias, "not migrated", "the journal's tables aren't there")
    if alias not in _migrated:
        missing = unapplied(alias)
        if missing:
            return Inspection(alias, "not migrated", f"to be applied: {', '.join(missing)}")
        _migrated.add(alias)
    opened = journal.open_journal(alias)
    with opened.snapshot():
        state = opened.state()
    ids = JournalEntry.objects.using(alias).values_list("id", flat=True)
    marks = Mark.objects.using(alias).values_list("recorded_at", flat=True)
    return Inspection(
        alias,
        "ok",
        state=state,
        oldest=ids.order_by("id").first(),
        newest=ids.order_by("-id").first(),
        since=marks.order_by("id").first(),
        drift=triggers.drift(alias),
    )


def unapplied(alias: str) -> list[str]:
    """The migrations that this code has and the database hasn't, as ``app.name``."""
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
