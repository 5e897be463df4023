"""A fault in one row, binding, client or loop stays there."""

import asyncio
import gc
import json
import time
from contextlib import suppress

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Length
from django.test import override_settings

from databinding import reading
from databinding.audience import Audience
from databinding.conf import settings as conf
from databinding.form import Form
from databinding.holdings import Holdings
from databinding.relay import _Life, relay_for, stop_relays
from tests.databinding.clients import PATIENCE, Client, Socket, eventually, named
from tests.databinding.programs import other_program
from tests.databinding.users import user_named
from tests.servers import shell, wait_until
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import (
    LatestBinding,
    MessageBinding,
    NamedBinding,
    NoteBinding,
    PaperBinding,
)
from tests.shapes.models import Message, Named, Note, Paper, Room
from tests.talk.bindings import Demultiplexer as Talk
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

Both = named(
    {"intval": IntegerValueBinding, "paper": PaperBinding, "named": NamedBinding},
    ["intval-updates", "papers", "named"],
)


def sql(statement):
    other_program(statement)


@pytest.mark.sqlite
async def test_a_row_that_the_database_cannot_convert_stays_alone():
    """A value that Django can't even read leaves its row as it was, and all others live."""
    paper = await in_database(Paper.objects.create)(amount="1.00")
    other = await in_database(Paper.objects.create)(amount="2.00")
    async with Client(Both) as client:
        await client.subscribe("paper")
        await client.subscribe("intval")
        await in_database(sql)("UPDATE shapes_paper SET day = '2024-02-31', ratio = 5")
        await in_database(sql)(f"UPDATE shapes_paper SET day = NULL WHERE id = '{other.pk.hex}'")
        value = await in_database(IntegerValue.objects.create)(name="a")
        await client.until("intval", {value.pk: {"name": "a", "value": 0}})
        rows = client.rows["paper"]
        while rows[str(other.pk)]["ratio"] != 5:
            await client.receive()
        assert rows[str(paper.pk)]["ratio"] == 0
        await in_database(sql)("UPDATE shapes_paper SET day = '2024-02-28'")
        while rows[str(paper.pk)]["day"] != "2024-02-28":
            await client.receive()


async def test_what_could_not_be_read_is_read_again_by_itself(monkeypatch):
    """A row that failed for a passing reason becomes right without being touched."""
    row = await in_database(Named.objects.create)(code="a")
    whole = NamedBinding.serialize_data
    failing = True

    def serialize_data(self, instance):
        if failing:
            raise ConnectionError("the cache is away")
        return whole(self, instance)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        monkeypatch.setattr(NamedBinding, "serialize_data", serialize_data)
        await in_database(Named.objects.update)(value=7)
        await in_database(IntegerValue.objects.create)(name="a")
        assert await client.nothing_comes()
        failing = False
        await client.until("named", {row.pk: {"value": 7}})


async def test_a_faulty_row_is_owed_also_by_a_pass_that_breaks_off(monkeypatch):
    """A database that goes away after the news were read doesn't make a faulty row forgotten."""
    row = await in_database(Named.objects.create)(code="a")
    whole, do = NamedBinding.serialize_data, _Life._do
    broken_off = []

    def serialize_data(self, instance):
        if not broken_off:
            raise ConnectionError("the cache is away")
        return whole(self, instance)

    def break_off(self, jobs, this):
        if this.reader.faulty and not broken_off:
            broken_off.append(True)
            raise OperationalError("gone")
        do(self, jobs, this)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        monkeypatch.setattr(NamedBinding, "serialize_data", serialize_data)
        monkeypatch.setattr(_Life, "_do", break_off)
        await in_database(Named.objects.update)(value=7)
        await client.until("named", {row.pk: {"value": 7}})


async def test_a_row_that_fails_again_and_again_holds_up_no_other(monkeypatch):
    """While one faulty row is written all the time, another is read again as soon as ever."""
    await in_database(Named.objects.bulk_create)([Named(code="a"), Named(code="b")])
    whole = NamedBinding.serialize_data
    failed = []

    def serialize_data(self, instance):
        if instance.code == "a" or not failed:
            failed.append(instance.code)
            raise ValueError("not a number")
        return whole(self, instance)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        monkeypatch.setattr(NamedBinding, "serialize_data", serialize_data)
        monkeypatch.setattr(_Life, "OWED_MOST", 0.5)
        await in_database(Named.objects.filter(code="b").update)(value=7)
        await eventually(lambda: failed == ["b"])
        healed = asyncio.create_task(client.until("named", {"a": {"value": 0}, "b": {"value": 7}}))
        value = 0
        while not healed.done():
            value += 1
            await in_database(Named.objects.filter(code="a").update)(value=value)
            await asyncio.sleep(0.05)
        await healed


async def test_a_row_that_has_failed_for_long_holds_up_no_other_binding(monkeypatch):
    """A binding that fails for a moment heals at once, also where another has long had a fault."""
    await in_database(Named.objects.create)(code="a")
    row = await in_database(IntegerValue.objects.create)(name="a")
    whole = IntegerValueBinding.serialize_data
    failed = []

    def serialize_data(self, instance):
        if not failed:
            failed.append(instance.pk)
            raise ConnectionError("the cache is away")
        return whole(self, instance)

    async with Client(Both) as client:
        await client.subscribe("named")
        await client.subscribe("intval")
        with monkeypatch.context() as patch:
            patch.setattr(_Life, "OWED_FIRST", 1_000)
            patch.setattr(_Life, "OWED_MOST", 1_000)
            patch.setattr(NamedBinding, "serialize_data", lambda self, instance: 1 / 0)
            await in_database(Named.objects.update)(value=7)
            await eventually(lambda: relay_for("default").tally.owed == 1)
        monkeypatch.setattr(IntegerValueBinding, "serialize_data", serialize_data)
        await in_database(IntegerValue.objects.update)(value=7)
        await client.until("intval", {row.pk: {"name": "a", "value": 7}})
        assert failed == [row.pk]


@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit])
async def test_what_ends_a_task_or_a_program_ends_no_relay(raised, monkeypatch):
    """A binding that raises what isn't meant for it has one faulty row; the others go on."""
    await in_database(Named.objects.bulk_create)([Named(code="a"), Named(code="b")])
    whole = NamedBinding.serialize_data
    failing = True

    def serialize_data(self, instance):
        if failing and instance.code == "a":
            raise raised
        return whole(self, instance)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        monkeypatch.setattr(NamedBinding, "serialize_data", serialize_data)
        await in_database(Named.objects.update)(value=7)
        await client.until("named", {"a": {"value": 0}, "b": {"value": 7}})
        failing = False
        await client.until("named", {"a": {"value": 7}, "b": {"value": 7}})


async def test_a_journal_that_cannot_be_pruned_is_read_all_the_same(database):
    """Whatever keeps old keys from being dropped, pages are told what is new."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    away = "ALTER TABLE databinding_mark RENAME TO databinding_away"
    back = "ALTER TABLE databinding_away RENAME TO databinding_mark"
    with override_settings(DATABINDING={"RETENTION": 0.1}):
        async with Client(Talk) as client:
            await client.subscribe("intval")
            await in_database(sql)(away)
            try:
                for value in (1, 2, 3):
                    await in_database(IntegerValue.objects.update)(value=value)
                    await client.until("intval", {row.pk: {"name": "a", "value": value}})
            finally:
                await in_database(sql)(back)


async def test_accounts_that_cannot_be_read_stop_no_other_binding(database):
    """Where users' table can't be read, rows of nobody's own are live; users' own catch up."""
    user = await user_named("ana")
    note = await in_database(Note.objects.create)(owner=user, text="a")
    row = await in_database(IntegerValue.objects.create)(name="a")
    Mixed = named({"intval": IntegerValueBinding, "note": NoteBinding}, ["intval-updates", "notes"])
    async with Client(Mixed, user=user) as client, Client(Mixed) as other:
        await client.subscribe("note")
        await client.subscribe("intval")
        await in_database(sql)("ALTER TABLE auth_user RENAME TO auth_away")
        try:
            await in_database(Note.objects.update)(text="b")
            await in_database(IntegerValue.objects.update)(value=1)
            await client.until("intval", {row.pk: {"name": "a", "value": 1}})
            await other.subscribe("intval")
            assert client.rows["note"][note.pk]["text"] == "a"
        finally:
            await in_database(sql)("ALTER TABLE auth_away RENAME TO auth_user")
        while client.rows["note"][note.pk]["text"] != "b":
            await client.receive()


@pytest.mark.parametrize("error", [OperationalError("no such column: x"), RuntimeError("bug")])
async def test_a_stream_whose_queries_fail_stops_no_other(error, monkeypatch, caplog):
    """A binding that can't be read answers 500; others go on at once, before and after."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    async with Client(Both) as client, Client(Both) as second:
        await client.subscribe("intval")

        def get_queryset(cls):
            raise error

        monkeypatch.setattr(NamedBinding, "get_queryset", classmethod(get_queryset))
        reply = await second.ask("named", "subscribe")
        assert reply["response_status"] == 500
        await in_database(IntegerValue.objects.update)(value=1)
        await client.until("intval", {row.pk: {"name": "a", "value": 1}})
        await second.subscribe("intval")
        assert second.rows["intval"] == client.rows["intval"]


@pytest.mark.postgresql
async def test_a_statement_that_fails_in_a_binding_stops_no_other(monkeypatch):
    """A queryset made of a failed statement aborts no more than itself: not what comes after it."""
    room = await in_database(Room.objects.create)(name="1")
    await in_database(Message.objects.create)(room=room, text="a")
    whole = MessageBinding.get_queryset
    failing = False

    def get_queryset(cls):
        if failing:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return whole()

    monkeypatch.setattr(MessageBinding, "get_queryset", classmethod(get_queryset))
    route, other = ({"kwargs": {"rooms": str(pk)}} for pk in (room.pk, room.pk + 1))
    async with Client(Shapes, url_route=route) as client, Client(Shapes, url_route=other) as second:
        await client.subscribe("message")
        await client.subscribe("latest")
        failing = True
        message = await in_database(Message.objects.create)(room=room, text="b")
        while message.pk not in client.rows["latest"]:
            await client.receive()
        refused, reply = await asyncio.gather(
            second.ask("message", "subscribe"), client.ask("member", "subscribe")
        )
        assert (refused["response_status"], reply["response_status"]) == (500, 200)


@pytest.mark.postgresql
async def test_a_statement_that_takes_too_long_in_a_binding_stops_no_pass(monkeypatch):
    """A statement that the database cancels is its binding's fault; the database isn't away."""

    def rows(cls, group):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 10; SELECT pg_sleep(60)")

    monkeypatch.setattr(MessageBinding, "rows", classmethod(rows))
    failures = relay_for("default").tally.failures
    async with Client(Shapes) as client:
        reply = await client.ask("message", "subscribe")
        assert reply["response_status"] == 500
    assert relay_for("default").tally.failures == failures


async def test_a_group_that_cannot_be_asked_for_stops_no_other(monkeypatch):
    """Where all rows are read anew, a group whose rows() fails keeps those that are its own."""
    first, second = [await in_database(Room.objects.create)(name=name) for name in "ab"]
    for text in "xy":
        await in_database(Message.objects.create)(room=first, text=text)

    def rows(cls, group):
        if failing and group == f"room-{first.pk}":
            raise Room.DoesNotExist
        return LatestBinding.rows(group)

    failing = False
    monkeypatch.setattr(MessageBinding, "rows", classmethod(rows))
    route = {"kwargs": {"rooms": f"{first.pk}-{second.pk}"}}
    async with Client(Shapes, url_route=route) as client:
        await client.subscribe("message")
        failing = True
        with override_settings(DATABINDING={"KEY_LIMIT": 1}):
            await in_database(Message.objects.filter(text="y").delete)()
            await in_database(Message.objects.bulk_create)(
                [Message(room=second, text=text) for text in "vw"]
            )
            while {row["text"] for row in client.rows["message"].values()} != set("vwx"):
                await client.receive()


@pytest.mark.sqlite
async def test_pages_of_a_large_group_with_a_row_that_cannot_be_read(monkeypatch):
    """A row that can't be read makes no other come twice or not at all, whatever their order."""

    def fill():
        for _ in range(20):
            Paper.objects.create(amount=1)
        bad = Paper.objects.order_by("pk")[3].pk.hex
        sql(f"UPDATE shapes_paper SET day = '2024-02-31' WHERE id = '{bad}'")

    await in_database(fill)()
    monkeypatch.setattr(Paper._meta, "ordering", ["-pk"])
    with override_settings(DATABINDING={"GROUP_LIMIT": 5, "SNAPSHOT_CHUNK": 6}):
        async with Client(Shapes) as client:
            await client.subscribe("paper")
            pages = [frame["payload"].get("items", []) for frame in client.frames]
            assert [len(page) for page in pages] == [0, 5, 6, 6, 2]
            assert len(client.rows["paper"]) == 19


async def test_rows_are_read_as_the_queryset_gives_them(monkeypatch):
    """What get_queryset adds to its rows is there also when a group is loaded by rows()."""
    room = await in_database(Room.objects.create)(name="1")
    message = await in_database(Message.objects.create)(room=room, text="abc")

    def get_queryset(cls):
        return Message.objects.annotate(size=Length("text"))

    def serialize_data(self, instance):
        return {"size": instance.size}

    monkeypatch.setattr(MessageBinding, "get_queryset", classmethod(get_queryset))
    monkeypatch.setattr(MessageBinding, "serialize_data", serialize_data)
    monkeypatch.setattr(MessageBinding, "rows", LatestBinding.rows)
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(room.pk)}}) as client:
        await client.subscribe("message")
        assert client.rows["message"] == {message.pk: {"size": 3}}


async def test_a_binding_that_fails_later_is_read_again(monkeypatch):
    """A binding whose queryset begins to fail keeps its rows, and catches up by itself."""
    await in_database(Named.objects.create)(code="a")
    async with Client(Both) as client:
        await client.subscribe("named")
        await client.subscribe("intval")
        with monkeypatch.context() as patch:
            fail = classmethod(lambda cls: 1 / 0)
            patch.setattr(NamedBinding, "get_queryset", fail)
            await in_database(Named.objects.update)(value=4)
            value = await in_database(IntegerValue.objects.create)(name="b")
            await client.until("intval", {value.pk: {"name": "b", "value": 0}})
            assert client.rows["named"] == {"a": {"value": 0}}
        await client.until("named", {"a": {"value": 4}})


async def test_no_cursor_covers_a_row_that_cannot_be_rendered(monkeypatch):
    """A page that holds a row as it was gets it as it is from a server that can render it."""
    await in_database(Named.objects.bulk_create)([Named(code="a"), Named(code="b")])
    whole = NamedBinding.serialize_data

    def serialize_data(self, instance):
        if instance.value == 7:
            raise RuntimeError("a fault of this release")
        return whole(self, instance)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        with monkeypatch.context() as patch:
            patch.setattr(NamedBinding, "serialize_data", serialize_data)
            await in_database(Named.objects.filter(code="a").update)(value=7)
            await in_database(Named.objects.filter(code="b").update)(value=1)
            await client.until("named", {"a": {"value": 0}, "b": {"value": 1}})
            await in_database(stop_relays)()
    async with Client(Shapes) as again:
        assert not await again.subscribe("named", cursor=client.cursors["named"])
        assert again.rows["named"] == {"a": {"value": 7}, "b": {"value": 1}}


async def test_cursors_are_good_again_once_a_row_can_be_rendered(monkeypatch):
    """When a faulty row is read at last, the client gets a cursor by which it resumes."""
    await in_database(Named.objects.create)(code="a")
    with override_settings(DATABINDING={"CURSOR_INTERVAL": 0.1}):
        async with Client(Shapes) as client, Client(Shapes) as late:
            await client.subscribe("named")
            with monkeypatch.context() as patch:
                patch.setattr(NamedBinding, "serialize_data", lambda self, instance: 1 / 0)
                await in_database(Named.objects.update)(value=7)
                await late.subscribe("named")
                bad = late.cursors["named"]
            await client.until("named", {"a": {"value": 7}})
    async with Client(Shapes) as again:
        assert not await again.subscribe("named", cursor=bad)
        assert await again.subscribe("named", cursor=client.cursors["named"])


async def test_no_cursor_covers_a_row_just_before_it_is_told_at_last(monkeypatch):
    """Until what a faulty row has become is there to be told, cursors made meanwhile are void."""
    await in_database(Named.objects.create)(code="a")
    whole, advance = NamedBinding.serialize_data, Holdings.advance
    failing = True
    made = []

    def serialize_data(self, instance):
        return 1 / 0 if failing else whole(self, instance)

    def slowly(self, changes, *rest):
        # What an event loop may make at this moment, for a client that asks for it.
        for audience in self.audiences():
            if not failing and any(len(change.rows) for _, change in changes):
                made.append(audience.cursor("named", self.standing))
        return advance(self, changes, *rest)

    async with Client(Shapes) as client:
        await client.subscribe("named")
        monkeypatch.setattr(NamedBinding, "serialize_data", serialize_data)
        monkeypatch.setattr(Holdings, "advance", slowly)
        await in_database(Named.objects.update)(value=7)
        await eventually(lambda: relay_for("default").tally.owed == 1)
        failing = False
        await client.until("named", {"a": {"value": 7}})
        (cursor,) = made
    async with Client(Shapes) as again:
        assert not await again.subscribe("named", cursor=cursor)
        assert again.rows["named"] == {"a": {"value": 7}}


async def test_a_row_that_cannot_be_rendered_leaves_all_the_same(monkeypatch):
    """Whom a row has left doesn't keep it only because it can't be rendered."""
    room = await in_database(Room.objects.create)(name="1")
    await in_database(Message.objects.create)(room=room, text="secret")
    whole = MessageBinding.serialize_data

    def serialize_data(self, instance):
        if instance.hidden:
            raise RuntimeError("can't")
        return whole(self, instance)

    monkeypatch.setattr(MessageBinding, "serialize_data", serialize_data)
    route = {"kwargs": {"rooms": str(room.pk)}}
    async with Client(Shapes, url_route=route) as client:
        await client.subscribe("message")
        assert len(client.rows["message"]) == 1
        await in_database(Message.objects.update)(hidden=True)
        await client.until("message", {})
        async with Client(Shapes, url_route=route) as second:
            await second.subscribe("message")
            assert second.rows["message"] == {}


async def test_loading_a_group_hides_no_change_from_another(monkeypatch):
    """Who holds a row is told of it also if it was read anew for somebody else's group."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in ("1", "2")])()
    await in_database(Message.objects.create)(room=one, text="x")
    monkeypatch.setattr(
        MessageBinding,
        "group_names",
        classmethod(lambda cls, row: [f"room-{row.room_id}", f"room-{two.pk}"]),
    )
    whole = MessageBinding.serialize_data
    monkeypatch.setattr(
        MessageBinding,
        "serialize_data",
        lambda self, row: {**whole(self, row), "room": row.room.name},
    )
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(one.pk)}}) as first:
        await first.subscribe("message")
        await in_database(Room.objects.filter(pk=one.pk).update)(name="renamed")
        async with Client(Shapes, url_route={"kwargs": {"rooms": str(two.pk)}}) as second:
            await second.subscribe("message")
            for client in (first, second):
                while [row["room"] for row in client.rows["message"].values()] != ["renamed"]:
                    await client.receive()


async def test_a_send_that_raises_anything_concerns_its_connection_alone(caplog):
    """Whatever a server raises for one client, the others get their frames."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    async with Socket(Talk) as odd, Client(Talk) as client:
        odd.say("intval", "subscribe", request_id=1)
        await eventually(lambda: odd.copy("intval"))

        def broken(message):
            raise KeyError("odd")

        odd.sending = broken
        await client.subscribe("intval")
        for value in (1, 2):
            await in_database(IntegerValue.objects.update)(value=value)
            await client.until("intval", {row.pk: {"name": "a", "value": value}})
    assert "Sending to a websocket failed" in caplog.text


async def test_a_loop_that_is_gone_gives_its_places_back_once():
    """The relay serves a subscriber for as long as it is there, whatever other loops did."""

    def leave_behind():
        async def go():
            client = Client(Talk)
            await client.__aenter__()
            await client.subscribe("intval")
            return client

        loop = asyncio.new_event_loop()
        client = loop.run_until_complete(go())
        tasks = asyncio.all_tasks(loop)
        loop.close()
        return client, tasks

    relay = relay_for("default")
    async with Client(Talk) as client:
        await client.subscribe("intval")
        left = await asyncio.to_thread(leave_behind)
        (audience,) = relay.holdings.audiences()
        assert audience.users == 2
        await in_database(IntegerValue.objects.create)(name="a")
        await client.receive()
        await eventually(lambda: audience.users == 1)
        for task in left[1]:
            task._log_destroy_pending = False  # It is meant to be.
            with suppress(RuntimeError):  # asyncio's own: the loop is closed.
                task.get_coro().close()
        del left
        gc.collect()
        await in_database(IntegerValue.objects.create)(name="b")
        await client.receive()
        assert audience.users == 1


def test_a_forked_process_has_a_relay_of_its_own(database):
    """A process that was forked from one with a running relay is answered as well, whatever that
    was asking the database."""
    code = (
        "import os, time, warnings; warnings.simplefilter('ignore')\n"
        "from databinding import relay as module\n"
        "from databinding.relay import relay_for\n"
        f"module._FORK_PATIENCE = {PATIENCE}\n"
        f"ask = lambda: relay_for('default').submit(lambda this: 1).result({PATIENCE})\n"
        "ask()\n"
        "relay = relay_for('default')\n"
        "for _ in range(5):\n"
        "    relay.submit(lambda this: time.sleep(0.1))\n"
        "    while relay.tally.asking_since is None: time.sleep(0.001)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        ask()\n"
        "        os._exit(0 if relay.tally.asking_since is None else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
    )
    shell(database, code)


async def test_joins_to_many_groups_share_one_scan(monkeypatch):
    """Groups that are asked for at once are loaded by one reading of the table."""
    rooms = await in_database(lambda: [Room.objects.create(name=str(n)) for n in range(10)])()
    for room in rooms:
        await in_database(Message.objects.create)(room=room, text=room.name)
    scans = []
    read_all, whole = reading.Reader.all, _Life._pass
    monkeypatch.setattr(
        reading.Reader, "all", lambda *args: (scans.append(args), read_all(*args))[1]
    )

    def once_all_have_asked(self):
        if not scans:
            wait_until(lambda: len(self.relay._jobs) == len(clients))
        whole(self)

    monkeypatch.setattr(_Life, "_pass", once_all_have_asked)
    clients = [Client(Shapes, url_route={"kwargs": {"rooms": str(room.pk)}}) for room in rooms]
    for client in clients:
        await client.__aenter__()
    await asyncio.gather(*(client.subscribe("message") for client in clients))
    assert [len(client.rows["message"]) for client in clients] == [1] * 10
    assert len(scans) == 1
    for client in clients:
        await client.__aexit__()


async def test_a_crowd_that_subscribes_shares_passes():
    """Those who come close after each other share passes: so many in a second, not for each."""
    async with Client(Talk) as client:
        await client.subscribe("intval")
        relay = relay_for("default")
        before, began = relay.tally.passes, time.monotonic()
        joins = []
        for _ in range(100):
            wants = (Form(IntegerValueBinding), ["intval-updates"], None)
            joins.append(asyncio.wrap_future(relay.submit(lambda this: None, wants)))
            await asyncio.sleep(0.003)
        await asyncio.gather(*joins)
        seconds = time.monotonic() - began
    assert relay.tally.passes - before <= 15 + seconds / conf.PASS_PAUSE


async def test_news_do_not_wait_for_a_crowd():
    """While those who subscribe wait for each other, what is written is delivered all the same."""
    relay = relay_for("default")

    def join():
        wants = (Form(IntegerValueBinding), ["intval-updates"], None)
        return asyncio.wrap_future(relay.submit(lambda this: None, wants))

    with override_settings(DATABINDING={"PASS_PAUSE": 3600}):
        async with Client(Talk) as client:
            await client.subscribe("intval")
            for _ in range(9):
                await join()
            waiting = join()  # The eleventh in a row; it would wait for an hour.
            await in_database(IntegerValue.objects.create)(name="news")
            while not client.rows["intval"]:
                await client.receive()
            await waiting  # It came along.


async def test_a_resume_names_no_row_of_a_group_that_is_not_its_own():
    """A connection in other groups than the binding's learns no key by resuming."""
    outside = named({"named": NamedBinding}, ["elsewhere"])
    async with Client(outside) as client:
        await client.subscribe("named")
        cursor = client.cursors["named"]
    await in_database(Named.objects.create)(code="secret")
    await in_database(Named.objects.create)(code="gone")
    await in_database(Named.objects.filter(code="gone").delete)()
    async with Client(outside) as client:
        await client.subscribe("named", cursor=cursor)
        assert "secret" not in json.dumps(client.frames)
        assert "gone" not in json.dumps(client.frames)


async def test_a_resume_names_no_row_outside_the_queryset(monkeypatch):
    """What the binding's queryset hides isn't named to those who resume."""
    monkeypatch.setattr(
        NamedBinding,
        "get_queryset",
        classmethod(lambda cls: Named.objects.exclude(code__startswith="secret")),
    )
    await in_database(Named.objects.create)(code="open")
    async with Client(Shapes) as client:
        await client.subscribe("named")
        held, cursor = client.rows["named"], client.cursors["named"]
    await in_database(Named.objects.create)(code="secret")
    async with Client(Shapes) as client:
        client.copies["named"].rows = held
        assert await client.subscribe("named", cursor=cursor) is True
        assert client.rows["named"] == {"open": {"value": 0}}
        assert "secret" not in json.dumps(client.frames)


async def test_a_binding_that_fails_as_its_group_has_grown_large_stops_no_news(monkeypatch):
    """What a queryset raises when it is asked whether a large group must be held keeps nobody's
    news."""
    with override_settings(DATABINDING={"GROUP_LIMIT": 1}):
        async with Client(Both) as client:
            await client.subscribe("named")
            await client.subscribe("intval")
            whole = Form.sees_all
            failing = True

            def sees_all(self):
                if failing:
                    raise ConnectionError("the cache is away")
                return whole(self)

            monkeypatch.setattr(Form, "sees_all", sees_all)
            for value in (1, 2):

                def write(value=value):
                    with transaction.atomic():
                        Named.objects.bulk_create(Named(code=f"{value}{n}") for n in range(4))
                        IntegerValue.objects.create(name=str(value))

                await in_database(write)()
                while len(client.rows["named"]) < 4 * value or len(client.rows["intval"]) < value:
                    await client.receive()
            failing = False
            await in_database(Named.objects.update)(value=7)
            while {row["value"] for row in client.rows["named"].values()} != {7}:
                await client.receive()


async def test_a_group_that_grows_far_beyond_the_limit_is_let_go():
    """A held group that has become too large is followed from then on, and pages stay right."""
    with override_settings(DATABINDING={"GROUP_LIMIT": 5, "SNAPSHOT_CHUNK": 4}):
        async with Client(Talk) as client:
            await client.subscribe("intval")
            await in_database(IntegerValue.objects.bulk_create)(
                IntegerValue(name=f"n{n}") for n in range(20)
            )
            while len(client.rows["intval"]) < 20:
                await client.receive()
            rows = relay_for("default").holdings.rows[Form(IntegerValueBinding)]
            assert rows.held() == []
            await in_database(IntegerValue.objects.filter(name="n3").update)(value=3)
            while [row["value"] for row in client.rows["intval"].values()].count(3) != 1:
                await client.receive()


async def test_a_storm_of_subscriptions_meets_the_limit_on_snapshots():
    """Subscriptions that are asked for at once count before they are made."""
    streams = {f"s{n}": IntegerValueBinding for n in range(8)}
    with override_settings(DATABINDING={"MAX_SNAPSHOTS": 3}):
        async with Client(named(streams, ["intval-updates"])) as client:
            for number, stream in enumerate(streams):
                await client.send(stream, "subscribe", request_id=number)
            statuses = []
            while len(statuses) < len(streams):
                payload = (await client.receive())["payload"]
                if "response_status" in payload:
                    statuses.append(payload["response_status"])
    assert 200 in statuses
    assert 429 in statuses


async def test_a_large_burst_lets_others_have_their_turn(monkeypatch):
    """A long snapshot goes out in parts, between which the loop serves others."""
    await in_database(IntegerValue.objects.bulk_create)(
        IntegerValue(name=f"n{n}") for n in range(100)
    )
    turns = []
    with override_settings(DATABINDING={"SNAPSHOT_CHUNK": 1}):
        async with Socket(Talk) as socket:
            socket.say("intval", "subscribe", request_id=1)
            before = 0
            while len(socket.copy("intval")) < 100:
                turns.append(len(socket.sent) - before)
                before = len(socket.sent)
                await asyncio.sleep(0)
    assert max(turns) <= 20


async def test_a_page_with_too_many_rows_is_not_even_made(monkeypatch):
    """The rows of a served page are counted before they are written."""
    await in_database(IntegerValue.objects.bulk_create)(
        IntegerValue(name=f"n{n}") for n in range(10)
    )
    monkeypatch.setattr(Audience, "items", lambda self: pytest.fail("written for nothing"))
    with override_settings(DATABINDING={"BATCH_LIMIT": 5}):
        page = await asyncio.wrap_future(
            relay_for("default").submit(
                lambda this: this.audience(Form(IntegerValueBinding), ["intval-updates"]).page(
                    "intval", this.standing
                )
            )
        )
    assert page is None


@pytest.mark.parametrize(
    "text",
    [
        '{"stream":"intval","payload":{"action":"list","request_id":1e999}}',
        '{"stream":"intval","payload":{"action":"update","pk":1,"data":{"value":-1e999}}}',
    ],
)
async def test_numbers_that_json_cannot_say_back_are_refused(text):
    """A number that overflows to infinity is malformed, wherever it stands."""
    async with Client(Talk) as client:
        await client.send_text(text)
        assert (await client.receive())["payload"]["response_status"] == 400


@pytest.mark.parametrize(
    ("origin", "connected"),
    [("http://example.com", True), ("http://example.com:8000", True), ("http://evil.org", False)],
)
async def test_where_any_host_is_ours_the_origin_is_the_one_asked(origin, connected, settings):
    """With ALLOWED_HOSTS = ["*"] a page may still only connect to its own host."""
    settings.ALLOWED_HOSTS = ["*"]
    headers = [(b"origin", origin.encode()), (b"host", b"example.com:8000")]
    client = Client(Talk, headers=headers)
    assert (await client._communicator.connect(timeout=PATIENCE))[0] is connected
    if connected:
        await client.__aexit__()
