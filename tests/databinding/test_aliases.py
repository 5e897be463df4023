"""Several databases: each has its own journal, and reads don't stray to a replica."""

import asyncio
import threading
from importlib import import_module

import pytest
from channels.db import database_sync_to_async as in_database
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.management import call_command
from django.db import connections, router, transaction
from django.test import override_settings

from databinding import capture, triggers
from databinding.checks import check_reads, check_triggers
from databinding.models import JournalEntry
from databinding.routers import ConsistentReads, consistent_reads
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import PATIENCE, Client, named
from tests.elsewhere.models import Value
from tests.shapes.bindings import MessageBinding
from tests.shapes.models import Message, Room, Tag
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

ALIASES = ["default", "other"]


class Undo(Exception):
    """Leaves a transaction."""


@pytest.fixture
def both(registry_as_it_was):
    """A demultiplexer with a stream of each database."""

    class ValueBinding(WebsocketBinding):
        model = Value
        fields = ["name", "value"]

        @classmethod
        def group_names(cls, instance):
            return ["values"]

        def has_permission(self, user, action, pk):
            return True

    capture.connect()
    triggers.install("other")
    yield named({"here": IntegerValueBinding, "there": ValueBinding}, ["intval-updates", "values"])
    triggers.uninstall("other")


def journalled(alias):
    return list(JournalEntry.objects.using(alias).order_by("id").values_list("model", "key"))


def empty_journals():
    for alias in ALIASES:
        JournalEntry.objects.using(alias).all().delete()


def test_each_database_journals_its_own(both):
    """A row's key goes into the journal of the row's database, and nowhere else."""
    empty_journals()
    here, there = IntegerValue.objects.create(name="a"), Value.objects.create(name="b")
    assert journalled("default") == [("talk.integervalue", str(here.pk))]
    assert journalled("other") == [("elsewhere.value", str(there.pk))]


def test_migrate_keeps_each_in_step(both, capsys):
    """`migrate --database` puts the triggers of that database right, and `check` names them."""
    triggers.uninstall("other")
    assert check_triggers(databases=["default"]) == []
    (warning,) = check_triggers(databases=ALIASES)
    assert warning.id == "databinding.W003"
    assert warning.hint == "Run manage.py migrate --database other."
    call_command("migrate", database="default", verbosity=0)
    assert triggers.drift("other")
    call_command("migrate", database="other")
    assert "triggers made, 0 dropped on other" in capsys.readouterr().out
    assert not triggers.drift("other")
    assert not triggers.drift("default")


def test_commands_go_through_all(both, capsys):
    """`databinding_prune` and `databinding_new_epoch` do every database with bound models."""
    call_command("databinding_new_epoch")
    call_command("databinding_prune")
    told = sorted(line.split(":")[0] for line in capsys.readouterr().out.splitlines())
    assert told == ["default", "default", "other", "other"]


async def test_one_websocket_carries_streams_of_both(both):
    """Subscriptions, writes and resumes of one connection go to the database of their stream."""
    async with Client(both) as client:
        for stream in ("here", "there"):
            await client.subscribe(stream, window=2)
            reply = await client.ask(stream, "create", data={"name": stream, "value": 1})
            pk, data = reply["pk"], {"name": stream, "value": 1}
            assert client.rows[stream] == {pk: data}
        cursors = dict(client.cursors)
    await in_database(IntegerValue.objects.update)(value=2)
    await in_database(Value.objects.update)(value=3)
    async with Client(both) as client:
        assert await client.subscribe("here", cursor=cursors["here"])
        assert await client.subscribe("there", cursor=cursors["there"])
        assert [row["value"] for row in client.rows["here"].values()] == [2]
        assert [row["value"] for row in client.rows["there"].values()] == [3]
        # A cursor says nothing about another database.
        assert not await client.subscribe("there", cursor=cursors["here"])


@in_database
def write(outer, inner, *, undo):
    """Write rows in a transaction on one database, and in one on another inside of it."""
    models = {"default": IntegerValue, "other": Value}
    try:
        with transaction.atomic(using=outer):
            models[outer].objects.create(name=f"outer {undo}")
            try:
                with transaction.atomic(using=inner):
                    models[inner].objects.create(name=f"inner {undo}")
                    if undo == "inner":
                        raise Undo
            except Undo:
                pass
            if undo == "outer":
                raise Undo
    except Undo:
        pass


def names(client, stream):
    return {row["name"] for row in client.rows[stream].values()}


STREAMS = {"default": "here", "other": "there"}


@pytest.mark.parametrize(("outer", "inner"), [("default", "other"), ("other", "default")])
async def test_a_transaction_publishes_for_its_own_database_alone(outer, inner, both):
    """Of nested transactions on two databases each is told if, and only if, it commits."""
    async with Client(both) as client:
        await client.subscribe("here")
        await client.subscribe("there")
        for undo in ("outer", "inner", "none"):
            await write(outer, inner, undo=undo)
        # What the last of them wrote is told after all that was before it.
        for stream in ("here", "there"):
            while not any(name.endswith("none") for name in names(client, stream)):
                await client.receive()
        assert names(client, STREAMS[outer]) == {"outer inner", "outer none"}
        assert names(client, STREAMS[inner]) == {"inner outer", "inner none"}


async def test_a_commit_inside_is_told_before_the_commit_around_it(both):
    """A transaction on one database needn't wait for one on another that is open around it, even
    if that is ended by hand, of which Django tells nobody."""
    async with Client(both) as client:
        await client.subscribe("here")
        await client.subscribe("there")

        told = threading.Event()

        def write_by_hand():
            connections["default"].set_autocommit(False)
            try:
                IntegerValue.objects.create(name="outer")
                Value.objects.create(name="inner")
                assert told.wait(PATIENCE)
                connections["default"].commit()
            finally:
                connections.close_all()

        writing = asyncio.create_task(asyncio.to_thread(write_by_hand))
        while names(client, "there") != {"inner"}:
            await client.receive()
        assert client.rows["here"] == {}
        told.set()
        await writing
        while names(client, "here") != {"outer"}:
            await client.receive()


# Replicas


class Replica:
    """Reads of all models go to a database that is far behind: it has none of their tables yet."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"


PLAIN = override_settings(DATABASE_ROUTERS=[Replica()])
CONSISTENT = override_settings(DATABASE_ROUTERS=[ConsistentReads(), Replica()])


@pytest.fixture
def message():
    room = Room.objects.create(name="r")
    message = Message.objects.create(room=room, text="a")
    message.tags.set([Tag.objects.create(name=name) for name in "xy"])
    return message


def data_of(message, **changed):
    tags = sorted(tag.pk for tag in message.tags.all())
    return {"room": message.room_id, "text": "a", "hidden": False, "tags": tags} | changed


async def test_rows_and_their_lists_are_read_where_they_are_written(message):
    """Whatever the routers say, rows and many-to-many lists never come from a replica."""
    pk, data = message.pk, await in_database(data_of)(message)
    demultiplexer = named({"message": MessageBinding}, [f"room-{message.room_id}"])
    with PLAIN:
        async with Client(demultiplexer) as client:
            await client.subscribe("message")
            assert client.rows["message"] == {pk: data}
            assert (await client.ask("message", "retrieve", pk=pk))["data"] == data
            assert (await client.ask("message", "list"))["data"] == [{"pk": pk, "data": data}]
            reply = await client.ask("message", "update", pk=pk, data={"hidden": False})
            assert reply["data"] == data, reply
            await in_database(Message.objects.using("default").update)(text="b")
            await client.until("message", {pk: data | {"text": "b"}})
            assert (await client.ask("message", "delete", pk=pk))["response_status"] == 204


class ByRoomBinding:
    """What its code reads on the way, it reads through the routers."""

    model = Message
    fields = ["room", "text", "tags"]

    @classmethod
    def group_names(cls, instance):
        return [instance.room.name]

    def has_permission(self, user, action, pk):
        return user.is_authenticated and user.has_perm("shapes.change_message")


@in_database
def log_in():
    user = get_user_model().objects.create_superuser("u")
    session = import_module(django_settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = django_settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return user, session


async def test_what_bindings_read_by_themselves_is_consistent_too(message, registry_as_it_was):
    """With `ConsistentReads` relations, users, sessions and the rows that a serializer looks up
    are read where they are written."""
    binding = type("ByRoom", (ByRoomBinding, WebsocketBinding), {})
    user, session = await log_in()
    room, tags = message.room_id, await in_database(lambda: data_of(message)["tags"])()
    with CONSISTENT:
        scope = {"user": user, "session": session}
        async with Client(named({"message": binding}, ["r"]), **scope) as client:
            await client.subscribe("message")
            rows = {message.pk: {"room": room, "text": "a", "tags": tags}}
            assert client.rows["message"] == rows
            data = {"room": room, "text": "b", "tags": tags[:1]}
            reply = await client.ask("message", "create", data=data)
            assert reply["response_status"] == 201, reply
            assert client.rows["message"] == rows | {reply["pk"]: data}


def test_reads_of_others_go_where_the_project_says():
    """Outside of the library's work the router says nothing."""
    with CONSISTENT:
        assert router.db_for_read(Message) == "other"
        with consistent_reads():
            assert router.db_for_read(Message) == "default"
        assert router.db_for_read(Message) == "other"


def test_a_router_that_misleads_is_named():
    """databinding.W006: what a binding's code reads would come from another database."""
    with PLAIN:
        found = check_reads()
        assert {warning.id for warning in found} == {"databinding.W006"}
        assert any("Message" in warning.msg and "'other'" in warning.msg for warning in found)
        assert all("databinding.routers.ConsistentReads" in warning.hint for warning in found)
    with CONSISTENT:
        assert check_reads() == []
    assert check_reads() == []
