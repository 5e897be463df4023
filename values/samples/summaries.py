"""Summaries of samples: what a value was in each minute and each hour in which it changed.

    from values.samples.summaries import keep_up
    keep_up()       # what is due, then forgets what is too old; settings.SAMPLES says what that is

Running it again, or in two processes, makes the same summaries once more. A minute is summarised
when it has been over for a while, and once more a bit later: a transaction that commits `LATE`
seconds after it wrote is missing in summaries, though not among the samples.
"""

import time
from datetime import UTC, datetime
from itertools import groupby

from django.conf import settings
from django.db import router, transaction
from django.db.models import Exists, Min, OuterRef, Q

from values.models import Description, Sample, SummarisedUntil, Summary
from values.samples.history import at, changes, summaries, value_at
from values.samples.spans import add_up, without_holes

MINUTE, HOUR = 60, 3600
#: Seconds after its end at which a minute is summarised, and for which it is again.
GRACE, LATE = 5, 120
#: Seconds of the past that are worked on in one transaction.
_SLICE = {MINUTE: 600, HOUR: 6 * HOUR}
#: Rows dropped in one transaction.
_DROP = 5_000


def keep_up(budget=20.0):
    """Summarise and forget, for `budget` seconds at most; what is left is done the next time.

    Returns how many summaries were made and how many samples and summaries were dropped.
    """
    deadline = time.monotonic() + budget
    made = dropped = 0
    now = time.time()
    for width in (MINUTE, HOUR):
        while time.monotonic() < deadline:
            more = _summarise(width, now)
            if more is None:
                break
            made += more
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


def _summarise(width, now):
    """Summarise one slice more; returns how many there are of it, None if there is none."""
    mark = until(width)
    if width == MINUTE:
        source, end = Sample, now - GRACE
    else:
        source, end = Summary.objects.filter(width=MINUTE).values("time"), until(MINUTE)
        if end is None:
            return None
        end -= LATE
    end = _floor(end, width)
    if mark is None:
        first = (Sample.objects if width == MINUTE else source).aggregate(first=Min("time"))
        if first["first"] is None:
            return None
        begin = _floor(first["first"].timestamp(), width)
    else:
        begin = mark - (LATE if width == MINUTE else 0)
    if end <= (begin if mark is None else mark):
        return None
    end = min(end, max(begin, mark or 0) + _SLICE[width])
    with transaction.atomic(using=router.db_for_write(Summary)):
        found = list(_summaries(width, begin, end))
        Summary.objects.bulk_create(
            found,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["kind", "key", "width", "time"],
            update_fields=["number", "text", "known", "least", "most", "mean", "count"],
        )
        SummarisedUntil.objects.update_or_create(width=width, defaults={"time": at(end)})
    return len(found)


def _summaries(width, begin, end):
    items = changes(begin, end) if width == MINUTE else summaries(MINUTE, begin, end)
    for (kind, key), rows in groupby(items, lambda row: row[:2]):
        held = value_at(kind, key, begin)
        whole = without_holes((item for _, _, item in rows), begin, end, held)
        buckets = add_up(whole, begin, width, round((end - begin) / width))
        for number, bucket in enumerate(buckets):
            if bucket.count:
                text = isinstance(bucket.last, str)
                yield Summary(
                    kind=kind,
                    key=key,
                    width=width,
                    time=at(begin + number * width),
                    number=None if text else bucket.last,
                    text=bucket.last if text else None,
                    known=bucket.known,
                    least=bucket.least,
                    most=bucket.most,
                    mean=bucket.mean,
                    count=bucket.count,
                )


def _floor(seconds, width):
    return seconds // width * width


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
    # By batches: SQLite takes no more than so many parameters.
    for begin in range(0, len(ids), 500):
        rows.model.objects.filter(id__in=ids[begin : begin + 500])._raw_delete(rows.db)
    return len(ids)
