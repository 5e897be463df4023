"""The first rung: what `examples/coroutines.py` prints, and in which order."""

from tests.examples.programs import run


def test_its_output_shows_what_overlaps():
    """One after the other, at the same time, and through a queue: each shows in the order."""
    status, printed, errors = run("examples/coroutines.py")
    assert (status, errors) == (0, "")
    events = [line.split("s  ", 1)[1] for line in printed.splitlines()]
    assert events == [
        "- one after the other",
        "coffee: begun",
        "coffee: done",
        "toast: begun",
        "toast: done",
        "- together",
        "coffee: begun",
        "toast: begun",
        "toast: done",
        "coffee: done",
        "- a queue between",
        "pancake 1: on the plate",
        "pancake 2: on the plate",
        "pancake 3: on the plate",  # the first has just left it: two have room
        "pancake 1: eaten",
        "pancake 4: on the plate",
        "pancake 2: eaten",
        "pancake 3: eaten",
        "pancake 4: eaten",
    ]


def test_its_times_grow():
    """Each line begins with the seconds since the start."""
    _, printed, _ = run("examples/coroutines.py")
    times = [float(line.split(" s", 1)[0]) for line in printed.splitlines()]
    assert times == sorted(times)
    assert times[0] < times[-1]
