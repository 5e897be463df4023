"""Cursors as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databinding.positions import Cursor, InvalidCursor, Position, Snapshot

names = st.text("0123456789abcdef", max_size=20)
snapshots = st.sampled_from(["", "740:740:", "740:752:740,745"])
numbers = st.integers(-(2**63), 2**63)


@given(names, names, numbers, numbers, snapshots)
def test_a_cursor_is_read_as_it_was_written(epoch, audience, number, tag, snapshot):
    """Encoding and decoding give the same cursor."""
    cursor = Cursor(epoch, audience, Position(number, tag, snapshot))
    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize(
    "text", ["", "a", "a.b.1", "a.b.1.2.3.4", "a.b.x.2", "a.b.1.", "a.b.1.2e3"]
)
def test_what_is_no_cursor_is_refused(text):
    """Text of another shape is an InvalidCursor."""
    with pytest.raises(InvalidCursor):
        Cursor.decode(text)


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text):
    """Whatever text comes, nothing but InvalidCursor is raised."""
    try:
        cursor = Cursor.decode(text)
    except InvalidCursor:
        return
    assert Cursor.decode(cursor.encode()) == cursor


histories = st.sets(st.integers(3, 60)).flatmap(
    lambda running: st.builds(
        lambda xmax: Snapshot(min(running, default=xmax), xmax, frozenset(running)),
        st.integers(max(running, default=2) + 1, 70),
    )
)


@given(snapshot=histories, start=st.integers(0, 70))
def test_ended_transactions_are_told_as_spans(snapshot, start):
    """The spans hold each id from the start on that had ended, once and in order."""
    spans = snapshot.ended(start)
    told = [one for first, stop in spans for one in range(first, stop)]
    assert told == [one for one in range(start, snapshot.xmax) if one not in snapshot.running]
    assert all(first < stop for first, stop in spans)
    assert len(spans) <= len(snapshot.running) + 1


@given(snapshot=histories)
def test_a_snapshot_is_read_as_postgresql_writes_it(snapshot):
    """`pg_current_snapshot()` gives xmin, xmax and the running ones, of which there may be none."""
    running = ",".join(map(str, sorted(snapshot.running)))
    assert Snapshot.parse(f"{snapshot.xmin}:{snapshot.xmax}:{running}") == snapshot
