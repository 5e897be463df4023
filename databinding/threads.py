"""Where the library asks the database for its clients: in a few threads of its own.

Channels' usual thread is one for a whole process: whoever waits there for a lock, or for a database
that hangs, has everybody else wait. Here others go on. What one stream asks is done in its order
all the same (`databinding.door`).

Django opens a connection for each request anew unless CONN_MAX_AGE says otherwise, which under ASGI
it had better not, since each request has a thread of its own. These threads stay, and so may their
connections: opening one takes several times as long as most requests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync
from django.db import connections

from databinding.conf import settings

P = ParamSpec("P")
T = TypeVar("T")

_pool: ThreadPoolExecutor | None = None
#: A mark for each thread of the pool.
_begun: list[None] = []


def in_database(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same function for an event loop: it runs in one of DATABASE_THREADS."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(
            settings.DATABASE_THREADS,
            thread_name_prefix="databinding_ask",
            initializer=_begun.append,
            initargs=(None,),
        )
    asked: Callable[P, Awaitable[T]] = _Asking(work, thread_sensitive=False, executor=_pool)
    return asked


class _Asking(SyncToAsync[P, T]):
    def thread_handler(self, *args: Any, **kwargs: Any) -> Any:
        _look_after()
        handle: Any = super().thread_handler
        try:
            return handle(*args, **kwargs)
        finally:
            _look_after(used=True)


def _look_after(*, used: bool = False) -> None:
    """Close what can't be used again; what has been `used` can be, for a while."""
    connection: Any
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        asked = connection.settings_dict
        # A pool keeps connections itself; and a project may have said for how long.
        if not asked["CONN_MAX_AGE"] and asked["CONN_MAX_AGE"] is not None:
            if used and not asked["OPTIONS"].get("pool"):
                connection.close_at = time.monotonic() + settings.DATABASE_KEEP
            # The next time that it is used it is asked whether it still works.
            connection.health_check_enabled = True
        if _is_of_another_file(connection):
            connection.close()
        connection.close_if_unusable_or_obsolete()


def _is_of_another_file(connection: Any) -> bool:
    """Was SQLite's file replaced, as by a restored copy? Who has it open would go on with it."""
    if connection.vendor != "sqlite":
        return False
    try:
        found = os.stat(connection.settings_dict["NAME"]).st_ino
    except OSError:
        return False  # In memory, or away for a moment.
    opened, file = getattr(connection, "_databinding_file", (None, found))
    connection._databinding_file = connection.connection, found
    return opened is connection.connection and file != found


def close_connections() -> None:
    """Close those of all threads. For tests, before their database goes."""
    if _pool is None:
        return
    together = Barrier(len(_begun) + 1, timeout=10)

    def close() -> None:
        connections.close_all()
        together.wait()  # so that each thread does it

    for _ in range(len(_begun)):
        _pool.submit(close)
    together.wait()


def _renew() -> None:
    """Begin anew in a process that was forked: the threads are its parent's."""
    global _pool
    _pool = None
    _begun.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
