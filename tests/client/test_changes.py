"""What a consumer is told leads from state to state, however seldom it looks."""

from hypothesis import example, given
from hypothesis import strategies as st

from databinding.client.changes import Change, Event, Unseen
from databinding.client.store import Store

pks = st.sampled_from([1, 2, 3, "x"])
datas = st.fixed_dictionaries({"value": st.sampled_from([1, 2, True])})
states = st.dictionaries(pks, datas)
#: The next state, how it is told, and whether the consumer looks then.
frames = st.tuples(states, st.sampled_from(["batch", "keep", "snapshot"]), st.booleans())


def tell(store, before, after, how, number):
    """A frame as a server sends it that leads from one state to another."""
    if how == "snapshot":
        items = [{"pk": pk, "data": data} for pk, data in after.items()]
        return store.take({"action": "snapshot", "items": items, "complete": True}, f"c{number}")
    events = [
        {"action": "update" if pk in before else "create", "pk": pk, "data": data}
        for pk, data in after.items()
        if before.get(pk) is not data
    ]
    more = {"keep": list(after)} if how == "keep" else {}
    if how == "batch":
        events += [{"action": "delete", "pk": pk} for pk in before.keys() - after.keys()]
    return store.take({"action": "batch", "events": events, **more}, f"c{number}")


def apply(held, change):
    """What a consumer does that trusts each change."""
    if change.reset:
        held.clear()
    if change.keep is not None:
        for pk in held.keys() - change.keep:
            del held[pk]
    for event in change:
        assert (event.action == "delete") == (event.data is None)
        if event.data is None:
            held.pop(event.pk, None)
        else:
            held[event.pk] = event.data


@given(st.lists(frames))
def test_a_consumer_that_begins_with_nothing_ends_with_the_rows(history):
    """Changes applied one after another give the state they lead to, events naming what was."""
    store, unseen, held, before = Store(), Unseen(), {}, {}
    for number, (after, how, looks) in enumerate([({}, "snapshot", False), *history]):
        unseen.add(tell(store, before, after, how, number), store.rows)
        before = after
        if looks:
            change = unseen.take(store.rows, store.cursor)
            if not change.reset:
                assert all(event.before == held.get(event.pk) for event in change)
                assert not {event.pk for event in change.created} & held.keys()
            apply(held, change)
            assert held == store.rows == after
            assert change.cursor == f"c{number}"
            assert not unseen


A = {1: {"value": 1}}


@given(states, st.lists(frames))
@example({}, [(A, "batch", True), ({}, "keep", False), (dict(A), "batch", True)])
def test_a_consumer_that_begins_with_a_cursor_ends_with_the_rows(start, history):
    """So it is for one that held rows which the client was never told of."""
    store, unseen, held, before = Store(cursor="c"), Unseen(), dict(start), start
    for number, (after, how, looks) in enumerate(history):
        unseen.add(tell(store, before, after, how, number), store.rows)
        before = after
        if looks:
            apply(held, unseen.take(store.rows, store.cursor))
            assert held == after


def test_rows_that_come_and_go_unseen_take_no_room():
    """A consumer that never looks costs no more than the rows there are."""
    store, unseen = Store({}), Unseen()
    for number in range(100):
        for after in ({number: {"value": 1}}, {}):
            before = dict(store.rows)
            unseen.add(tell(store, before, after, "batch", number), store.rows)
    assert not unseen._before
    assert list(unseen.take(store.rows, store.cursor)) == []


def test_a_change_is_true_if_it_says_anything_but_a_cursor():
    """A change is as long as its events; deletes come first, for readers with unique columns."""
    nothing = Change((), (), (), False, None, "c1")
    assert not nothing
    assert Change((), (), (), True, None, "c1")
    gone, new = Event("delete", 1, None, {}), Event("create", 2, {}, None)
    change = Change((new,), (), (gone,), False, None, "c1")
    assert change
    assert len(change) == 2
    assert list(change) == [gone, new]
