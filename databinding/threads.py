"""Where the library asks the database for its clients: in a few threads of its own.

Channels' usual thread is one for a whole process: whoever waits there for a lock, or for a database
that hangs, has everybody else wait. Here others go on. What one stream asks is done in its order
all the same (`databinding.door`).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

from databinding.conf import settings

P = ParamSpec("P")
T = TypeVar("T")

_pool: ThreadPoolExecutor | None = None


def in_database(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same function for an event loop: it runs in one of DATABASE_THREADS."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="databinding_ask")
    asked: Callable[P, Awaitable[T]] = database_sync_to_async(
        work, thread_sensitive=False, executor=_pool
    )
    return asked


def _renew() -> None:
    """Begin anew in a process that was forked: the threads are its parent's."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
