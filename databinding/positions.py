"""Positions in the history of commits, and the cursor that carries one in a client's hand.

A cursor is text; signing it is the caller's part (`databinding.audience`), so that this module
knows neither Django nor keys.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Position(NamedTuple):
    """A state of the database, as its journal names it.

    ``id`` and the random ``tag`` of the newest key that it covers are the *witness*: a journal
    that doesn't hold a key with this id and this tag isn't the one (any more) that the position
    was taken from; 0 and 0 say that there was none. On SQLite the id is the position, too; on
    PostgreSQL ``snapshot`` is, ``xmin:xmax:xip…``.
    """

    id: int
    tag: int
    snapshot: str = ""


class Snapshot(NamedTuple):
    """Which of PostgreSQL's transactions had ended: those below `xmax` but the `running` ones."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """What ``pg_current_snapshot()`` gives: ``xmin:xmax:xip,xip…``."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def ended(self, start: int = 0) -> list[tuple[int, int]]:
        """The ids from `start` on that had ended, in order, as spans: the first, and the one
        after the last."""
        edges = [start - 1, *sorted(one for one in self.running if one >= start), self.xmax]
        spans = [(below + 1, upto) for below, upto in pairwise(edges)]
        return [(first, end) for first, end in spans if first < end]


class InvalidCursor(ValueError):
    """The text isn't a cursor."""


class Cursor(NamedTuple):
    """Where a client of one audience stands: journal's epoch, audience's digest, position."""

    epoch: str
    audience: str
    position: Position

    def encode(self) -> str:
        key, tag, snapshot = self.position
        return f"{self.epoch}.{self.audience}.{key}.{tag}.{snapshot}"

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises `InvalidCursor`."""
        try:
            epoch, audience, key, tag, snapshot = text.split(".")
            return cls(epoch, audience, Position(int(key), int(tag), snapshot))
        except ValueError as error:
            raise InvalidCursor("This isn't a cursor.") from error
