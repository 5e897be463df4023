"""Summaries of minutes and hours, and what is forgotten when."""

import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from tests.values.past import HOUR, MINUTE, kept, on_the_hour
from values.jobs import keep_samples
from values.models import FloatValue, Sample, SummarisedUntil, Summary, TextValue
from values.samples.history import history
from values.samples.summaries import keep_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_past")]


def summaries(row, width, kind="floatval"):
    rows = Summary.objects.filter(kind=kind, key=row.pk, width=width).order_by("time")
    return [(one.time.timestamp(), one.least, one.most, one.count) for one in rows]


def test_minutes_and_hours_in_which_it_changed():
    """There is a summary for each minute and hour with a change, weighed by how long it held."""
    begin = on_the_hour() - 3 * HOUR
    row = kept(FloatValue, [(begin, 0), (begin + 45, 8), (begin + 5 * MINUTE + 30, 2)])
    keep_up()
    assert summaries(row, MINUTE) == [(begin, 0, 8, 2), (begin + 5 * MINUTE, 2, 8, 1)]
    assert summaries(row, HOUR) == [(begin, 0, 8, 3)]
    first, later = Summary.objects.filter(width=MINUTE).order_by("time")
    assert (first.mean, first.known, first.number) == (2, 60, 8)
    assert (later.mean, later.number) == (5, 2)
    hour = Summary.objects.get(width=HOUR)
    assert hour.mean == pytest.approx((285 * 8 + 3270 * 2) / HOUR)


def test_it_goes_on_where_it_ended():
    """Doing it again changes nothing; what came since is added, also to a minute of before."""
    begin = on_the_hour() - 2 * HOUR
    row = kept(FloatValue, [(begin, 1)])
    keep_up()
    made = summaries(row, MINUTE)
    keep_up()
    assert summaries(row, MINUTE) == made
    mark = SummarisedUntil.objects.get(width=MINUTE).time.timestamp()
    # Committed after its minute was summarised.
    kept(row, [(mark - 90, 7)])
    SummarisedUntil.objects.filter(width=MINUTE).update(
        time=timezone.now() - timedelta(seconds=time.time() - mark + MINUTE)
    )
    keep_up()
    assert summaries(row, MINUTE)[-1][1:] == (1, 7, 1)


def test_a_text_is_summarised_by_its_last():
    """Of a text a summary says what it was at the end, and how often it changed."""
    begin = on_the_hour() - 2 * HOUR
    row = kept(TextValue, [(begin, "a"), (begin + 1, "b"), (begin + MINUTE, None)])
    keep_up()
    assert summaries(row, MINUTE, "textval") == [
        (begin, None, None, 2),
        (begin + MINUTE, None, None, 1),
    ]
    found = Summary.objects.filter(width=MINUTE).order_by("time")
    assert [(one.text, one.number, one.known) for one in found] == [
        ("b", None, 60),
        (None, None, 0),
    ]


def test_what_is_too_old_is_forgotten():
    """Samples, minutes and hours are dropped each in their time; the last hour of a value stays."""
    now = on_the_hour()
    steady = kept(FloatValue, [(now - 30 * HOUR, 4)])
    row = kept(FloatValue, [(now - 30 * HOUR, 1), (now - 20 * HOUR, 2), (now - 5 * HOUR, 3)])
    ages = {"raw": 10 * HOUR, "minutes": 15 * HOUR, "hours": 24 * HOUR}
    with override_settings(SAMPLES=ages):
        call_command("keep_samples", verbosity=0)
        assert [one.number for one in Sample.objects.filter(key=row.pk)] == [3]
        assert summaries(row, MINUTE) == [(now - 5 * HOUR, 3, 3, 1)]
        assert [one[0] for one in summaries(row, HOUR)] == [now - 20 * HOUR, now - 5 * HOUR]
        assert len(summaries(steady, HOUR)) == 1
        past = history("floatval", [steady.pk, row.pk], now - HOUR, now, 1)
    assert past[steady.pk].buckets[-1].last == 4
    assert past[row.pk].buckets[-1].last == 3


def test_nothing_is_forgotten_before_it_is_summarised():
    """However old, a sample stays until the summaries have got so far."""
    begin = on_the_hour() - 50 * HOUR
    row = kept(FloatValue, [(begin, 1), (begin + 40 * HOUR, 2)])
    with override_settings(SAMPLES={"raw": 0, "minutes": 0, "hours": HOUR}):
        keep_up(budget=0)
        assert Sample.objects.filter(key=row.pk).count() == 2
        keep_samples()
        assert not Sample.objects.filter(key=row.pk).exists()
    assert summaries(row, HOUR) == [(begin + 40 * HOUR, 2, 2, 1)]
