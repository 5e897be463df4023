"""How the past of a value adds up. Pure.

A value holds until it changes, so what it was on average weighs each value by the time for which
it held; for how long nothing was known doesn't count. Times are seconds since 1970.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: A number, a text, or None: not known.
Known = float | str | None


class Item(NamedTuple):
    """A change, or the summary of a stretch in which there were some."""

    begin: float
    #: The same as `begin` for a change, of which the time until the next is still to come.
    end: float
    least: float | None
    most: float | None
    #: Over the `known` seconds of it; None for texts.
    mean: float | None
    known: float
    count: int
    #: What it was at the end.
    last: Known


def change(time: float, value: Known) -> Item:
    number = value if not isinstance(value, str) else None
    return Item(time, time, number, number, number, 0.0, 1, value)


def held(begin: float, end: float, value: Known) -> Item:
    """It did not change from here to there."""
    number = value if not isinstance(value, str) else None
    known = 0.0 if value is None else end - begin
    return Item(begin, end, number, number, number, known, 0, value)


def cut(item: Item, since: float) -> Item:
    """An item of which nothing was known any more from then on, though it says what held."""
    known = max(0.0, item.known - (item.end - max(since, item.begin)))
    least, most, mean = item.least, item.most, item.mean
    if since <= item.begin:
        least = most = mean = None
    elif mean is not None and known > 0:
        # Rounding must not carry it over the edge.
        mean = (mean * item.known - item.last * (item.known - known)) / known
        mean = min(max(mean, least), most)
    elif mean is not None:
        mean = (least + most) / 2
    return item._replace(
        least=least, most=most, mean=mean, known=known, count=item.count + 1, last=None
    )


def without_holes(items: Iterable[Item], begin: float, end: float, value: Known) -> Iterator[Item]:
    """The items, in their order, and between them what held; it begins with `value`."""
    at = begin
    for item in items:
        if item.begin > at:
            yield held(at, item.begin, value)
        yield item
        at, value = max(at, item.end), item.last
    if end > at:
        yield held(at, end, value)


@dataclass(slots=True)
class Bucket:
    """All that is to be said of one stretch of time."""

    least: float | None = None
    most: float | None = None
    total: float = 0.0
    #: Seconds for which a number was known; `total` is over these.
    numbered: float = 0.0
    known: float = 0.0
    count: int = 0
    last: Known = None

    @property
    def mean(self) -> float | None:
        if self.numbered > 0:
            # Rounding must not carry it over the edge.
            return min(max(self.total / self.numbered, self.least), self.most)
        return None if self.least is None else (self.least + self.most) / 2

    def take(self, item: Item, seconds: float) -> None:
        """Add so many known seconds of an item."""
        if item.least is not None:
            self.least = item.least if self.least is None else min(self.least, item.least)
            self.most = item.most if self.most is None else max(self.most, item.most)
        if item.mean is not None and seconds > 0:
            self.total += item.mean * seconds
            self.numbered += seconds
        self.known += seconds
        self.last = item.last


def add_up(items: Iterable[Item], begin: float, step: float, count: int) -> list[Bucket]:
    """What the items, one after another without holes, come to in `count` buckets.

    Of an item that crosses an edge each bucket gets its share of the time.
    """
    buckets = [Bucket() for _ in range(count)]
    for item in items:
        first = max(0, math.floor((item.begin - begin) / step))
        if first >= count:
            break
        buckets[first].count += item.count
        length = item.end - item.begin
        if length <= 0:
            buckets[first].take(item, item.known)
            continue
        for at in range(first, count):
            edge = begin + at * step
            share = min(item.end, edge + step) - max(item.begin, edge)
            if share <= 0:
                break
            buckets[at].take(item, item.known * share / length)
    return buckets


#: Widths of buckets that people can read, in seconds; beyond, whole days.
STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30),
    *(60, 120, 300, 600, 900, 1200, 1800),
    *(3600, 7200, 10800, 14400, 21600, 43200),
)
_DAY = 86400


def step_for(seconds: float, points: int, least: float = 0) -> float:
    """The finest step that needs no more than `points` buckets, and is at least so wide."""
    # One more is cut in two by the edges.
    needed = max(seconds / max(1, points - 1), least)
    return next((step for step in STEPS if step >= needed), math.ceil(needed / _DAY) * _DAY)
