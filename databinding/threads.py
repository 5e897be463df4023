"""Where the library asks the database for its clients: in a few threads of its own.

Channels' usual thread is one for a whole process: whoever waits there for a lock, or for a database
that hangs, has everybody else wait. Here others go on. What one stream asks is done in its order
all the same (`databinding.door`).

Django opens a connection for each request anew unless CONN_MAX_AGE says otherwise, which under ASGI
it had better not, since each request has a thread of its own. These threads stay, and so may their
connections (DATABASE_KEEP): opening one takes several times as long as most requests.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from threading import Barrier
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync
from django.db import connections

from databinding.conf import settings
from databinding.stray import caught

P = ParamSpec("P")
T = TypeVar("T")

Q = TypeVar("Q")

_asking: _Asking | None = None


def in_database(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same function for an event loop: it runs in one of DATABASE_THREADS."""
    global _asking
    if _asking is None:
        _asking = _Asking(settings.DATABASE_THREADS)
    return functools.partial(_asking, work)


class Together(Generic[Q, T]):
    """Questions that wait at the same time are answered by one call, in one of the threads.

    `answer` is given a list of them, and returns as many answers. For an event loop: await an
    instance called with a question. What `answer` raises everybody gets who asked.

    It runs in an empty context: a tenant, say, that a middleware keeps in a context variable would
    be one asker's, and not the others'.
    """

    #: Calls that may be on their way at once, of one event loop.
    CALLS = 2
    #: Seconds after which others wait no longer for a call, but have another one made. Until then
    #: they do, since few large calls cost less than many small ones.
    LONG = 0.1
    #: Questions of one call.
    MOST = 500

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[T]]) -> None:
        self._answer = answer
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()

    async def __call__(self, question: Q) -> T:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line()
        answer: asyncio.Future[T] = loop.create_future()
        line.waiting.append((question, answer))
        self._begin(line)
        return await answer

    def _begin(self, line: _Line) -> None:
        """Make a call, if it is time to."""
        if line.waiting and line.awaited is None and len(line.calls) < self.CALLS:
            # Not at once: others may be about to ask, too.
            loop = asyncio.get_running_loop()
            line.awaited = loop.create_task(self._call(line), context=Context())
            line.calls.add(line.awaited)

    async def _call(self, line: _Line) -> None:
        call = asyncio.current_task()
        asked, line.waiting[:] = line.waiting[: self.MOST], line.waiting[self.MOST :]
        long = asyncio.get_running_loop().call_later(self.LONG, self._go_on, line, call)
        try:
            await self._ask(asked)
        finally:
            # Not when the loop gets round to it: who asks before that would find nobody at it.
            long.cancel()
            line.calls.discard(call)
            line.leave(call)
        self._begin(line)

    def _go_on(self, line: _Line, call: asyncio.Task[None] | None) -> None:
        """Without waiting for this call any longer."""
        line.leave(call)
        self._begin(line)

    async def _ask(self, asked: Sequence[tuple[Q, asyncio.Future[T]]]) -> None:
        try:
            answers = await in_database(self._answer)([question for question, _ in asked])
            for (_, answer), found in zip(asked, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)
        except Exception as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)


class _Line:
    """Who waits in one event loop, and the calls that are on their way there."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self.calls: set[asyncio.Task[None] | None] = set()
        #: The call after which those who wait are asked for.
        self.awaited: asyncio.Task[None] | None = None

    def leave(self, call: asyncio.Task[None] | None) -> None:
        """Wait no longer for this call."""
        if self.awaited is call:
            self.awaited = None


def _call(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    return work(*args, **kwargs)


class _Asking(SyncToAsync[..., Any]):
    """Calls what it is given, in threads of its own.

    There is one for all that is asked: to make one takes a quarter of what a question takes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(size, thread_name_prefix="databinding_ask")
        super().__init__(_call, thread_sensitive=False, executor=self.pool)

    def thread_handler(self, *args: Any, **kwargs: Any) -> Any:
        _look_after()
        handle: Any = super().thread_handler
        try:
            return caught(lambda: handle(*args, **kwargs))
        finally:
            _look_after(used=True)


class _Kept(NamedTuple):
    """What is known of a connection that is open."""

    raw: Any
    opened: float
    #: The number of SQLite's file.
    file: int | None


def _look_after(*, used: bool = False) -> None:
    """Close what can't be used again; what has been `used` can be, for a while."""
    connection: Any
    for connection in connections.all(initialized_only=True):
        raw = connection.connection
        if raw is None:
            continue
        kept: _Kept | None = getattr(connection, "_databinding_kept", None)
        if kept is None or kept.raw is not raw:
            kept = connection._databinding_kept = _Kept(raw, time.monotonic(), file_of(connection))
        said = connection.settings_dict
        # A pool keeps connections itself; and a project may have said for how long.
        if used and said["CONN_MAX_AGE"] == 0 and not said["OPTIONS"].get("pool"):
            connection.close_at = kept.opened + settings.DATABASE_KEEP
            # The next time that it is used it is asked whether it still works.
            connection.health_check_enabled = True
        if _is_in_transaction(connection) or (
            kept.file is not None and file_of(connection) != kept.file
        ):
            connection.close()
        connection.close_if_unusable_or_obsolete()


def file_of(connection: Any) -> int | None:
    """Which file it is of: who has one open goes on with it, though another is in its place."""
    if connection.vendor != "sqlite":
        return None
    try:
        return os.stat(connection.settings_dict["NAME"]).st_ino
    except OSError:
        return None  # In memory, or gone.


def _is_in_transaction(connection: Any) -> bool:
    """Was one left open, past Django? What is written in it would never be committed."""
    if connection.vendor == "sqlite":
        return bool(connection.connection.in_transaction)
    info = getattr(connection.connection, "info", None)
    return bool(getattr(info, "transaction_status", 0))


def close_connections() -> None:
    """Close those of all threads. For tests, before their database goes."""
    if _asking is None:
        return
    together = Barrier(_asking.size + 1, timeout=10)

    def close() -> None:
        connections.close_all()
        together.wait()  # so that each thread does it

    for _ in range(_asking.size):
        _asking.pool.submit(close)
    together.wait()


def _renew() -> None:
    """Begin anew in a process that was forked: the threads are its parent's."""
    global _asking
    _asking = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
