"""`refresh_every`: what no capture saw heals, and nothing else is sent."""

import itertools
from random import Random

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.checks import run_checks
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from databinding import refreshes as refreshes_module
from databinding import triggers
from databinding.form import Form
from databinding.reading import Reader
from databinding.refreshes import Refreshes
from databinding.relay import relay_for
from tests.databinding.clients import Client, eventually
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import LatestBinding, MessageBinding, NamedBinding
from tests.shapes.models import Message, Room
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

EVERY = 0.05


@pytest.fixture
def net(by_signals, monkeypatch):
    """Bindings are asked anew all the time; capture sees little."""
    for binding in (IntegerValueBinding, MessageBinding, LatestBinding, NamedBinding):
        monkeypatch.setattr(binding, "refresh_every", EVERY)
    monkeypatch.setattr(Refreshes, "SHARE", 0.5)


@in_database
def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@in_database
def stored():
    return {row.pk: {"name": row.name, "value": row.value} for row in IntegerValue.objects.all()}


@in_database
def fill(number):
    rows = IntegerValue.objects.bulk_create(
        IntegerValue(name=f"row {place}") for place in range(number)
    )
    return [row.pk for row in rows]


def tally():
    return relay_for("default").tally


def scheduled():
    """How often a binding was read anew because it was time."""
    return sum(tally().scheduled.counts)


def batches(client):
    """The events of each batch but empty ones."""
    payloads = [frame["payload"] for frame in client.frames]
    return [one["events"] for one in payloads if one["action"] == "batch" and one["events"]]


async def several_refreshes(number=3):
    before = scheduled()
    await eventually(lambda: scheduled() >= before + number)


# What is sent


async def test_what_no_capture_saw_heals(net):
    """Rows that came, changed or went unseen are sent, those alone, and all at once."""
    one, two, *same = await fill(4)
    before = tally().healed
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await execute(
            f"UPDATE talk_integervalue SET value = 7 WHERE id = {one}",
            f"DELETE FROM talk_integervalue WHERE id = {two}",
            "INSERT INTO talk_integervalue (name, value) VALUES ('new', 1)",
        )
        expected = await stored()
        await client.until("intval", expected)
        told = {event["pk"] for events in batches(client) for event in events}
        assert told == ({one, two} | expected.keys()) - set(same)
        assert tally().healed - before == len(told)


async def test_where_nothing_differs_nothing_is_sent(net):
    """Rows that are as they were when they are asked again make no frame."""
    await fill(3)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        before = tally().healed
        await several_refreshes()
        assert await client.nothing_comes()
        assert tally().healed == before


async def test_what_keys_tell_is_not_healing(net):
    """A change that was captured is delivered as ever, and counts for no hole in the capture."""

    @in_database
    def save(pk, value):
        with transaction.atomic():  # else the key is journalled after the row's own commit
            IntegerValue(pk=pk, name="row 0", value=value).save()

    (pk,) = await fill(1)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        before = tally().healed
        for value in range(1, 20):
            await save(pk, value)
            await client.until("intval", {pk: {"name": "row 0", "value": value}})
        await several_refreshes()
        assert tally().healed == before


async def test_rows_that_move_between_groups_and_windows(net):
    """Who left a group unseen leaves it, who entered enters, and a window shows the first again."""

    @in_database
    def rooms():
        rooms = [Room.objects.create(name=name) for name in "ab"]
        Message.objects.bulk_create(
            Message(room=rooms[0], text=text, hidden=False) for text in "bcdef"
        )
        return [room.pk for room in rooms]

    one, other = await rooms()
    kwargs = {"kwargs": {"rooms": str(one)}}
    async with Client(Shapes, url_route=kwargs) as client:
        for stream in ("message", "latest"):
            await client.subscribe(stream)

        def texts(stream):
            return sorted(row["text"] for row in client.rows[stream].values())

        assert (texts("message"), texts("latest")) == (list("bcdef"), list("bcd"))
        await execute(
            f"UPDATE shapes_message SET room_id = {other} WHERE text = 'c'",
            "UPDATE shapes_message SET text = 'a' WHERE text = 'f'",
            "DELETE FROM shapes_message WHERE text = 'd'",
        )
        while (texts("message"), texts("latest")) != (list("abe"), list("abe")):
            await client.receive()


async def test_who_comes_back_gets_a_snapshot(net):
    """A cursor can't tell what nobody saw, so it isn't honoured."""
    (pk,) = await fill(1)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor = client.cursors["intval"]
    await execute("UPDATE talk_integervalue SET value = 9")
    # Another process would hold none of the rows from before.
    relay_for("default").stop()
    async with Client(Demultiplexer) as client:
        assert not await client.subscribe("intval", cursor=cursor)
        assert client.rows["intval"] == {pk: {"name": "row 0", "value": 9}}


async def test_a_served_page_shows_what_was_healed(net):
    """The rows for a served page are made anew after rows have healed, though no key came."""
    (pk,) = await fill(1)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        relay = relay_for("default")

        def page(this):
            audience = this.audience(Form(IntegerValueBinding), ["intval-updates"])
            return audience.page("intval", this.standing)

        assert '"value":0' in await in_database(lambda: relay.submit(page).result())()
        await execute("UPDATE talk_integervalue SET value = 9")
        await client.until("intval", {pk: {"name": "row 0", "value": 9}})
        assert '"value":9' in await in_database(lambda: relay.submit(page).result())()


# When


async def test_only_while_somebody_subscribes(net, monkeypatch):
    """Rows that nobody subscribes to any more aren't asked for, though they are held a while."""
    asked = set()
    compared = Reader.compared

    def noted(self, form, rows):
        asked.add(form)
        return compared(self, form, rows)

    monkeypatch.setattr(Reader, "compared", noted)
    await fill(1)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await several_refreshes()
    relay = relay_for("default")
    await eventually(lambda: not relay.holdings.in_use())
    async with Client(Shapes) as client:
        await client.subscribe("named")
        asked.clear()
        await several_refreshes()
        assert set(relay.holdings.rows) == {Form(IntegerValueBinding), Form(NamedBinding)}
        assert asked == {Form(NamedBinding)}


async def test_groups_too_large_to_be_held_are_left_alone(net):
    """What isn't held can't be compared, and isn't sent again as a whole."""
    await fill(5)
    with override_settings(DATABINDING={"CAPTURE": "signals", "GROUP_LIMIT": 2}):
        async with Client(Demultiplexer) as client, Client(Shapes) as other:
            await client.subscribe("intval")
            await other.subscribe("named")
            await several_refreshes()
            assert await client.nothing_comes()


async def test_a_failing_refresh_is_one_fault(net, monkeypatch, caplog):
    """A binding whose rows can't be asked for keeps what it has, and heals when they can."""
    (pk,) = await fill(1)

    def fails(cls):
        raise RuntimeError("theirs")

    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        with monkeypatch.context() as patched:
            patched.setattr(IntegerValueBinding, "get_queryset", classmethod(fails))
            await eventually(lambda: "can't be read" in caplog.text)
        await execute("UPDATE talk_integervalue SET value = 3")
        await client.until("intval", {pk: {"name": "row 0", "value": 3}})


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1_000.0
        monkeypatch.setattr(refreshes_module.time, "monotonic", lambda: self.now)


def forms(*intervals):
    return [Form(type("One", (), {"refresh_every": every})) for every in intervals]


@given(
    intervals=st.lists(st.none() | st.floats(1, 50), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    costs=st.lists(st.floats(0, 3), min_size=1, max_size=9),
)
def test_each_has_its_turn_and_its_share(intervals, seed, costs):
    """As many are due as their intervals and their share of time allow, and none is left out."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        refreshes = Refreshes(Random(seed))
        wanted = forms(*intervals)
        began, spent = clock.now, 0.0
        latest = {}
        for cost in itertools.islice(itertools.cycle(costs), 1_000):
            found = refreshes.next(wanted)
            if found is None:
                assert not any(intervals)
                return
            form, seconds = found
            clock.now += max(0.0, seconds)
            if form in latest:
                assert clock.now - latest[form] >= form.binding.refresh_every - 1e-6
            clock.now += cost
            spent += cost
            refreshes.done(form, cost)
            latest[form] = clock.now
            # But for the latest, of which the pause is still to come.
            assert spent - cost <= refreshes.SHARE * (clock.now - began) + 1e-6
        assert latest.keys() == {one for one in wanted if one.binding.refresh_every}


def test_they_begin_at_different_times(monkeypatch):
    """Bindings with one interval don't fall due together, nor do processes."""
    Clock(monkeypatch)
    wanted = forms(*[10.0] * 5)
    found = [Refreshes(Random(seed)).next(wanted) for seed in range(20)]
    assert len({form for form, _ in found}) > 1
    assert all(0 <= seconds <= 10 for _, seconds in found)
    assert len({seconds for _, seconds in found}) == 20


def test_one_that_is_put_off_begins_anew(monkeypatch):
    """After nobody was subscribed its first turn comes within an interval."""
    clock = Clock(monkeypatch)
    (one,) = forms(10.0)
    refreshes = Refreshes()
    refreshes.next([one])
    clock.now += 100
    assert refreshes.next([one])[1] < 0
    refreshes.put_off(one)
    assert 0 <= refreshes.next([one])[1] <= 10
    clock.now += 1
    assert refreshes.next([]) is None


@pytest.mark.parametrize("every", [0, -1, True, "60", float("nan")])
def test_an_interval_that_is_none(every, monkeypatch):
    """`refresh_every` is a number of seconds above 0, or a check names the binding."""
    monkeypatch.setattr(IntegerValueBinding, "refresh_every", every)
    found = [one for one in run_checks() if one.id == "databinding.E010"]
    assert [one.obj for one in found] == [IntegerValueBinding]
    assert repr(every) in found[0].msg


def test_without_it_triggers_are_believed(transactional_db):
    """No binding is asked anew unless it says so."""
    assert IntegerValueBinding.refresh_every is None
    assert not triggers.drift("default")
