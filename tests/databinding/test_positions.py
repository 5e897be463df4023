"""Cursors as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databinding.positions import Cursor, InvalidCursor, Position

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
