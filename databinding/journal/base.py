"""What the relay asks of a journal, whatever the database."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from django.db import connections, transaction
from django.db.models import Max
from django.utils import timezone

from databinding import idempotency
from databinding.conf import settings
from databinding.models import Epoch, Mark
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

    #: Keys dropped in one transaction of a pruning.
    prune_slice: ClassVar[int]
    #: Does `grown` tell of every commit, as soon as it can be read?
    misses_nothing: ClassVar[bool] = False
    #: Does a transaction in which a statement has failed refuse all others until it is undone?
    refuses_after_failure: ClassVar[bool] = True

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = connections[alias]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: all that is read inside is one state of the database."""
        with transaction.atomic(using=self.alias, durable=True):
            yield

    @abstractmethod
    def append(self, keys: Sequence[tuple[str, str | None]]) -> None:
        """Journal keys in the caller's transaction: in one statement, however many."""

    @abstractmethod
    def grown(self) -> bool:
        """Has anything been committed since this was last asked? Cheap; outside a snapshot."""

    def files(self) -> Sequence[str]:
        """Files that a commit writes to, shortly before `grown` tells of it."""
        return ()

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

    @staticmethod
    def _gathered(found: Sequence[tuple[Any, ...]], limit: int) -> Keys | None:
        """What `keys_since` answers, of labels and keys of which one more than `limit` was read."""
        if len(found) > limit:
            return None
        keys: Keys = {}
        for label, key in found:
            keys.setdefault(label, set()).add(key)
        return keys

    def prune(self, retention: float, *, slices: float = math.inf) -> int:
        """Record where the journal stands, and drop keys older than `retention` seconds.

        Idempotency keys that are too old are forgotten, too, so many at most as a slice has.

        Returns how many were dropped, `slices` times `prune_slice` at most: what is left is dropped
        the next time. Outside a snapshot; never waits long for a writer.
        """
        now = timezone.now()
        idempotency.prune(self.alias, settings.IDEMPOTENCY_RETENTION, self.prune_slice)
        marks = Mark.objects.using(self.alias)
        epoch = Epoch.objects.using(self.alias).filter(id=1).first()
        horizon = self._horizon()
        newest = marks.order_by("-id").first()
        # A mark says that everything below it was decided by then, so what is dropped by it is
        # older than the retention, however late a transaction commits. Ten per retention keep
        # the error at a tenth.
        if newest is None or (
            newest.position != horizon
            and newest.recorded_at < now - timedelta(seconds=retention / 10)
        ):
            marks.create(position=horizon, recorded_at=now)
        old = marks.filter(recorded_at__lte=now - timedelta(seconds=retention))
        upto = old.aggregate(Max("position"))["position__max"] or 0
        if epoch is None:
            return 0
        if upto > epoch.pruned:
            Epoch.objects.using(self.alias).filter(id=1, pruned__lt=upto).update(pruned=upto)
            marks.filter(position__lt=upto).delete()
        upto = max(upto, epoch.pruned)
        dropped = 0
        while upto and slices > 0:
            slice_of = self._drop(upto)
            dropped += slice_of
            slices -= 1
            if slice_of < self.prune_slice:
                break
        return dropped

    @abstractmethod
    def _horizon(self) -> int:
        """Where the journal stands now: no key below it is still to come."""

    @abstractmethod
    def _drop(self, upto: int) -> int:
        """Drop keys below a mark, `prune_slice` at most, in a transaction of its own.

        The newest of them stays (on PostgreSQL: those of the newest transaction): it is the
        witness of the positions that were taken while it was the newest of all. Returns how many
        were dropped.
        """
