"""A hint that a journal has grown. It may be lost, doubled or late without harm.

Writers ring (`ring_after_commit`); whoever reads the journal listens. What was written comes from
the database alone, and a reader that hears nothing looks by itself now and then.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections, transaction

_listeners: dict[str, Callable[[], None]] = {}


def listen(alias: str, listener: Callable[[], None]) -> None:
    """Have `listener` called, in any thread, when the doorbell of this database rings."""
    _listeners[alias] = listener


def ring(alias: str) -> None:
    listener = _listeners.get(alias)
    if listener is not None:
        listener()


def ring_after_commit(alias: str) -> None:
    """Ring once the caller's transaction has committed; at once where there is none."""
    if alias not in _listeners:
        return
    waiting = connections[alias].run_on_commit
    # One ring per transaction. If the newest entry is a ring, it stands or falls with a savepoint
    # that is still open, and then we are inside it, or with one that has become part of ours.
    if waiting and isinstance(waiting[-1][1], _Ring):
        return
    transaction.on_commit(_Ring(alias), using=alias, robust=True)


class _Ring:
    """What is called after the commit; a class, so that it is recognised among others."""

    __slots__ = ("alias",)

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __call__(self) -> None:
        ring(self.alias)
