"""Positions in the history of commits, and the cursor that carries one in a client's hand.

A cursor is text; signing it is the caller's part (`databinding.audience`), so that this module
knows neither Django nor keys.
"""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """The newest journal key that a state of the database covers.

    ``id`` and the random ``tag`` together are the *witness*: a journal that doesn't hold a key
    with this id and this tag isn't the one (any more) that the position was taken from.
    ``(0, 0)`` is the position before the first key.
    """

    id: int
    tag: int


class InvalidCursor(ValueError):
    """The text isn't a cursor."""


class Cursor(NamedTuple):
    """Where a client of one audience stands: journal's epoch, audience's digest, position."""

    epoch: str
    audience: str
    position: Position

    def encode(self) -> str:
        return f"{self.epoch}.{self.audience}.{self.position.id}.{self.position.tag}"

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises `InvalidCursor`."""
        try:
            epoch, audience, key, tag = text.split(".")
            return cls(epoch, audience, Position(int(key), int(tag)))
        except ValueError as error:
            raise InvalidCursor("This isn't a cursor.") from error
