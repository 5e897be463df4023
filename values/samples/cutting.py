"""Silences that were told late are taken off the summaries that were made meanwhile.

A source that reports once an hour is taken for silent after three hours, and mostly that is told
with its next report: a sample says since when nothing was known. But the summaries of that minute
and that hour, made long since, still say that the value held to their end. So the triggers note
each silence (`Silence`), and here those two are cut short.

It may be done twice: what ends unknown is left as it is.
"""

import time
from datetime import timedelta

from django.db.models import Min
from django.utils import timezone

from values.models import Silence, SummarisedUntil, Summary
from values.samples.history import HOUR, MINUTE, SUMMARY, as_item, at, last_kept
from values.samples.spans import cut, held
from values.samples.writing import BATCH, in_turn, put, summary

#: Seconds for which somebody may still be at writing summaries that he reckoned before.
_OTHERS = 120


def cut_short(deadline):
    """Take them off, and forget them; returns how many summaries were cut short."""
    made = after = 0
    while time.monotonic() < deadline:
        with in_turn():
            # Nobody else is at them.
            rows = Silence.objects.select_for_update().filter(id__gt=after)
            some = list(rows.order_by("id")[:BATCH])
            for width in (MINUTE, HOUR):
                made += _cut(width, some)
            done = timezone.now() - timedelta(seconds=_OTHERS)
            # In a slice that is half done its value may be done already.
            half = SummarisedUntil.objects.filter(slice_end__isnull=False)
            first = half.aggregate(first=Min("time"))["first"]
            ids = [
                one.id for one in some if one.told < done and (first is None or one.time < first)
            ]
            Silence.objects.filter(id__in=ids).delete()
        if len(some) < BATCH:
            break
        after = some[-1].id
    return made


def _cut(width, silences):
    """Of one width."""
    mark = SummarisedUntil.objects.filter(width=width).first()
    if mark is None or not silences:
        return 0

    def begin(silence):
        return silence.time.timestamp() // width * width

    # What was told in its own minute or hour is in the summary, which is of later; so it will be
    # in one that isn't made yet.
    late = [
        one
        for one in silences
        if begin(one) + width <= min(one.told.timestamp(), mark.time.timestamp())
    ]
    made = _made(width, late, begin)
    by_begin = {}
    for one in late:
        if (one.kind, one.key, at(begin(one))) not in made:
            by_begin.setdefault(begin(one), []).append(one.id)
    before = {}
    for when, ids in by_begin.items():
        before |= last_kept(Silence, ids, when)
    found = {}
    for one in late:
        when = begin(one)
        place = one.kind, one.key, at(when)
        item = made.get(place)
        if item is None:
            last = before.get(one.id)
            item = held(when, when + width, last and last.value)
        elif item.last is None:
            continue
        found[place] = cut(item, one.time.timestamp())
    # In the order of whoever else writes them, lest each waits for the other.
    ordered = sorted(found.items(), key=lambda one: one[0])
    put([summary(kind, key, width, when, item) for (kind, key, when), item in ordered])
    return len(found)


def _made(width, silences, begin):
    """The summaries that there are, as items, by kind, key and time."""
    rows = Summary.objects.filter(
        width=width,
        key__in={one.key for one in silences},
        time__in={at(begin(one)) for one in silences},
    )
    return {
        (kind, key, when): as_item(when, *rest)
        for kind, key, when, *rest in rows.values_list("kind", "key", *SUMMARY)
    }
