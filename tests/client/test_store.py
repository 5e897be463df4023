"""Frames applied: the vectors shared with the JavaScript client, and what else may come."""

import json
from pathlib import Path

import pytest

from databinding.client import ProtocolError
from databinding.client.frames import parse
from databinding.client.store import Step, Store, Unknown

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["apply"], ids=lambda vector: vector["name"])
def test_what_a_store_holds_after_frames(vector):
    """A store that takes these frames in order holds these rows and this cursor."""
    store = Store(dict(vector["start"]))
    rows = store.rows
    for frame in vector["frames"]:
        _, payload, cursor = parse(json.dumps(frame))
        if payload["action"] in ("snapshot", "batch"):
            store.take(payload, cursor)
    assert rows == dict(vector["rows"])
    assert store.rows is rows
    assert store.cursor == vector["cursor"]


def batch(*events, **more):
    return {"action": "batch", "events": list(events), **more}


def snapshot(*items, complete=True):
    listed = [{"pk": pk, "data": data} for pk, data in items]
    return {"action": "snapshot", "items": listed, "complete": complete}


def put(pk, data, action="update"):
    return {"action": action, "pk": pk, "data": data}


def gone(pk):
    return {"action": "delete", "pk": pk}


A, B, C = {"value": 1}, {"value": 2}, {"value": 3}


def test_a_step_says_what_rows_were_before():
    """What a frame changed is told with what it was; what didn't change isn't."""
    store = Store({1: A, 2: B, 3: C})
    step = store.take(batch(put(1, B), gone(2), put(3, dict(C)), put(4, A), gone(5)), "c")
    assert step == Step({1: A, 2: B, 4: None})


def test_a_snapshot_is_compared_with_what_was_held():
    """A snapshot after a state names what differs; one after nothing names everything."""
    store = Store()
    assert store.take(snapshot((1, A), (2, B)), "c1") == Step({1: None, 2: None}, reset=True)
    assert store.take(snapshot((2, C), (3, A)), "c2") == Step({1: A, 2: B, 3: None})


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ([1], [1.0])])
def test_values_that_python_takes_for_equal_are_told_apart(one, other):
    """A field that becomes true, which was 1, is a change; so is 1.0."""
    store = Store({1: {"value": {"deep": one}}})
    step = store.take(batch(put(1, {"value": {"deep": other}})), "c")
    assert step == Step({1: {"value": {"deep": one}}})
    assert type(store.rows[1]["value"]["deep"]) is type(other)


def test_a_store_that_begins_with_a_cursor_alone_does_not_guess():
    """What rows were is unknown, deletes of rows it doesn't hold are told, and so is `keep`."""
    store = Store(cursor="c1")
    step = store.take(batch(put(1, A), gone(2), put(3, B, "create"), keep=[1, 3, 9]), "c2")
    before = {1: Unknown.OLD, 2: Unknown.OLD, 3: Unknown.NEW}
    assert step == Step(before, keep=frozenset({1, 3, 9}))
    assert store.take(batch(put(1, B)), "c3") == Step({1: A})
    assert not store.loaded
    assert store.take(snapshot((1, B)), "c4") == Step({1: None}, reset=True)
    assert store.loaded


def test_an_unfinished_snapshot_is_not_finished_by_another_subscription():
    """The chunks of a broken connection aren't in the snapshot that follows."""
    store = Store()
    store.take(snapshot((1, A), complete=False), "")
    store.begin()
    store.take(snapshot((2, B)), "c1")
    assert store.rows == {2: B}


@pytest.mark.parametrize(
    "payload",
    [
        {"action": "snapshot", "complete": True},
        {"action": "snapshot", "items": [{"pk": 2}], "complete": True},
        {"action": "snapshot", "items": [{"pk": True, "data": {}}], "complete": True},
        {"action": "snapshot", "items": [{"pk": 2, "data": []}], "complete": True},
        {"action": "batch"},
        batch(gone(1), {"action": "update", "pk": 2}),
        batch(gone(1), {"action": "replace", "pk": 2, "data": {}}),
        batch(gone(1), {"action": "delete"}),
        batch(gone(1), gone(None)),
        batch(gone(1), 7),
        batch(gone(1), keep=1),
        batch(gone(1), keep=[[1]]),
    ],
)
def test_a_malformed_frame_is_not_applied_in_part(payload):
    """What can't be understood raises, and leaves rows and cursor as they were."""
    store = Store({1: A}, "c1")
    with pytest.raises(ProtocolError):
        store.take(payload, "c2")
    assert (store.rows, store.cursor) == ({1: A}, "c1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "[" * 100_000,
        '{"payload": {}, "stream": 1}',
        '{"stream": "a"}',
        '{"stream": "a", "payload": []}',
        '{"stream": "a", "payload": {}, "cursor": 1}',
    ],
)
def test_what_is_no_frame_raises(text):
    """A text that isn't a frame of the protocol raises ProtocolError."""
    with pytest.raises(ProtocolError):
        parse(text)
