"""How the past of a value adds up, compared with looking at every moment of it."""

from hypothesis import given
from hypothesis import strategies as st

from values.samples.spans import Item, add_up, change, step_for, without_holes

#: Whole seconds, so that every moment can be looked at.
TIMES = st.integers(0, 60)
VALUES = st.one_of(st.none(), st.integers(-5, 5).map(float))
CHANGES = st.lists(st.tuples(TIMES, VALUES), max_size=12).map(
    lambda found: sorted(found, key=lambda row: row[0])
)


def moments(changes, held):
    """What it was in each second from 0 to 60."""
    found = []
    for second in range(60):
        for time, value in changes:
            if time <= second:
                held = value
        found.append(held)
    return found


@given(CHANGES, VALUES, st.sampled_from([1, 2, 3, 5, 6, 10, 12, 15, 20, 30, 60]))
def test_buckets_say_what_every_moment_does(changes, held, step):
    """Least, most, mean, known time and count are those of the moments in each bucket."""
    items = without_holes((change(*row) for row in changes), 0, 60, held)
    buckets = add_up(items, 0, step, 60 // step)
    past = moments(changes, held)
    for at, bucket in enumerate(buckets):
        begin, end = at * step, (at + 1) * step
        known = [value for value in past[begin:end] if value is not None]
        assert bucket.count == sum(begin <= time < end for time, _ in changes)
        assert abs(bucket.known - len(known)) < 1e-9
        # What it was for no time at all, between two changes of one moment, was there, too.
        passing = [value for time, value in changes if begin <= time < end and value is not None]
        if known or passing:
            assert (bucket.least, bucket.most) == (min(known + passing), max(known + passing))
        else:
            assert (bucket.least, bucket.most) == (None, None)
        if known:
            assert abs(bucket.mean - sum(known) / len(known)) < 1e-9
        assert bucket.last == past[end - 1]


@given(CHANGES, VALUES, st.sampled_from([10, 20, 30, 60]))
def test_summaries_of_summaries_lose_nothing(changes, held, step):
    """Buckets made of smaller buckets, of those in which something changed, are the same."""

    def whole():
        return without_holes((change(*row) for row in changes), 0, 60, held)

    direct = add_up(whole(), 0, step, 60 // step)
    small = [
        Item(at * 5, at * 5 + 5, one.least, one.most, one.mean, one.known, one.count, one.last)
        for at, one in enumerate(add_up(whole(), 0, 5, 12))
        if one.count
    ]
    by_way_of_them = add_up(without_holes(small, 0, 60, held), 0, step, 60 // step)
    for one, other in zip(direct, by_way_of_them, strict=True):
        assert (one.least, one.most, one.count, one.last) == (
            other.least,
            other.most,
            other.count,
            other.last,
        )
        assert abs(one.known - other.known) < 1e-9
        if one.known:
            assert abs(one.mean - other.mean) < 1e-9


def test_texts_have_no_mean():
    """Of a text a bucket says the last, and for how long one was known."""
    items = without_holes([change(3, "b"), change(5, None)], 0, 10, "a")
    first, second = add_up(items, 0, 5, 2)
    assert (first.last, first.known, first.count) == ("b", 5, 1)
    assert (second.last, second.known, second.mean) == (None, 0, None)


@given(st.floats(0.01, 1e10), st.integers(1, 2000), st.sampled_from([0, 60, 3600]))
def test_steps_are_as_fine_as_the_points_allow(seconds, points, least):
    """A step is at least as wide as asked for, and the range fits into the points."""
    step = step_for(seconds, points, least)
    assert step >= least
    assert seconds / step <= points
