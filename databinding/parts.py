"""Lists cut into parts: keys, by as many as every database takes in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

#: SQLite may have been built to take no more than 999 parameters.
_PARAMETERS: Final = 500


def parts(items: Iterable[T], size: int = _PARAMETERS) -> Iterator[list[T]]:
    """All of them in order, so many at a time (as `itertools.batched` of Python 3.12 does)."""
    every = list(items)
    return (every[start : start + size] for start in range(0, len(every), size))
