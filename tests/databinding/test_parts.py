"""Lists cut into parts."""

from databinding.parts import parts


def test_parts_have_all_items_once_and_in_order():
    """Each part but the last is full, and together they are what was given."""
    found = list(parts(range(7), 3))
    assert found == [[0, 1, 2], [3, 4, 5], [6]]


def test_nothing_has_no_parts():
    """An empty list makes no statement at all."""
    assert list(parts([])) == []


def test_a_part_fits_one_statement_of_every_database():
    """SQLite may have been built with 999 parameters at most."""
    sizes = [len(part) for part in parts({*range(2_000)})]
    assert sum(sizes) == 2_000
    assert max(sizes) < 999
