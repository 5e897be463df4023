"""A database router for projects that send reads to a replica.

    DATABASE_ROUTERS = ["databinding.routers.ConsistentReads", "project.routers.Replicas"]

A replica is behind. The library itself reads where a model is written; but the code of bindings
follows relations (``instance.room``), serializers look up what they are given, and Django looks
up sessions and users, and all these ask the routers. This one answers, first of all, while the
library is at work: read where it is written. At any other time it says nothing.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from django.db import router
from django.db.models import Model

_consistent: ContextVar[bool] = ContextVar("databinding_consistent_reads", default=False)


class consistent_reads:
    """What is done inside, in this task or thread, reads where it writes."""

    # A generator would take half a KiB of each connection.
    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _consistent.set(True)

    def __exit__(self, *raised: object) -> None:
        # A coroutine whose loop is gone is closed in another context, where nothing was set.
        with suppress(ValueError):
            _consistent.reset(self._before)


class ConsistentReads:
    """To be the first of ``DATABASE_ROUTERS``."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return router.db_for_write(model, **hints) if _consistent.get() else None
