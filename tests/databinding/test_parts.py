"""Lists cut into parts."""

import pytest

from databinding.parts import halved, parts


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


@pytest.mark.parametrize("bad", [[], [0], [6], [2, 3], [*range(7)]])
def test_what_is_at_fault_takes_no_others_with_it(bad):
    """Halves are asked for by themselves, down to one alone, in order."""

    def ask(items):
        asked.append(items)
        if not {*bad}.isdisjoint(items):
            raise ValueError(items)
        return items

    asked, borne = [], []
    found = halved([*range(7)], ask, borne.append, lambda item, error: [item, str(error)])
    there = [part for part in found if len(part) < 2 or not isinstance(part[1], str)]
    assert [item for part in there for item in part] == [i for i in range(7) if i not in bad]
    assert [items[0] for items in asked if len(items) == 1 and items[0] in bad] == bad
    assert len(borne) == sum(not {*bad}.isdisjoint(items) for items in asked)


def test_what_is_nobodys_fault_is_raised():
    """It isn't looked for in halves."""

    def bear(error):
        raise error

    with pytest.raises(ZeroDivisionError):
        list(halved([1, 2], lambda items: 1 / 0, bear, lambda item, error: None))
