"""What the relay asks of a journal, whatever the database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import connections, transaction

from databinding.positions import Position


class State(NamedTuple):
    """The journal in one snapshot: its epoch, how far it is pruned, its newest position."""

    epoch: str
    pruned: int
    position: Position


#: Keys that changed, by model label; a None among them means any row of that model.
Keys = dict[str, set[str | None]]


class Journal(ABC):
    """The journal of one database, seen through the calling thread's connection."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = connections[alias]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: all that is read inside is one state of the database."""
        with transaction.atomic(using=self.alias, durable=True):
            yield

    @abstractmethod
    def grown(self) -> bool:
        """Has anything been committed since this was last asked? Cheap; outside a snapshot."""

    @abstractmethod
    def state(self) -> State | None:
        """The journal's state inside a snapshot; None where it has no epoch."""

    @abstractmethod
    def new_epoch(self) -> None:
        """Make every position and cursor given out so far void. Outside a snapshot."""

    @abstractmethod
    def honours(self, position: Position, state: State) -> bool:
        """Can this journal tell everything that came after the position?"""

    @abstractmethod
    def keys_since(self, position: Position, limit: int) -> Keys | None:
        """The keys of rows changed since an honoured position; None if more than `limit`."""

    @abstractmethod
    def prune(self, retention: float) -> int:
        """Record where the journal stands, and drop keys older than `retention` seconds.

        Returns how many were dropped. Outside a snapshot; never waits long for a writer.
        """
