"""The crowd that loads servers: it gets everything, in order, and says what it missed."""

import subprocess
import sys
import time
import urllib.request

import pytest

from bench.crowd import Crowd, State
from bench.frames import name_of, text
from tests.servers import CHECKOUT, reserve_port, wait_until

ROWS = 3


@pytest.fixture
def port():
    """That of a server which sends without any framework."""
    reservation = reserve_port()
    port = reservation.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.limits", str(port)], cwd=CHECKOUT
    ) as server:
        wait_until(lambda: answers(port))
        yield port
        server.kill()
    reservation.close()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            return answer.status == 200
    except OSError:
        return False


def send(port, first, count):
    path = f"/bench/run?first={first}&count={count}&gap=0&rows={ROWS}"
    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").close()


def test_everybody_has_everything(port):
    """Every client gets each frame once and in order, and none is lost."""
    crowd = Crowd(port, "/bench/raw/", 5)
    try:
        crowd.reset()
        began = time.time()
        send(port, 1, 30)
        assert crowd.wait_for(30)
        got = crowd.report(dict.fromkeys(range(1, 31), began), rows=ROWS)
    finally:
        crowd.close()
    assert (got["clients"], got["frames"], got["events"]) == (5, 150, 150)
    assert (got["expected"], got["lost"], got["disorder"]) == (150, 0, 0)
    assert 0 <= got["p50_ms"] <= got["p99_ms"] <= got["most_ms"]


def test_what_is_missing_is_lost(port):
    """Of values that were never sent it says that they were lost, and that not all are there."""
    crowd = Crowd(port, "/bench/raw/", 2)
    try:
        crowd.reset()
        send(port, 1, 3)
        assert crowd.wait_for(3)
        assert not crowd.wait_for(4, patience=0.1)
        got = crowd.report({value: time.time() for value in range(1, 6)}, rows=ROWS)
    finally:
        crowd.close()
    assert (got["expected"], got["lost"]) == (10, 4)


def test_a_later_value_makes_up_for_those_before():
    """A frame that passes over values of a row covers them; an older value is disorder."""
    state = State({}, 0).after(text(name_of(1, ROWS), 1).encode())
    state = state.after(text(name_of(7, ROWS), 7).encode())
    assert state.covered == [(1, 7)]
    assert (state.value, state.disorder) == (7, 0)
    state = state.after(text(name_of(4, ROWS), 4).encode())
    assert (state.covered, state.value, state.disorder) == ([], 7, 1)
