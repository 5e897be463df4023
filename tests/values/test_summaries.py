"""Summaries of minutes and hours, and what is forgotten when."""

import threading
import time
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from databinding import triggers
from tests.values.past import HOUR, MINUTE, kept, on_the_hour
from values.jobs import keep_samples
from values.models import FloatValue, Sample, Silence, SummarisedUntil, Summary, TextValue
from values.samples import summaries as summaries_module
from values.samples.history import at, history
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
    SummarisedUntil.objects.filter(width=MINUTE).update(time=at(mark - MINUTE))
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
        while any(keep_up()):  # A busy machine needs more than one job's time.
            pass
        assert not Sample.objects.filter(key=row.pk).exists()
    assert summaries(row, HOUR) == [(begin + 40 * HOUR, 2, 2, 1)]


@pytest.fixture
def small(monkeypatch):
    """Two rows to a transaction, three to a page."""
    monkeypatch.setattr(summaries_module, "BATCH", 2)
    monkeypatch.setattr(summaries_module, "_PAGE", 3)


def much():
    """A past of several values over two slices of minutes."""
    # The last hour is summed up only some minutes after its end.
    begin = on_the_hour() - 2 * HOUR
    for number in range(3):
        changes = [(begin + at, number + at) for at in (-70, 0, 20, 20.5, 50, 700)]
        kept(FloatValue, changes)
        kept(TextValue, [(begin + 30 * number, "a"), (begin + 200, None)])


def all_of_them():
    columns = ("kind", "key", "width", "time", "number", "text", "known", "least", "most", "mean")
    return set(Summary.objects.values_list(*columns, "count"))


def begin_again():
    Summary.objects.all().delete()
    SummarisedUntil.objects.all().delete()


def test_pages_and_transactions_make_no_difference(request):
    """What is read and written a little at a time adds up to the same."""
    much()
    made = keep_up()
    whole = all_of_them()
    assert len(whole) > 20
    begin_again()
    request.getfixturevalue("small")
    assert keep_up() == made
    assert all_of_them() == whole


def test_it_may_end_anywhere(small):
    """Whatever it was about to write when it ended, it goes on from there, and makes the same."""
    much()
    keep_up()
    whole = all_of_them()

    def end_at(number):
        left = iter(range(number))

        def execute(execute, sql, *about):
            if not sql.startswith("SELECT") and next(left, None) is None:
                raise KeyboardInterrupt
            return execute(sql, *about)

        return execute

    number, ended = 0, True
    while ended:
        begin_again()
        try:
            with connection.execute_wrapper(end_at(number)):
                keep_up()
            ended = False
        except KeyboardInterrupt:
            number += 3
        keep_up()
        assert all_of_them() == whole, number
    assert number > 20


def test_who_was_slower_writes_nothing_old(small, monkeypatch):
    """While one has read and not yet written, another gets further: the first leaves what he has,
    of before a sample that was committed meanwhile."""
    begin = on_the_hour() - 2 * HOUR
    row = kept(FloatValue, [(begin, 1)])
    write = summaries_module._write

    def late(*args, **done):
        monkeypatch.setattr(summaries_module, "_write", write)
        kept(row, [(begin + 1, 9)])
        other = threading.Thread(target=lambda: (keep_up(), connection.close()))
        other.start()
        other.join()
        return write(*args, **done)

    monkeypatch.setattr(summaries_module, "_write", late)
    assert keep_up() == (0, 0)
    assert summaries(row, MINUTE) == [(begin, 1, 9, 2)]


def test_time_is_up_within_a_slice(small, monkeypatch):
    """It ends in time, however much there is, and goes on where it was."""
    much()
    keep_up()
    whole = all_of_them()
    begin_again()
    ticks = count()
    clock = SimpleNamespace(
        time=time.time, monotonic=lambda: next(ticks), sleep=lambda seconds: None
    )
    monkeypatch.setattr(summaries_module, "time", clock)
    made = [keep_up(budget=5)[0] for _ in range(60)]
    assert max(made) < 10 < len(whole)
    assert all_of_them() == whole


@pytest.mark.parametrize("signals", [False, True])
@pytest.mark.parametrize(
    ("changes", "reported", "interval"),
    [
        ([(0, 1)], 610, 1200),  # in a minute and an hour without a change
        ([(0, 1), (600, 3), (620, 4)], 610, 30),  # in the minute of two
        ([(0, 1), (600, 3)], 610, 50),  # on the full minute
        ([(0, 1), (600, 3)], 610, 2990),  # on the full hour
        ([(0, "a"), (600, "b")], 610, 30),
    ],
)
def test_a_silence_that_is_told_late(changes, reported, interval, signals):
    """That nothing was known in the middle of a minute long summed up is in the summaries, too: as
    if they were made afterwards."""
    begin = on_the_hour() - 4 * HOUR
    model = TextValue if isinstance(changes[0][1], str) else FloatValue
    row = kept(model, [(begin + at, value) for at, value in changes])
    rows = model.objects.filter(pk=row.pk)
    triggers.uninstall("default")
    reported_at = at(begin + reported)
    rows.update(value=changes[-1][1], expected_interval=interval, reported_at=reported_at)
    keep_up()
    assert (None, None) not in {one[4:6] for one in all_of_them()}
    with override_settings(DATABINDING={"CAPTURE": "signals"} if signals else {}):
        triggers.install("default")
        row = rows.get()
        row.reported_at = timezone.now()
        row.save()
    triggers.install("default")
    assert Silence.objects.count() == 1
    # Its minute may be over before this ends.
    Sample.objects.filter(time__gt=timezone.now() - timedelta(minutes=1)).delete()
    keep_up()
    cut = all_of_them()
    keep_up()
    assert all_of_them() == cut
    begin_again()
    Silence.objects.update(told=timezone.now() - timedelta(seconds=121))
    keep_up()
    assert not Silence.objects.exists()
    afterwards = all_of_them()
    assert len(cut) == len(afterwards) > 0
    for one, other in zip(*map(sorted_by_time, (cut, afterwards)), strict=True):
        assert one[:6] == other[:6]
        assert one[6:] == pytest.approx(other[6:])


def test_a_silence_that_is_told_within_a_slice(small, monkeypatch):
    """Of a value that is done in a slice that isn't, it is kept until the slice is."""
    begin = on_the_hour() - 4 * HOUR
    rows = [
        kept(FloatValue, [(begin + at * MINUTE, number + at) for at in (0, 1, 2)])
        for number in range(2)
    ]
    first = FloatValue.objects.filter(pk=rows[0].pk)
    triggers.uninstall("default")
    first.update(value=2, expected_interval=30, reported_at=at(begin + 3 * MINUTE))
    triggers.install("default")
    write, left = summaries_module._write, iter(range(1))

    def ended(*args, **done):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(*args, **done)

    monkeypatch.setattr(summaries_module, "_write", ended)
    with pytest.raises(KeyboardInterrupt):
        keep_up()
    monkeypatch.setattr(summaries_module, "_write", write)
    assert SummarisedUntil.objects.get().key == rows[0].pk
    row = first.get()
    row.reported_at = timezone.now()
    row.save()
    Sample.objects.filter(time__gt=timezone.now() - timedelta(minutes=1)).delete()
    assert Silence.objects.update(told=timezone.now() - timedelta(seconds=121)) == 1
    keep_up()
    assert Silence.objects.exists()
    keep_up()
    assert not Silence.objects.exists()
    found = all_of_them()
    begin_again()
    keep_up()
    for one, other in zip(*map(sorted_by_time, (found, all_of_them())), strict=True):
        assert one[:6] == other[:6]
        assert one[6:] == pytest.approx(other[6:])


@pytest.mark.sqlite
def test_a_page_that_ends_on_a_full_second(small):
    """SQLite's triggers write such times at greater length than Django does; it is counted once."""
    begin = on_the_hour() - 4 * HOUR
    row = kept(FloatValue, [(begin + at, at) for at in (0.5, 1.5, 3, 4.5, 5.5)])
    keep_up()
    assert summaries(row, MINUTE) == [(begin, 0.5, 5.5, 5)]


def sorted_by_time(found):
    return sorted(found, key=lambda one: one[:4])
