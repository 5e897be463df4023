"""What a value was: any stretch of time, in about as many points as are asked for.

Fine points come from samples, coarse ones from summaries of minutes and hours, where there are
some, and from samples where there are none yet. What a value holds is known until somebody changes
it, deletes it, or its source has been silent for too long.
"""

import time
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NamedTuple

from django.conf import settings
from django.db.models import Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from databinding.legible import legible
from databinding.parts import parts
from values.models import Description, Sample, SummarisedUntil, Summary
from values.samples.kinds import KINDS
from values.samples.silence import due
from values.samples.spans import Item, add_up, change, held, step_for, without_holes

MINUTE, HOUR = 60, 3600
#: Samples that one answer is made of; of more than that, summaries are.
MOST_SAMPLES = 50_000


class History(NamedTuple):
    """`count` buckets of `step` seconds each, the first of them from `begin`."""

    begin: float
    step: float
    #: "samples", "minutes" or "hours": what it is made of.
    source: str
    buckets: list


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def up_to(when):
    """Of that time or before.

    SQLite compares texts: of a full second its triggers write `…:05.000000`, which is later than
    the `…:05` that Django asks for.
    """
    return Q(time__lt=when + timedelta(microseconds=1))


def just_at(when):
    """Of that time alone, whichever text it is."""
    return Q(time__gte=when) & up_to(when)


def history(kind, keys, begin, end, points):
    """The histories of these values, by their keys; all in the same buckets.

    Of a value that never was nothing is known.
    """
    now = time.time()
    step = step_for(end - begin, points, _finest(kind, keys, begin, end, now))
    width = HOUR if step >= HOUR else MINUTE if step >= MINUTE else 0
    begin = begin // step * step
    count = max(1, -int((begin - end) // step))
    end = min(begin + count * step, max(now, begin))
    items = {key: [] for key in keys}
    for key, item in _items(kind, keys, begin, end, width):
        items[key].append(item)
    until_when = silent(kind, keys, now)
    before = _values_at(kind, keys, begin)
    found = {}
    for key in keys:
        until = max(begin, min(end, until_when.get(key, end)))
        whole = without_holes(items[key], begin, until, before.get(key))
        if until < end:
            whole = chain(whole, [held(until, end, None)])
        found[key] = History(begin, step, SOURCES[width], add_up(whole, begin, step, count))
    return found


SOURCES = {0: "samples", MINUTE: "minutes", HOUR: "hours"}


def kept_since(seconds, now):
    """The width of the finest that is still there of that time."""
    if seconds < now - settings.SAMPLES["minutes"]:
        return HOUR
    return MINUTE if seconds < now - settings.SAMPLES["raw"] else 0


def _finest(kind, keys, begin, end, now):
    """The same of a stretch, if it isn't too much."""
    if width := kept_since(begin, now):
        return width
    rows = _of(Sample.objects.filter(time__gte=at(begin), time__lt=at(end)), kind, keys)
    return MINUTE if rows[: MOST_SAMPLES + 1].count() > MOST_SAMPLES else 0


def _items(kind, keys, begin, end, width):
    """Summaries as coarse as will do, as far as there are any, then finer ones, then samples."""
    marks = dict(SummarisedUntil.objects.values_list("width", "time"))
    for summary in (HOUR, MINUTE):
        if summary <= width and summary in marks:
            until = min(marks[summary].timestamp(), end) // summary * summary
            if until > begin:
                yield from summaries(summary, begin, until, kind, keys)
                begin = until
    yield from changes(begin, end, kind, keys)


#: Of samples and of summaries, what `as_change` and `as_item` take.
SAMPLE = ("time", "number", "text")
SUMMARY = ("time", "width", "least", "most", "mean", "known", "count", "number", "text")


def as_change(when, number, text):
    return change(when.timestamp(), number if text is None else text)


def as_item(when, width, least, most, mean, known, count, number, text):
    begin = when.timestamp()
    last = number if text is None else text
    return Item(begin, begin + width, least, most, mean, known, count, last)


def changes(begin, end, kind, keys):
    """Key and item of each sample in that time, those of one value after another."""
    rows = _of(Sample.objects.filter(time__gte=at(begin), time__lt=at(end)), kind, keys)
    rows = rows.order_by("key", "time", "id")
    for key, *columns in rows.values_list("key", *SAMPLE):
        yield key, as_change(*columns)


def summaries(width, begin, end, kind, keys):
    """The same of the summaries of one width."""
    rows = Summary.objects.filter(width=width, time__gte=at(begin), time__lt=at(end))
    rows = _of(rows, kind, keys).order_by("key", "time")
    for key, *columns in rows.values_list("key", *SUMMARY):
        yield key, as_item(*columns)


def _of(rows, kind, keys):
    return rows.filter(kind=kind, key__in=keys)


def _values_at(kind, keys, seconds):
    """What values were at that time, as far as that is kept, by their keys."""
    # Whatever has a past has been described.
    described = {}
    for some in parts(keys):
        rows = Description.objects.filter(kind=kind, key__in=some).values("key")
        described.update(rows.annotate(first=Min("id")).values_list("first", "key"))
    last = last_kept(Description, list(described), seconds)
    return {described[id]: kept.value for id, kept in last.items()}


def last_kept(model, ids, seconds):
    """Of many values: the last sample of then or before, else the last summary that had ended.

    By the ids of these rows of a model that says kind and key, as far as there is one.
    """
    of_value = {"kind": OuterRef("kind"), "key": OuterRef("key")}
    samples = Sample.objects.filter(up_to(at(seconds)), **of_value).order_by("-time", "-id")

    def last(width):
        ended = Summary.objects.filter(up_to(at(seconds - width)), **of_value, width=width)
        return Subquery(ended.order_by("-time").values("id")[:1])

    found = {}
    for some in parts(ids):
        rows = model.objects.filter(id__in=some).annotate(
            sample=Subquery(samples.values("id")[:1]),
            summary=Coalesce(last(MINUTE), last(HOUR)),
        )
        lasts = list(rows.values_list("id", "sample", "summary"))
        of_samples = Sample.objects.in_bulk([sample for _, sample, _ in lasts if sample])
        left = [summary for _, sample, summary in lasts if summary and sample not in of_samples]
        of_summaries = Summary.objects.in_bulk(left)
        for row, sample, summary in lasts:
            if kept := of_samples.get(sample) or of_summaries.get(summary):
                found[row] = kept
    return found


def silent(kind, keys, now):
    """Until when values are known whose source is silent, and that nobody else has set since."""
    rows = KINDS[kind].objects.filter(expected_interval__isnull=False, reported_at__isnull=False)
    found = {}
    # SQL may have dated a report as Python can't: nothing is due after that.
    columns = rows.values_list("pk", "expected_interval", "reported_at", named=True)
    for row in legible(columns, keys):
        if (until := due(row.reported_at, row.expected_interval, now)) is not None:
            found[row.pk] = until
    # One that says nothing is of the silence itself.
    said = Sample.objects.filter(kind=kind, key=OuterRef("pk")).exclude(number=None, text=None)
    newest = said.order_by("-time").values("time")
    set_last = KINDS[kind].objects.filter(pk__in=found).annotate(time=Subquery(newest[:1]))
    for pk, last in set_last.values_list("pk", "time"):
        if last is not None and last.timestamp() > found[pk]:
            del found[pk]
    return found
