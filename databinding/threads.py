"""Where the library asks the database for its clients: in a few threads of its own.

Channels' usual thread is one for a whole process: whoever waits there for a lock, or for a database
that hangs, has everybody else wait. Here others go on. What one stream asks is done in its order
all the same (`databinding.door`).

Django opens a connection for each request anew unless CONN_MAX_AGE says otherwise, which under ASGI
it had better not, since each request has a thread of its own. These threads stay, and so may their
connections (DATABASE_KEEP): opening one takes several times as long as most requests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync
from django.db import connections

from databinding.conf import settings

P = ParamSpec("P")
T = TypeVar("T")

_pool: ThreadPoolExecutor | None = None
_size = 0


def in_database(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same function for an event loop: it runs in one of DATABASE_THREADS."""
    global _pool, _size
    if _pool is None:
        _size = settings.DATABASE_THREADS
        _pool = ThreadPoolExecutor(_size, thread_name_prefix="databinding_ask")
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
    if _pool is None:
        return
    together = Barrier(_size + 1, timeout=10)

    def close() -> None:
        connections.close_all()
        together.wait()  # so that each thread does it

    for _ in range(_size):
        _pool.submit(close)
    together.wait()


def _renew() -> None:
    """Begin anew in a process that was forked: the threads are its parent's."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
