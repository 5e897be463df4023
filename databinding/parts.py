"""Lists cut into parts: keys, by as many as every database takes in one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")
F = TypeVar("F")

#: SQLite may have been built to take no more than 999 parameters.
_PARAMETERS: Final = 500


def parts(items: Iterable[T], size: int = _PARAMETERS) -> Iterator[list[T]]:
    """All of them in order, so many at a time (as `itertools.batched` of Python 3.12 does)."""
    every = list(items)
    return (every[start : start + size] for start in range(0, len(every), size))


def halved(
    items: list[T],
    ask: Callable[[list[T]], F],
    bear: Callable[[Exception], None],
    alone: Callable[[T, Exception], F],
) -> Iterator[F]:
    """What is found of all of them; where asking fails, of each half by itself, and so on.

    So what is at fault takes no others with it: of one `alone` says what stands in its place.
    `bear` raises what isn't the fault of any of them.
    """
    try:
        found = ask(items)
    except Exception as error:
        bear(error)
        if len(items) == 1:
            found = alone(items[0], error)
        else:
            middle = len(items) // 2
            for half in (items[:middle], items[middle:]):
                yield from halved(half, ask, bear, alone)
            return
    yield found
