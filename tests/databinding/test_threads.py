"""The threads in which requests ask the database, and their connections."""

import asyncio
import os
import shutil
import threading
from contextvars import ContextVar

import pytest
from django.db import OperationalError, connection, connections

from databinding import threads
from databinding.stray import Stray
from databinding.threads import Together, close_connections, in_database
from tests.databinding.clients import PATIENCE, eventually
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


async def asked():
    """The connection underneath, after a question in the one thread."""

    def ask():
        IntegerValue.objects.count()
        return connection.connection

    return await in_database(ask)()


@pytest.fixture
def one_thread(settings, monkeypatch):
    """Every request is the same thread's."""
    close_connections()
    monkeypatch.setattr(threads, "_asking", None)
    settings.DATABINDING = {"DATABASE_THREADS": 1, "DATABASE_KEEP": 60}
    yield settings
    close_connections()


async def test_a_connection_is_used_again(one_thread):
    """A request uses the connection of the one before."""
    assert await asked() is await asked()


async def test_a_connection_that_lies_too_long_is_closed(one_thread):
    """DATABASE_KEEP seconds after it was opened another one is; without it, for each request."""
    one_thread.DATABINDING = {"DATABASE_THREADS": 1, "DATABASE_KEEP": 0.05}
    first = await asked()
    await asyncio.sleep(0.1)
    second = await asked()
    assert second is not first
    one_thread.DATABINDING = {}
    await asked()
    third = await asked()
    assert third is not second
    assert await asked() is not third


async def test_what_a_project_says_counts(one_thread, monkeypatch):
    """A project's own CONN_MAX_AGE is as Django has it."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    one_thread.DATABINDING = {"DATABASE_THREADS": 1}
    assert await asked() is await asked()


def end(pid):
    """Have PostgreSQL close the connection of this session."""
    other = connections["default"].copy()
    with other.cursor() as cursor:
        # Told that it is to end it goes on for a moment.
        cursor.execute("SELECT pg_terminate_backend(%s, %s)", [pid, PATIENCE * 1000])
        assert cursor.fetchone() == (True,)
    other.close()


async def test_a_transaction_that_is_left_open_is_nobody_elses(one_thread):
    """Nobody writes into a transaction that somebody has begun past Django, and not ended."""

    def begin():
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
        return connection.connection

    assert await in_database(begin)() is not await asked()


@pytest.mark.postgresql
async def test_a_connection_that_has_failed_is_replaced(one_thread):
    """One that the database has closed meanwhile isn't noticed by who asks next."""
    first = await asked()
    await in_database(lambda: end(first.info.backend_pid))()
    assert await asked() is not first


@pytest.mark.sqlite
async def test_a_file_that_was_replaced_is_opened_anew(one_thread, tmp_path):
    """After a copy is in the file's place, or nothing, no request reads or writes the old one."""
    file, old = connection.settings_dict["NAME"], tmp_path / "old.sqlite3"
    first = await asked()
    shutil.move(file, old)
    try:
        shutil.copy(old, file)
        assert await asked() is not first
        os.unlink(file)
        with pytest.raises(OperationalError, match="no such table"):
            await asked()
    finally:
        close_connections()
        shutil.move(old, file)


async def gathered(together, questions):
    return await asyncio.gather(*map(together, questions), return_exceptions=True)


async def test_questions_that_wait_are_answered_together():
    """Each gets its own answer; those that come meanwhile are the next call's."""
    calls = []

    def answer(asked):
        calls.append(len(asked))
        return [2 * one for one in asked]

    together = Together(answer)
    assert await gathered(together, range(1200)) == [2 * one for one in range(1200)]
    # On a busy machine one is made beside another that takes long, in a thread of its own.
    assert sorted(calls) == [200, 500, 500]
    assert await together(7) == 14
    assert calls[3:] == [1]


tenant = ContextVar("tenant", default="nobody's")


async def test_nothing_of_one_asker_is_in_the_others_call():
    """What stands in an asker's context variables stands in no call that is for others, too."""
    together = Together(lambda asked: [(one, tenant.get()) for one in asked])

    async def asked(name):
        tenant.set(name)
        return await together(name)

    assert await gathered(asked, "ab") == [("a", "nobody's"), ("b", "nobody's")]


async def test_a_call_that_fails_is_who_asked():
    """What it raises everybody gets whom it was to answer, and the next call is another."""

    def answer(asked):
        if "bad" in asked:
            raise ValueError("bad")
        return asked

    together = Together(answer)
    assert [type(one) for one in await gathered(together, ["good", "bad"])] == [ValueError] * 2
    assert await gathered(together, ["good", "fine"]) == ["good", "fine"]


@pytest.fixture
def gates(monkeypatch):
    """The calls that are on their way, each a future to be set when it is to come back."""
    gates = []

    def in_database(answer):
        async def asked(questions):
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]
            return answer(questions)

        return asked

    monkeypatch.setattr(threads, "in_database", in_database)
    return gates


async def test_who_asks_meanwhile_waits_for_a_call_that_is_quick(gates, monkeypatch):
    """Until a call takes long nobody makes another beside it; then all who wait make one."""
    monkeypatch.setattr(Together, "LONG", 3600)
    calls = []

    def answer(asked):
        calls.append(list(asked))
        return asked

    together = Together(answer)
    first = asyncio.create_task(together(0))
    await eventually(lambda: gates)
    others = [asyncio.create_task(together(number)) for number in (1, 2)]
    await asyncio.sleep(0)  # They ask.
    gates[0].set_result(None)
    await eventually(lambda: len(gates) == 2)
    gates[1].set_result(None)
    assert await asyncio.gather(first, *others) == [0, 1, 2]
    assert calls == [[0], [1, 2]]


async def test_who_asks_as_all_calls_end_is_answered(gates):
    """A question that comes in the moment in which those on their way end isn't left lying."""
    together = Together(list)
    asked = []
    for number in range(Together.CALLS):
        asked.append(asyncio.create_task(together(number)))
        await eventually(lambda number=number: len(gates) > number)
    for gate in gates:
        gate.set_result(None)
    last = asyncio.create_task(together("last"))
    assert await asyncio.gather(*asked) == list(range(Together.CALLS))
    await eventually(lambda: len(gates) > Together.CALLS)
    gates[-1].set_result(None)
    assert await last == "last"


async def test_a_call_that_is_cancelled_leaves_the_next_one_free(gates):
    """Who asks after the call on its way was cancelled is answered."""
    together = Together(list)
    lost = asyncio.create_task(together("lost"))
    await eventually(lambda: gates)
    (call,) = together._lines[asyncio.get_running_loop()].calls
    call.cancel()
    await asyncio.wait([call])
    last = asyncio.create_task(together("last"))
    await eventually(lambda: len(gates) == 2)
    gates[1].set_result(None)
    assert await last == "last"
    lost.cancel()


@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit, StopIteration])
async def test_a_call_that_goes_astray_leaves_nobody_waiting(raised):
    """Whatever `answer` raises, those who asked are told so, and others are answered."""

    def answer(questions):
        if "bad" in questions:
            raise raised
        return list(questions)

    together = Together(answer)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Stray):
            await together("bad")
        assert await together("good") == "good"


async def test_a_call_that_takes_long_holds_up_nobody_else():
    """Who asks while another's answer is waited for is answered before it."""
    asking, go_on = threading.Event(), threading.Event()

    def answer(asked):
        if "slow" in asked:
            asking.set()
            assert go_on.wait(PATIENCE)
        return asked

    together = Together(answer)
    slow = asyncio.create_task(together("slow"))
    gone = asyncio.create_task(together("gone"))
    await asyncio.to_thread(asking.wait, PATIENCE)
    gone.cancel()
    assert await together("quick") == "quick"
    assert not slow.done()
    go_on.set()
    assert await slow == "slow"
    assert gone.cancelled()
