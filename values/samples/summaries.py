"""Summaries of samples: what a value was in each minute and each hour in which it changed.

    from values.samples.summaries import keep_up
    keep_up()       # what is due, then forgets what is too old; settings.SAMPLES says what that is

A minute is summarised when it has been over for a while, and once more a bit later: a transaction
that commits `LATE` seconds after it wrote is missing in summaries, though not among the samples.

Time goes by in slices, and each slice by values in their order. What is read and reckoned locks
nobody out; what is written goes in short transactions, some hundred rows and how far that is
together. So it may end anywhere, by kill -9 too, and goes on from there; and whoever finds on
writing that another process has been faster leaves what he has read, and reads on from there.
"""

import time
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import NamedTuple

from django.conf import settings
from django.db.models import Exists, Min, OuterRef, Q

from databinding.keyset import Order
from databinding.parts import parts
from values.models import Description, Sample, SummarisedUntil, Summary
from values.samples.cutting import cut_short
from values.samples.history import SAMPLE, SUMMARY, as_change, as_item, at, just_at, last_kept
from values.samples.spans import add_up, without_holes
from values.samples.writing import BATCH, in_turn, put, summary

MINUTE, HOUR = 60, 3600
#: Seconds after its end at which a minute is summarised, and for which it is again.
GRACE, LATE = 5, 120
#: Seconds of the past in one slice.
_SLICE = {MINUTE: 600, HOUR: 6 * HOUR}
#: Rows read at a time, each time by asking for all of the slice.
_PAGE = 50_000
#: Rows to be dropped that are looked for at a time.
_DROP = 5_000


def keep_up(budget=20.0):
    """Summarise and forget, for `budget` seconds at most; what is left is done the next time.

    Returns how many summaries were made and how many samples and summaries were dropped.
    """
    deadline = time.monotonic() + budget
    now = time.time()
    made, dropped = cut_short(deadline), 0
    for width in (MINUTE, HOUR):
        while time.monotonic() < deadline and (slice := _due(width, now)):
            made += _summarise(slice, deadline)
    for step in (_drop_samples, _drop_minutes, _drop_hours, _drop_descriptions):
        while time.monotonic() < deadline:
            gone = step(now)
            dropped += gone
            if gone < _DROP:
                break
    return made, dropped


def until(width):
    """How far summaries of this width go, in seconds since 1970; None: there are none."""
    mark = SummarisedUntil.objects.filter(width=width).first()
    return None if mark is None else mark.time.timestamp()


# Summarising


class _Slice(NamedTuple):
    """A stretch of time that is worked on; times are seconds since 1970."""

    #: How far it was done when this was read.
    mark: SummarisedUntil
    begin: float
    end: float

    def claim(self, **done):
        """Say how far it is done now, in a transaction; False: somebody else has, meanwhile."""
        was = self.mark
        of_mark = SummarisedUntil.objects.filter(
            width=was.width, time=was.time, slice_end=was.slice_end, kind=was.kind, key=was.key
        )
        for name, value in done.items():
            setattr(was, name, value)
        return bool(of_mark.update(**done))


def _due(width, now):
    """The slice that is to be worked on, or to be finished; None: there is none."""
    if width == MINUTE:
        source, end = Sample.objects.all(), now - GRACE
    else:
        source, end = Summary.objects.filter(width=MINUTE), until(MINUTE)
        if end is None:
            return None
        end -= LATE
    end = _floor(end, width)
    mark = SummarisedUntil.objects.filter(width=width).first()
    if mark is None:
        first = source.aggregate(first=Min("time"))["first"]
        if first is None or (begin := _floor(first.timestamp(), width)) >= end:
            return None
        # There must be one, for only one of two to change it.
        mark, _ = SummarisedUntil.objects.get_or_create(width=width, defaults={"time": at(begin)})
    begin = mark.time.timestamp()
    if mark.slice_end is not None:
        end = mark.slice_end.timestamp()
    elif end <= begin:
        return None
    end = min(end, begin + _SLICE[width])
    return _Slice(mark, begin - (LATE if width == MINUTE else 0), end)


def _summarise(slice, deadline):
    """Summarise what is left of a slice; returns how many summaries were made of it."""
    made = 0
    found = []
    for value, summaries in _summaries(slice):
        found += summaries
        if len(found) >= BATCH:
            kind, key = value
            if not _write(slice, found, slice_end=at(slice.end), kind=kind, key=key):
                return made
            made += len(found)
            found = []
            if time.monotonic() >= deadline:
                return made
    if not _write(slice, found, time=at(slice.end), slice_end=None, kind="", key=0):
        return made
    return made + len(found)


def _write(slice, found, **done):
    """Write summaries, and that it is done so far; False: somebody else was faster."""
    with in_turn():
        if not slice.claim(**done):
            return False
        put(found)
    return True


def _summaries(slice):
    """The values of a slice that aren't done, as kind and key, each with its summaries."""
    width = slice.mark.width
    count = round((slice.end - slice.begin) / width)
    for value, rows in groupby(_items(slice), lambda row: row[:2]):
        first = next(rows)
        items = (item for _, _, _, item in chain((first,), rows))
        whole = without_holes(items, slice.begin, slice.end, first[2])
        buckets = add_up(whole, slice.begin, width, count)
        yield (
            value,
            [
                summary(*value, width, at(slice.begin + number * width), bucket)
                for number, bucket in enumerate(buckets)
                if bucket.count
            ],
        )


def _items(slice):
    """Kind, key, what it was when the slice begins, and item, of all that isn't done yet."""
    if slice.mark.width == MINUTE:
        rows, columns, item = Sample.objects.all(), SAMPLE, as_change
    else:
        rows, columns, item = Summary.objects.filter(width=MINUTE), SUMMARY, as_item
    rows = rows.filter(time__gte=at(slice.begin), time__lt=at(slice.end))
    for page in _pages(rows, columns, (slice.mark.kind, slice.mark.key)):
        for some in parts(page):
            first_of = {row[:2]: row[2] for row in reversed(some)}
            held = last_kept(rows.model, list(first_of.values()), slice.begin)
            for kind, key, _, *about in some:
                last = held.get(first_of[kind, key])
                before = last and last.value
                yield kind, key, before, item(*about)


def _pages(rows, columns, after):
    """Rows by value and time, some thousand at a time: kind, key, id, and these columns."""
    kind, key = after
    rows = rows.filter(Q(kind__gt=kind) | Q(kind=kind, key__gt=key))
    order = Order(rows.model, ["kind", "key", "time"])
    later = rows = order.of(rows)
    while page := list(later.values_list("kind", "key", "id", *columns)[:_PAGE]):
        yield page
        if len(page) < _PAGE:
            return
        kind, key, id, when, *_ = page[-1]
        later = order.after(rows, (kind, key, when, id))
        # To SQLite they may be later than a full second of which they are (`just_at`).
        later = later.exclude(just_at(when), kind=kind, key=key, id__lte=id)


def _floor(seconds, width):
    return seconds // width * width


# Forgetting


def _drop_samples(now):
    """Forget samples that are old enough, and summarised."""
    mark = until(MINUTE)
    if mark is None:
        return 0
    return _drop(
        Sample.objects.filter(time__lt=at(min(now - settings.SAMPLES["raw"], mark - LATE)))
    )


def _drop_minutes(now):
    mark = until(HOUR)
    if mark is None:
        return 0
    old = at(min(now - settings.SAMPLES["minutes"], mark))
    return _drop(Summary.objects.filter(width=MINUTE, time__lt=old))


def _drop_hours(now):
    """All but the last of each value: what it says may still hold."""
    hours = Summary.objects.filter(width=HOUR)
    later = hours.filter(kind=OuterRef("kind"), key=OuterRef("key"), time__gt=OuterRef("time"))
    old = datetime.fromtimestamp(now - settings.SAMPLES["hours"], UTC)
    return _drop(hours.filter(Exists(later), time__lt=old))


def _drop_descriptions(now):
    """Those that no moment of the retention asks for: others of before it came after them."""
    old = Description.objects.filter(time__lt=at(now - settings.SAMPLES["hours"]))
    later = old.filter(kind=OuterRef("kind"), key=OuterRef("key")).filter(
        Q(time__gt=OuterRef("time")) | Q(time=OuterRef("time"), id__gt=OuterRef("id"))
    )
    return _drop(old.filter(Q(name__isnull=True) | Exists(later)))


def _drop(rows):
    ids = list(rows.order_by("time").values_list("id", flat=True)[:_DROP])
    for some in parts(ids):
        with in_turn() as alias:
            rows.model.objects.filter(id__in=some)._raw_delete(alias)
    return len(ids)
