"""The oracle's parts, each by itself: what a copy refuses, programs, shrinking, delays."""

import json

import pytest

from databinding.testing import (
    BrokenRule,
    Copy,
    Oracle,
    Report,
    Violation,
    constant_sum,
    never_shrinks,
)
from databinding.testing.arrivals import Arrivals
from databinding.testing.program import Step, make_program, parts_left_out, shrink


def reply(resumed, request_id=1):
    data = {"resumed": resumed}
    payload = {"action": "subscribe", "request_id": request_id, "response_status": 200}
    return {"payload": payload | {"data": data}}


def snapshot(*items, cursor="c", complete=True):
    listed = [{"pk": pk, "data": {"value": value}} for pk, value in items]
    return {
        "payload": {"action": "snapshot", "items": listed, "complete": complete},
        "cursor": cursor,
    }


def batch(*events, cursor="c", **more):
    return {"payload": {"action": "batch", "events": list(events), **more}, "cursor": cursor}


def put(pk, value, action="update"):
    return {"action": action, "pk": pk, "data": {"value": value}}


def gone(pk):
    return {"action": "delete", "pk": pk}


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([reply(False), batch()], "A batch where a snapshot must be"),
        ([reply(True), snapshot()], "A snapshot where a batch must be"),
        ([snapshot((1, 1), complete=False, cursor=""), batch()], "between a snapshot's frames"),
        ([snapshot((1, 1), complete=False)], "Complete: False, with the cursor 'c'"),
        ([snapshot(cursor="")], "Complete: True, with the cursor ''"),
        ([batch(cursor=None)], "Complete: True, with the cursor None"),
        ([snapshot() | {"payload": snapshot()["payload"] | {"items": [{"pk": 1}]}}], "is no row"),
        ([batch(put(1, 1), gone(1))], r"more than once in a batch: \[1, 1\]"),
        ([batch(put(True, 1))], "No primary key: True"),
        ([batch({"action": "update", "pk": 1})], "No event of a batch"),
        ([batch({"action": "replace", "pk": 1, "data": {}})], "No event of a batch"),
        ([batch(gone(1) | {"data": {}})], "No event of a batch"),
        ([snapshot(), batch(keep=[])], "in a batch that doesn't resume"),
        ([reply(True), batch(gone(1), keep=[1])], "isn't to be kept is named"),
        ([reply(True), batch(put(1, 1), keep=[2])], "isn't to be kept is named"),
        ([reply(True), batch(put(1, 1), keep=[1, 2])], r"never given: \{2\}"),
        ([snapshot(), batch(), batch()], "3 frames unacknowledged, in a window of 2"),
        ([snapshot((1, 3)), batch(put(1, 2))], "value of 1 shrank from 3 to 2"),
        ([snapshot((1, 3), (2, 2))], "value adds up to 5, not 3"),
    ],
)
def test_a_copy_refuses_what_breaks_a_rule(frames, complaint):
    """A frame that the protocol or an invariant doesn't allow is named."""
    invariants = [never_shrinks("value")]
    if "adds up" in complaint:
        invariants = [constant_sum("value", 3)]
    copy = Copy(invariants)
    copy.window = 2
    *before, last = frames
    for frame in before:
        copy.take(frame)
    with pytest.raises(BrokenRule, match=complaint):
        copy.take(last)


def test_a_snapshot_in_parts_need_not_be_one_state():
    """Invariants are asked again after the batch that corrects it."""
    copy = Copy([constant_sum("value", 3)])
    for frame in (snapshot((1, 1), complete=False, cursor=""), snapshot((2, 1))):
        copy.take(frame)
    assert copy.rows == {1: {"value": 1}, 2: {"value": 1}}
    with pytest.raises(BrokenRule):
        copy.take(batch())


def test_acknowledging_opens_the_window():
    """Frames count until they are acknowledged, and a new subscription begins at none."""
    copy = Copy()
    copy.window = 1
    copy.take(snapshot())
    assert copy.acknowledge() == 1
    copy.take(batch())
    copy.take(reply(True))
    copy.take(batch())
    assert copy.acknowledge() == 1
    assert copy.acknowledge() == 0


def test_frames_of_a_snapshot_that_is_broken_off_count():
    """One that the server begins anew goes on in the same window; one that takes everything back
    waits for nothing."""
    copy = Copy()
    copy.window = 1
    copy.take(reply(False))
    copy.take(snapshot((1, 1), complete=False, cursor=""))
    copy.take(reply(False, request_id=None))
    with pytest.raises(BrokenRule, match="2 frames unacknowledged"):
        copy.take(snapshot((2, 2)))
    copy.take(snapshot(cursor="void"))
    assert copy.rows == {}


MADE = {"writes": ["save", "delete"], "writers": 3, "clients": 4, "faults": ["flood"]}


def test_a_seed_is_a_program():
    """The same seed makes the same program, another one another; there are all kinds of steps."""
    program = make_program(7, 400, **MADE)
    assert program == make_program(7, 400, **MADE)
    assert program != make_program(8, 400, **MADE)
    assert {step.do for step in program} == {"write", "client", "pause", "kill", "fault"}
    assert all(map(str, program))


async def test_a_failing_program_is_shrunk():
    """Steps that have no part in a failure are left out, within the attempts."""
    program = make_program(7, 100, **MADE)
    culprits = [step for step in program if step.do == "write"][10:12]
    tried = []

    async def fails(steps):
        tried.append(steps)
        return all(step in steps for step in culprits)

    shorter = await shrink(program, fails, attempts=60)
    assert len(tried) <= 60
    assert set(culprits) <= set(shorter)
    assert len(shorter) <= len(program) / 4
    assert await shrink(program, fails, attempts=0) == program


def test_parts_are_left_out_by_role_first():
    """A program without one of its clients or writers is tried before halves of it."""
    program = [Step("client", 0, "drop"), Step("client", 1, "drop"), Step("write", 0, "save", 1)]
    assert list(parts_left_out(program))[:3] == [
        [program[1], program[2]],
        [program[0], program[2]],
        [program[0], program[1]],
    ]


def test_delays_are_those_of_clients_that_listen():
    """A commit is measured if the client listened from it to its arrival, however that is told."""
    delays = []
    arrivals = Arrivals("s", "value", lambda at, arrived: delays.append((at, arrived)))
    arrivals.listens(True, 0.0)
    arrivals.committed("a", 1, 0.5)  # the first tells which row it is
    arrivals.arrived({"a": {"value": 1}}, 1.0)
    arrivals.committed("a", 2, 2.0)
    arrivals.arrived({"a": {"value": 2}}, 2.5)
    arrivals.arrived({"a": {"value": 4}}, 4.5)
    arrivals.committed("a", 3, 4.0)  # told after it has arrived, with a later one
    arrivals.committed("a", 5, 5.0)
    arrivals.listens(False, 5.5)
    arrivals.arrived({"a": {"value": 5}}, 9.0)
    arrivals.committed("a", 6, 9.5)
    arrivals.listens(True, 10.0)
    arrivals.arrived({"a": {"value": 6}}, 10.5)
    assert delays == [(2.0, 2.5), (4.0, 4.5)]


def test_a_write_must_be_found_by_other_processes():
    """A function that a writer's process can't import is refused at once."""
    with pytest.raises(ValueError, match="must be a function of a module"):
        Oracle([], visitors=[], streams=[], writes=[lambda chance: None])


def test_a_report_of_violations_raises():
    """`check` says everything: what, seed, steps, last frames and counts; without any, nothing."""
    report = Report(programs=2)
    report.check()
    steps = [Step("write", 1, "save", 5), Step("pause", number=3)]
    report.violations.append(Violation("It is wrong.", 77, steps, [json.dumps(batch())]))
    with pytest.raises(AssertionError) as raised:
        report.check()
    for part in ("It is wrong.", "seed 77", "writer 1: save (5)", '"events": []', "programs     2"):
        assert part in str(raised.value)
