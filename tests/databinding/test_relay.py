"""When the relay's thread does what is asked of it."""

import threading

import pytest
from django.test import override_settings

from databinding.form import Form
from databinding.relay import Relay, relay_for
from tests.databinding.clients import PATIENCE
from tests.talk.bindings import IntegerValueBinding

pytestmark = pytest.mark.django_db(transaction=True)

WANTS = (Form(IntegerValueBinding), ["intval-updates"], None)


def nothing(this):
    return None


def test_who_came_with_others_passes_holds_up_nobody_who_comes_later():
    """However many joined in passes that were made for something else, the next waits for one."""
    relay = relay_for("default")
    with override_settings(DATABINDING={"PASS_PAUSE": PATIENCE / 50}):
        for _ in range(100):
            joined = relay.submit(nothing, WANTS)
            relay.submit(nothing).result(PATIENCE)
            joined.result(PATIENCE)
        relay.submit(nothing, WANTS).result(PATIENCE)


def test_a_thread_that_cannot_be_started_is_started_by_the_next_job(monkeypatch):
    """Where a process may have no more threads for a moment, nobody waits for one that isn't."""
    relay = Relay("default")
    with monkeypatch.context() as crowded:

        def start(thread):
            raise RuntimeError("can't start new thread")

        crowded.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            relay.submit(nothing)
    try:
        assert relay.submit(lambda this: 2).result(PATIENCE) == 2
    finally:
        relay.stop()
