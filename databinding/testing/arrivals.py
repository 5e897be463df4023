"""How long it takes from a commit to one client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from databinding.difference import Key
from databinding.testing.copy import Rows

#: Arrivals that are remembered of one row, for commits that are told of late.
REMEMBERED = 64


class _Commit(NamedTuple):
    pk: Key
    number: int
    at: float


class Arrivals:
    """The stamps that one client has seen; times in seconds of `time.monotonic`.

    Writers stamp rows of `stream`: their `field` takes growing numbers. `delay` is called with
    the time of each commit and of its arrival here, if the client was listening all the while.
    """

    def __init__(self, stream: str, field: str, delay: Callable[[float, float], None]) -> None:
        self.stream = stream
        self._field = field
        self._delay = delay
        self._since: float | None = None
        self._seen: dict[Key, deque[tuple[int, float]]] = {}
        self._waiting: list[_Commit] = []

    def listens(self, listening: bool, now: float) -> None:
        """From now on, what is committed should arrive soon; or it need not."""
        if not listening:
            self._since = None
            self._waiting.clear()
        elif self._since is None:
            self._since = now

    def committed(self, pk: Key, number: int, at: float) -> None:
        """A writer tells, after its commit, of the stamp."""
        if pk not in self._seen:
            # When this one arrived, or whether, is not known; from now on that is noted.
            self._seen[pk] = deque(maxlen=REMEMBERED)
            return
        if self._since is None or self._since > at:
            return
        for seen, arrived in self._seen[pk]:
            if seen >= number:
                self._delay(at, max(at, arrived))
                return
        self._waiting.append(_Commit(pk, number, at))

    def arrived(self, rows: Rows, now: float) -> None:
        """The client holds these rows now."""
        for pk, seen in self._seen.items():
            if pk in rows and (not seen or seen[-1][0] < rows[pk][self._field]):
                seen.append((rows[pk][self._field], now))
        still = []
        for commit in self._waiting:
            if commit.pk in rows and rows[commit.pk][self._field] >= commit.number:
                self._delay(commit.at, now)
            else:
                still.append(commit)
        self._waiting = still
