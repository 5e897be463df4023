"""A hint that a journal has grown. It may be lost, doubled or late without harm.

Writers ring (`ring_after_commit`); whoever reads the journal listens, in this process and, over
the channel layer, in others and on other hosts. What was written comes from the database alone,
and a reader that hears nothing looks by itself now and then.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections, transaction

from databinding.doorbell import channel_layer

_listeners: dict[str, Callable[[], None]] = {}


def listen(alias: str, listener: Callable[[], None]) -> None:
    """Have `listener` called, in any thread, when the doorbell of this database rings."""
    _listeners[alias] = listener
    if channel_layer.configured():
        channel_layer.carrier().listen(_ring_here)


def ring(alias: str) -> None:
    """Ring here and, soon, everywhere else. Neither raises nor waits; from any thread."""
    _ring_here(alias)
    if channel_layer.configured():
        channel_layer.carrier().ring(alias)


def ring_after_commit(alias: str) -> None:
    """Ring once the caller's transaction has committed; at once where there is none.

    Django's signals do this by themselves. After a statement that sends none (``update()``,
    ``bulk_create()``, raw SQL) it spares other processes the wait until they look.
    """
    if alias not in _listeners and not channel_layer.configured():
        return
    connection = connections[alias]
    if not (connection.in_atomic_block or connection.get_autocommit()):
        return  # Transactions are ended by hand, of which Django doesn't tell; they are polled for.
    waiting = connection.run_on_commit
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


def _ring_here(alias: str | None) -> None:
    """Ring for those of this process; None: whatever they listen to."""
    for name in list(_listeners) if alias is None else [alias]:
        listener = _listeners.get(name)
        if listener is not None:
            listener()
