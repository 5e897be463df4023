"""What a loop asks of a relay, and who has gone when it is answered."""

import asyncio
import time

import pytest

from databinding.form import Form
from databinding.hub import Hub, _Asked, running_hub
from databinding.relay import DatabaseAway, relay_for
from databinding.stray import Stray
from tests.databinding.clients import PATIENCE, eventually
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


def join(hub):
    return hub.join(Form(IntegerValueBinding), ["intval-updates"], "intval")


def no_places():
    return not relay_for("default").holdings.in_use()


def leave(joined):
    relay_for("default").leave(joined.audience, ("intval", False), joined.user)


async def test_who_goes_before_the_answer_has_no_place():
    """The place of who is cancelled while he waits for it is given back, once it is his."""
    relay = relay_for("default")
    leave(await join(running_hub()))
    with relay.asking:
        waiting = asyncio.create_task(join(running_hub()))
        await eventually(lambda: running_hub()._asked)
    with relay.asking:
        # Whether it has been answered by now or not.
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually(no_places)
    assert not running_hub()._asked


async def test_who_goes_as_he_is_answered_has_no_place(monkeypatch):
    """So it is of who is cancelled when he has been told, before he could take it."""
    hub = running_hub()
    tell = _Asked.tell

    def and_cancel(self):
        tell(self)
        assert self.future.done()
        waiting.cancel()

    monkeypatch.setattr(_Asked, "tell", and_cancel)
    waiting = asyncio.create_task(join(hub))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually(no_places)


async def test_who_goes_as_his_relay_is_given_up_has_no_place(monkeypatch):
    """His place is given back once, also where the answer came when nobody was to wait for it."""
    hub, relay = running_hub(), relay_for("default")
    other = await join(hub)
    tell = _Asked.tell

    def late(self):
        self.future.set_exception(DatabaseAway())
        waiting.cancel()
        asyncio.get_running_loop().call_soon(tell, self)

    monkeypatch.setattr(_Asked, "tell", late)
    waiting = asyncio.create_task(join(hub))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually(lambda: not relay._departures)
    assert other.audience.doors["intval", False] == 1
    leave(other)
    await eventually(no_places)


async def test_what_one_asks_in_vain_leaves_nobody_waiting():
    """Whatever a binding raises, who asked is told so, and others in the same pass are answered."""

    def bad(this):
        return next(iter(()))

    hub, relay = running_hub(), relay_for("default")
    with relay.asking:
        asked = [bad, lambda this: "good"]
        waiting = [asyncio.create_task(hub.ask(relay, work)) for work in asked]
        await eventually(lambda: len(hub._asked) == 2)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Stray):
            await waiting[0]
        assert await waiting[1] == "good"


async def test_a_crowd_is_told_a_few_at_a_time(monkeypatch):
    """Between those who are answered in one turn of the loop and the next, others have theirs."""
    monkeypatch.setattr(Hub, "AT_ONCE", 3)
    turns, told = [], []
    tell = _Asked.tell
    loop = asyncio.get_running_loop()

    def noting(self):
        told.append(len(turns))
        tell(self)

    def turn():
        turns.append(1)
        if len(told) < 10:
            loop.call_soon(turn)

    monkeypatch.setattr(_Asked, "tell", noting)
    with relay_for("default").asking:
        waiting = [asyncio.create_task(join(running_hub())) for _ in range(10)]
        await eventually(lambda: len(running_hub()._asked) == 10)
    loop.call_soon(turn)
    for joined in await asyncio.gather(*waiting):
        leave(joined)
    assert max(told.count(one) for one in told) <= 3
    assert len(set(told)) >= 4


async def test_a_crowd_goes_a_few_at_a_time(monkeypatch):
    """Who leaves waits for those who have come to that before, and others have their turn too."""
    monkeypatch.setattr(Hub, "AT_ONCE", 3)
    hub, turns, gone = running_hub(), [], []
    loop = asyncio.get_running_loop()

    async def leaving(number):
        await hub.turn()
        gone.append((number, len(turns)))

    def turn():
        turns.append(1)
        if len(gone) < 9:
            loop.call_soon(turn)

    leavers = [asyncio.create_task(leaving(number)) for number in range(10)]
    loop.call_soon(turn)
    await asyncio.sleep(0)
    leavers[5].cancel()
    await asyncio.gather(*leavers, return_exceptions=True)
    assert [number for number, _ in gone] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    when = [turn for _, turn in gone]
    assert max(when.count(one) for one in when) <= 3
    await hub.turn()
    assert not hub._in_line


@pytest.mark.parametrize("answered", [True, False], ids=["before it", "after it"])
def test_a_loop_that_is_closed_has_no_places(answered):
    """What a loop was to be told that is closed by now, nobody waits for."""
    relay = relay_for("default")
    loop = asyncio.new_event_loop()

    async def ask():
        leave(await join(running_hub()))
        relay.asking.acquire()
        tasks.append(asyncio.create_task(join(running_hub())))
        await eventually(lambda: running_hub()._asked)
        return running_hub()

    tasks = []
    hub = loop.run_until_complete(ask())
    if answered:
        # It is told in a turn of the loop that never comes.
        relay.asking.release()
        until(lambda: hub._answered)
        loop.close()
        IntegerValue.objects.create(name="news")
    else:
        loop.close()
        relay.asking.release()
    until(no_places)
    (task,) = tasks
    task._log_destroy_pending = False  # So it is meant to be.


def until(condition):
    """As `eventually`, where no loop runs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "It did not become true."
        time.sleep(0.01)
