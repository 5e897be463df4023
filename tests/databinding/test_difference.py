"""The pure difference: random histories against clients at random places."""

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databinding.difference import (
    CREATE,
    DELETE,
    UPDATE,
    Event,
    Members,
    RecentMembers,
    Rows,
    Window,
)
from databinding.difference import difference as tell
from databinding.reading import Change, Found, Row, Sieve

pytestmark = pytest.mark.alike

GROUPS = ("a", "b", "c")

keys = st.integers(0, 5)
states = st.one_of(
    st.none(), st.tuples(st.sampled_from("xyz"), st.frozensets(st.sampled_from(GROUPS)))
)
passes = st.lists(st.dictionaries(keys, states, max_size=4), max_size=25)


def seen(truth, groups):
    return {
        key: fragment for key, (fragment, names) in truth.items() if not names.isdisjoint(groups)
    }


def apply(copy, events):
    for event in events:
        if event.action == DELETE:
            copy.pop(event.key, None)
        else:
            copy[event.key] = event.fragment


class Client:
    def __init__(self, groups, copy, number):
        self.groups, self.copy, self.number = groups, copy, number

    def catch_up(self, rows):
        events = tell(rows, self.groups, self.number)
        if events is not None:
            assert tell(rows, self.groups, self.number, limit=len(events)) == events
            assert not events or tell(rows, self.groups, self.number, limit=len(events) - 1) is None
            apply(self.copy, events)
            self.number = max(rows.groups[name].changed for name in self.groups)
        return events


def loaded(names=GROUPS):
    rows = Rows()
    for name in names:
        rows.load(name, 0, ())
    return rows


@settings(max_examples=400, deadline=None)
@given(
    history=passes,
    readers=st.lists(
        st.tuples(
            st.frozensets(st.sampled_from(GROUPS), min_size=1),
            st.lists(st.booleans(), min_size=25, max_size=25),
        ),
        min_size=1,
        max_size=4,
    ),
    remembered=st.integers(1, 4),
)
def test_whoever_catches_up_holds_what_is_there(history, readers, remembered):
    """After any history, a client that was away for any part of it holds exactly the rows."""
    rows = loaded()
    truth = {}
    clients = [(Client(groups, {}, 0), when) for groups, when in readers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Members, "remembered_leavers", remembered)
        for number, changes in enumerate(history, start=1):
            for key, state in changes.items():
                if state is None:
                    truth.pop(key, None)
                    rows.drop(key, number)
                else:
                    truth[key] = state
                    rows.put(key, *state, number)
            for client, when in clients:
                if when[number - 1] and client.catch_up(rows) is None:
                    client.copy = seen(truth, client.groups)
                    client.number = max(rows.groups[name].changed for name in client.groups)
                    continue
                if when[number - 1]:
                    assert client.copy == seen(truth, client.groups)
        for client, _ in clients:
            if client.catch_up(rows) is not None:
                assert client.copy == seen(truth, client.groups)
    # Nothing is kept of rows that no group sees.
    assert rows.fragments == seen(truth, GROUPS)
    assert rows.index.keys() == rows.fragments.keys()


@settings(max_examples=300, deadline=None)
@given(
    history=passes,
    awake=st.lists(st.booleans(), min_size=25, max_size=25),
    limit=st.integers(1, 3),
    remembered=st.integers(1, 4),
)
def test_a_window_shows_the_first_rows(history, awake, limit, remembered):
    """After any history, a client of a window that was away for any part of it holds its rows."""
    window = Window(("a", "b"), limit)
    rows = loaded((*GROUPS[1:], window))
    truth = {}
    first = {}
    client = Client([window], {}, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Members, "remembered_leavers", remembered)
        for number, changes in enumerate(history, start=1):
            truth.update(changes)
            truth = {key: state for key, state in truth.items() if state is not None}
            inside = seen(truth, window.groups).items()
            shown = sorted(inside, key=lambda item: (item[1], item[0]))[:limit]
            first = dict(shown)
            rows.hide(window, number, first)
            for key, state in changes.items():
                if state is None:
                    rows.drop(key, number)
                else:
                    rows.put(key, *state, number)
            rows.show(window, number, shown)
            assert rows.groups[window].order == list(first)
            if awake[number - 1]:
                if client.catch_up(rows) is None:
                    client.copy, client.number = dict(first), rows.groups[window].changed
                assert client.copy == first
        if client.catch_up(rows) is not None:
            assert client.copy == first
    assert rows.fragments == {**seen(truth, GROUPS[1:]), **first}
    rows.unload(window)
    assert rows.fragments == seen(truth, GROUPS[1:])


@settings(max_examples=200, deadline=None)
@given(history=passes, groups=st.frozensets(st.sampled_from(GROUPS), min_size=1))
def test_a_client_in_step_gets_exactly_what_happened(history, groups):
    """Told after each pass, a client gets create, update and delete as its rows come and go."""
    rows = loaded()
    truth = {}
    client = Client(groups, {}, 0)
    for number, changes in enumerate(history, start=1):
        before = seen(truth, groups)
        for key, state in changes.items():
            if state is None:
                truth.pop(key, None)
                rows.drop(key, number)
            else:
                truth[key] = state
                rows.put(key, *state, number)
        now = seen(truth, groups)
        events = client.catch_up(rows)
        told = {event.key: (event.action, event.fragment) for event in events}
        assert len(told) == len(events)
        moved = {  # between two groups of this client, at the same content
            key for key in before.keys() & now.keys() if before[key] == now[key] and key in changes
        }
        expected = {
            **{key: (CREATE, now[key]) for key in now.keys() - before.keys()},
            **{
                key: (UPDATE, now[key])
                for key in now.keys() & before.keys()
                if now[key] != before[key]
            },
            **{key: (DELETE, before[key]) for key in before.keys() - now.keys()},
        }
        assert {key: told[key] for key in told.keys() - moved} == expected
        assert all(told[key][0] == UPDATE for key in moved & told.keys())


@settings(max_examples=200, deadline=None)
@given(history=passes, cut=st.integers(0, 24), kept=st.frozensets(keys))
def test_replacing_tells_the_same_difference(history, cut, kept):
    """A refresh with all rows leads clients to the same state as the changes it replaces."""
    rows = loaded()
    truth = {}
    number = 0
    for number, changes in enumerate(history[:cut], start=1):
        for key, state in changes.items():
            if state is None:
                truth.pop(key, None)
                rows.drop(key, number)
            else:
                truth[key] = state
                rows.put(key, *state, number)
    client = Client(("a", "b"), seen(truth, ("a", "b")), number)
    was = dict(truth)
    for changes in history[cut:]:
        for key, state in changes.items():
            if state is None:
                truth.pop(key, None)
            else:
                truth[key] = state
    there = {key: state for key, state in truth.items() if key not in kept}
    found = [
        *(Row(key, fragment, names) for key, (fragment, names) in there.items()),
        *(Row(key, None, None) for key in kept),
    ]
    sieve = Sieve(rows)
    Change(Found(filter(sieve, found)), sieve.gone()).apply(rows, number + 1)
    client.catch_up(rows)
    expected = {**there, **{key: was[key] for key in kept if key in was}}
    assert client.copy == seen(expected, ("a", "b"))


def test_a_row_that_leaves_reenters_and_leaves_again_is_deleted():
    """A client that slept through all of it is told that the row has gone."""
    rows = loaded("a")
    rows.put(1, "x", {"a"}, 1)
    rows.drop(1, 2)
    rows.put(1, "x", {"a"}, 3)
    rows.drop(1, 4)
    assert tell(rows, ["a"], 1) == [Event(DELETE, 1, "x")]


def test_an_unchanged_row_is_not_told():
    """A row whose fragment and groups are as they were makes no news."""
    rows = loaded("a")
    rows.put(1, "x", {"a"}, 1)
    rows.take_changed()
    rows.put(1, "x", {"a"}, 2)
    assert rows.take_changed() == set()
    assert tell(rows, ["a"], 1) == []


def test_a_change_looks_at_no_group_but_its_own():
    """What a row's coming, change or going costs doesn't depend on how many groups are held."""

    class Groups(dict):
        def items(self):
            raise AssertionError("All groups were looked at.")

        __iter__ = keys = values = items

    rows = loaded(("a", "b"))
    rows.groups = Groups(rows.groups)
    rows.put(1, "x", {"a"}, 1)
    rows.put(1, "y", {"b"}, 2)
    rows.drop(1, 3)
    assert tell(rows, ["b"], 2) == [Event(DELETE, 1, "y")]


def test_unloading_a_group_leaves_what_others_hold():
    """A fragment goes with the last group that has its row."""
    rows = loaded(("a", "b"))
    rows.put(1, "x", {"a", "b"}, 1)
    rows.put(2, "y", {"a"}, 1)
    rows.unload("a")
    assert rows.fragments == {1: "x"}
    rows.unload("b")
    assert rows.fragments == {}
    assert rows.index == {}


def test_rows_that_move_among_many_groups_leave_nothing_behind():
    """What a process holds is as much as the rows there are, whatever groups they have been in."""
    names = [str(number) for number in range(150)]
    rows = loaded(names)
    pairs = [(one, other) for one in names for other in names if one < other]

    def held():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held()
        for number, pair in enumerate(pairs, start=1):
            rows.put(1, "x", pair, number)
        assert len(rows.index) == 1
        # Of a group it left a row is remembered once; of pairs there were 11,175.
        assert held() - before < 500_000
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(
    history=st.lists(
        st.dictionaries(keys, st.one_of(st.none(), st.sampled_from("xyz")), max_size=4),
        max_size=25,
    ),
    start=st.integers(0, 10),
    when=st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_a_followed_group_tells_changes_or_says_that_it_cannot(history, start, when):
    """Of a group that isn't held, a client catches up, or is sent to the database."""
    rows = Rows()
    truth = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecentMembers, "remembered_changes", 2)
        patch.setattr(Members, "remembered_leavers", 2)
        rows.load_recent("a", 0)
        client = Client(["a"], {}, 0)
        for number, changes in enumerate(history, start=1):
            for key, fragment in changes.items():
                if fragment is None:
                    truth.pop(key, None)
                    rows.drop(key, number)
                else:
                    truth[key] = fragment
                    rows.put(key, fragment, {"a"}, number)
            if when[number - 1]:
                if client.catch_up(rows) is None:
                    client.copy, client.number = dict(truth), rows.groups["a"].changed
                assert client.copy == truth
    assert len(rows.fragments) <= 4
