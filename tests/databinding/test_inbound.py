"""What clients write and ask: replies, errors, rights, and what holds while it is worked on."""

import asyncio
import threading
from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import override_settings
from djangochannelsrestframework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.serializers import ModelSerializer

from databinding import session as session_module
from databinding.subscription import Subscription
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import PATIENCE, Client, eventually, named
from tests.databinding.programs import connect, other_program
from tests.databinding.users import ENDS, deactivate, log_in, log_out, remove, session_with
from tests.shapes.bindings import (
    ChildBinding,
    ClosedBinding,
    MemberBinding,
    MessageBinding,
    NamedBinding,
    Open,
)
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.models import Child, Message, Named, Room, Tag
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nobody_looks")]


@in_database
def create(**fields):
    return IntegerValue.objects.create(**fields)


@in_database
def stored():
    return {row.pk: (row.name, row.value) for row in IntegerValue.objects.all()}


async def refused(client, stream, action, status, /, **payload):
    """Ask; return the errors of the answer, which has this status and no data."""
    reply = await client.ask(stream, action, **payload)
    assert reply["response_status"] == status, reply
    assert reply["data"] is None
    return reply["errors"]


# What is answered


async def test_create_update_delete():
    """Each write is answered with the row's key and data as they are stored."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("intval", "create", data={"name": "a", "value": "7"})
        pk = reply["pk"]
        assert reply == {
            "action": "create",
            "request_id": 1,
            "response_status": 201,
            "errors": [],
            "data": {"name": "a", "value": 7},
            "pk": pk,
        }
        assert await stored() == {pk: ("a", 7)}
        reply = await client.ask("intval", "update", pk=pk, data={"value": 8})
        assert (reply["response_status"], reply["pk"]) == (200, pk)
        assert reply["data"] == {"name": "a", "value": 8}
        reply = await client.ask("intval", "delete", pk=pk)
        assert (reply["response_status"], reply["pk"], reply["data"]) == (204, pk, None)
        assert await stored() == {}


async def test_retrieve_and_list():
    """Reading is answered by key, in the order of keys, in pages if asked for."""
    rows = [await create(name=name, value=1) for name in "abcde"]
    items = [{"pk": row.pk, "data": {"name": row.name, "value": 1}} for row in rows]
    async with Client(Demultiplexer) as client:
        reply = await client.ask("intval", "retrieve", pk=rows[1].pk)
        assert {"pk": reply["pk"], "data": reply["data"]} == items[1]
        assert (await client.ask("intval", "list"))["data"] == items
        assert (await client.ask("intval", "list", limit=2))["data"] == items[:2]
        page = await client.ask("intval", "list", limit=2, after=rows[1].pk)
        assert page["data"] == items[2:4]
        with override_settings(DATABINDING={"LIST_LIMIT": 3}):
            assert (await client.ask("intval", "list"))["data"] == items[:3]
            errors = await refused(client, "intval", "list", 400, limit=4)
            assert errors == [{"limit": ["A number from 1 to 3."]}]
        for limit in (0, -1, True, "2", 1.5):
            await refused(client, "intval", "list", 400, limit=limit)
        for after in (True, [1], {"a": 1}):
            await refused(client, "intval", "list", 400, after=after)


async def test_relations_are_written_by_their_keys():
    """A foreign key is written by its key, many-to-many by a list of keys."""
    room = await in_database(Room.objects.create)(name="r")
    tags = [await in_database(Tag.objects.create)(name=name) for name in "ab"]
    keys = [tag.pk for tag in tags]
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(room.pk)}}) as client:
        data = {"room": room.pk, "text": "x", "hidden": False, "tags": keys}
        reply = await client.ask("message", "create", data=data)
        reply["data"]["tags"].sort()  # The database's order is any.
        assert reply["data"] == data
        reply = await client.ask("message", "update", pk=reply["pk"], data={"tags": keys[:1]})
        assert reply["data"]["tags"] == keys[:1]
        errors = await refused(client, "message", "create", 400, data={**data, "room": 999})
        assert list(errors[0]) == ["room"]


async def test_a_child_is_written_with_its_parents_fields():
    """The fields of a multi-table child's parent are written with its own."""
    async with Client(Shapes) as client:
        reply = await client.ask("child", "create", data={"title": "t", "number": 1})
        assert reply["data"] == {"title": "t", "number": 1}
        await client.ask("child", "update", pk=reply["pk"], data={"title": "u"})
        child = await in_database(Child.objects.get)()
        assert (child.title, child.number) == ("u", 1)
        await refused(client, "child", "retrieve", 404, pk=10**20)


# What is refused


async def test_invalid_fields_are_named():
    """DRF's field errors come back by field, and nothing is written."""
    await create(name="taken")
    async with Client(Demultiplexer) as client:
        errors = await refused(client, "intval", "create", 400, data={"value": "x"})
        assert errors == [
            {"name": ["This field is required."], "value": ["A valid integer is required."]}
        ]
        errors = await refused(client, "intval", "create", 400, data={"name": "taken"})
        assert errors == [{"name": ["integer value with this name already exists."]}]
        errors = await refused(client, "intval", "create", 400, data={"name": "b", "nope": 1})
        assert errors == [{"nope": ["There is no such field."]}]
    assert len(await stored()) == 1


@pytest.mark.parametrize("action", ["create", "update", "delete", "list", "retrieve"])
@pytest.mark.parametrize("name", ["nope", "self", "scope", "instance", "user"])
async def test_unknown_parameters_are_refused(action, name):
    """A key that an action doesn't know is an error, whatever it is called."""
    row = await create(name="a", value=1)
    payload = {"pk": row.pk} if action in ("update", "delete", "retrieve") else {}
    if action in ("create", "update"):
        payload["data"] = {"name": "b"}
    async with Client(Demultiplexer) as client:
        await refused(client, "intval", action, 400, **payload, **{name: 1})
    assert await stored() == {row.pk: ("a", 1)}


async def test_a_conflict_in_the_database_is_409(registry_as_it_was):
    """What only the database refuses is a conflict, and says nothing of its internals."""

    class Unchecked(ModelSerializer):
        class Meta:
            model = IntegerValue
            fields = ["name", "value"]
            extra_kwargs = {"name": {"validators": []}}

    class Binding(IntegerValueBinding):
        serializer_class = Unchecked

    await create(name="taken")
    async with Client(named({"s": Binding}, ["intval-updates"])) as client:
        errors = await refused(client, "s", "create", 409, data={"name": "taken"})
        assert errors == ["The row conflicts with another one."]
        reply = await client.ask("s", "create", data={"name": "free"})
        assert reply["response_status"] == 201


async def test_rows_of_other_groups_are_not_there():
    """Rows that the connection's groups don't see can't be read, listed or written."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in "12"])()
    seen = await in_database(Message.objects.create)(room=one, text="seen")
    other = await in_database(Message.objects.create)(room=two, text="other")
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(one.pk)}}) as client:
        listed = (await client.ask("message", "list"))["data"]
        assert [item["pk"] for item in listed] == [seen.pk]
        for action in ("retrieve", "delete"):
            await refused(client, "message", action, 404, pk=other.pk)
        await refused(client, "message", "update", 404, pk=other.pk, data={"text": "x"})
    assert (await in_database(Message.objects.get)(pk=other.pk)).text == "other"


async def test_the_key_is_not_written(registry_as_it_was):
    """No write gives or changes a primary key, but for a new row's own natural one."""

    class WithId(IntegerValueBinding):
        fields = ["id", "name", "value"]

    class WithCode(NamedBinding):
        fields = ["code", "value"]

    row = await create(name="a", value=1)
    groups = ["intval-updates", "named"]
    async with Client(named({"intval": WithId, "named": WithCode}, groups)) as client:
        await refused(client, "intval", "create", 400, pk=77, data={"name": "b"})
        reply = await client.ask("intval", "update", pk=row.pk, data={"id": 77, "value": 2})
        assert reply["pk"] == row.pk
        assert await stored() == {row.pk: ("a", 2)}
        reply = await client.ask("named", "create", data={"code": "x", "value": 1})
        assert reply["pk"] == "x"
        await refused(client, "named", "create", 400, data={"code": "x", "value": 2})
        errors = await refused(client, "named", "update", 400, pk="x", data={"code": "y"})
        assert errors == [{"code": ["A primary key can't be changed."]}]
        reply = await client.ask("named", "update", pk="x", data={"code": "x", "value": 3})
        assert reply["data"] == {"code": "x", "value": 3}
    assert await in_database(Named.objects.count)() == 1


async def test_a_row_that_leaves_the_binding_is_answered_without_data(registry_as_it_was):
    """A write that takes a row out of the binding's queryset succeeds, and shows nothing of it."""

    class Visible(MessageBinding):
        @classmethod
        def get_queryset(cls):
            return Message.objects.filter(hidden=False)

    room = await in_database(Room.objects.create)(name="r")
    message = await in_database(Message.objects.create)(room=room, text="x")
    async with Client(named({"s": Visible}, [f"room-{room.pk}"])) as client:
        reply = await client.ask("s", "update", pk=message.pk, data={"hidden": True})
        assert (reply["response_status"], reply["data"]) == (200, None)
        await refused(client, "s", "update", 404, pk=message.pk, data={"hidden": False})


async def test_members_can_not_be_written():
    """What a binding sends beside its fields may be sent back, and is not written."""
    room = await in_database(Room.objects.create)(name="r")
    message = await in_database(Message.objects.create)(room=room, text="x")
    async with Client(named({"s": MemberBinding}, ["members"])) as client:
        data = (await client.ask("s", "retrieve", pk=message.pk))["data"]
        reply = await client.ask("s", "update", pk=message.pk, data={**data, "text": "y"})
        assert reply["data"] == {"text": "y", "shout": "Y", "length": 1, "room__name": "r"}


# As the client last saw it


async def test_expect_guards_a_write():
    """What differs from what the client expects is a conflict that shows the row as it is."""
    row = await create(name="a", value=5)
    async with Client(Demultiplexer) as client:
        for action in ("update", "delete"):
            reply = await client.ask(
                "intval", action, pk=row.pk, data={"value": 6}, expect={"value": 1}
            )
            assert reply["response_status"] == 409
            assert reply["errors"] == ["The row has changed."]
            assert (reply["pk"], reply["data"]) == (row.pk, {"name": "a", "value": 5})
            await refused(client, "intval", action, 400, pk=row.pk, data={}, expect={"nope": 1})
        assert await stored() == {row.pk: ("a", 5)}
        same = {"name": "a", "value": 5}
        reply = await client.ask("intval", "update", pk=row.pk, data={"value": 6}, expect=same)
        assert reply["response_status"] == 200
        reply = await client.ask("intval", "delete", pk=row.pk, expect={"value": 6})
        assert reply["response_status"] == 204


# Who may


WRITES = {
    "create": {"data": {"value": 1}},
    "update": {"pk": "x", "data": {"value": 1}},
    "delete": {"pk": "x"},
    "retrieve": {"pk": "x"},
    "list": {},
    "subscribe": {},
}


@pytest.mark.parametrize("action", WRITES)
async def test_without_the_right_nothing_is_done(action):
    """Anonymous users are asked to log in (401), others are refused (403)."""
    await in_database(Named.objects.create)(code="x", value=5)
    user = await in_database(User.objects.create)(username="u")
    for someone, status in ((AnonymousUser(), 401), (None, 401), (user, 403)):
        async with Client(Shapes, user=someone) as client:
            await refused(client, "closed", action, status, **WRITES[action])
    assert (await in_database(Named.objects.get)()).value == 5


@pytest.mark.parametrize("action", ["update", "delete"])
async def test_who_may_not_write_waits_for_no_lock(action):
    """Who may not is told so while others write the row; it takes no lock from them."""
    await in_database(Named.objects.create)(code="x", value=5)
    with closing(connect()) as other:
        other.execute("UPDATE shapes_named SET value = 6")
        async with Client(Shapes) as client:
            await refused(client, "closed", action, 401, **WRITES[action])
        other.commit()
    assert (await in_database(Named.objects.get)()).value == 6


@pytest.mark.parametrize("end", ENDS)
async def test_the_user_is_read_afresh_for_each_request(end, monkeypatch):
    """A user who is logged out or barred while the socket is open writes no more."""
    monkeypatch.setattr(
        ClosedBinding, "has_permission", lambda self, user, action, pk: user.is_authenticated
    )
    await in_database(Named.objects.create)(code="x", value=5)
    user = await in_database(User.objects.create_user)("u", password="old")
    session = await log_in(user)
    monkeypatch.setattr(session_module, "FRESH", 0)  # It was some time ago.
    async with Client(Shapes, user=user, session=session) as client:
        reply = await client.ask("closed", "update", pk="x", data={"value": 6})
        assert reply["response_status"] == 200
        await in_database(end)(user, session_with(session.session_key))
        await refused(client, "closed", "update", 401, pk="x", data={"value": 7})
        await refused(client, "closed", "subscribe", 401)
    assert (await in_database(Named.objects.get)()).value == 6


async def test_a_subscription_goes_by_the_user_of_its_handshake(monkeypatch):
    """Who has just connected isn't looked up once more for each stream, but for each request."""
    monkeypatch.setattr(
        ClosedBinding, "has_permission", lambda self, user, action, pk: user.is_authenticated
    )
    monkeypatch.setattr(session_module, "FRESH", 3600)
    user = await in_database(User.objects.create_user)("u", password="old")
    session = await log_in(user)
    async with Client(Shapes, user=user, session=session) as client:
        await in_database(log_out)(user, session_with(session.session_key))
        await client.subscribe("closed")
        await refused(client, "closed", "list", 401)


@pytest.mark.parametrize("end", [deactivate, remove])
async def test_a_user_without_a_session_is_read_afresh_too(end, monkeypatch):
    """A user whom some other middleware named counts for as long as the account is active."""
    monkeypatch.setattr(
        ClosedBinding, "has_permission", lambda self, user, action, pk: user.is_authenticated
    )
    user = await in_database(User.objects.create)(username="u")
    async with Client(Shapes, user=user) as client:
        assert (await client.ask("closed", "list"))["response_status"] == 200
        await in_database(end)(await in_database(User.objects.get)(pk=user.pk), None)
        await refused(client, "closed", "list", 401)


# Actions of one's own


class Actions(Open, WebsocketBinding):
    model = IntegerValue
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["intval-updates"]


class Consumer(Actions.consumer):
    """Bindings can have actions beside the five."""

    @action()
    async def double(self, pk, request_id, **kwargs):
        row = await IntegerValue.objects.aget(pk=pk)
        row.value *= 2
        await row.asave()
        return {"doubled": row.value}, 200

    @action()
    def count(self, request_id, action):
        return {"count": IntegerValue.objects.count()}, 200

    @action()
    async def wait(self, request_id, action):
        started, go = self.scope["gates"]
        started.set()
        await go.wait()
        return None, 200

    @action()
    async def fail(self, **kwargs):
        raise RuntimeError("a secret")

    @action()
    async def wait_for_one_cancelled(self, **kwargs):
        task = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    @action()
    def exit(self, **kwargs):
        raise SystemExit(1)

    @action()
    async def tell(self, **kwargs):
        await self.send_json({"told": True})


Acting = named({"s": Consumer, "intval": Actions}, ["intval-updates"])


async def test_an_action_of_ones_own():
    """A binding's own `@action` is asked like the others, and its reply follows its effect."""
    row = await create(name="a", value=21)
    async with Client(Acting) as client:
        await client.subscribe("s")
        reply = await client.ask("s", "double", pk=row.pk, more=1)
        assert reply["data"] == {"doubled": 42}
        assert client.rows["s"][row.pk]["value"] == 42
        assert (await client.ask("s", "count"))["data"] == {"count": 1}
        assert (await client.ask("s", "create", data={"name": "b"}))["response_status"] == 201
        await client.send("s", "tell")
        assert (await client.receive())["payload"] == {"told": True}
        await refused(client, "intval", "count", 405)
        await refused(client, "s", "count", 400, unknown=1)
        await refused(client, "s", "double", 400)


async def test_an_action_of_ones_own_needs_permission(monkeypatch):
    """`has_permission` is asked for an `@action` too, with its name and pk."""
    asked = []

    def has_permission(self, user, action, pk):
        asked.append((action, pk))
        return False

    monkeypatch.setattr(Actions, "has_permission", has_permission)
    row = await create(name="a", value=21)
    async with Client(Acting) as client:
        await refused(client, "s", "double", 401, pk=row.pk)
        await refused(client, "s", "nonsense", 405)
    assert asked == [("double", row.pk)]
    assert await stored() == {row.pk: ("a", 21)}


async def test_an_action_of_ones_own_is_about_one_row(monkeypatch):
    """However a client spells the key, the binding and its action are given the row's; what is no
    key is refused before they are asked."""
    asked = []

    def has_permission(self, user, action, pk):
        asked.append((action, pk))
        return True

    monkeypatch.setattr(Actions, "has_permission", has_permission)
    row = await create(name="a", value=1)
    async with Client(Acting) as client:
        for pk in (row.pk, str(row.pk), f" {row.pk} "):
            assert (await client.ask("s", "double", pk=pk))["response_status"] == 200
        for pk in (True, float(row.pk), [row.pk], {"pk": row.pk}):
            await refused(client, "s", "double", 400, pk=pk)
        for pk in ("a", "", 10**30, "\0"):
            await refused(client, "s", "double", 404, pk=pk)
    assert asked == 3 * [("double", row.pk)]
    assert {type(pk) for _, pk in asked} == {int}
    assert await stored() == {row.pk: ("a", 8)}


class Housekeeper(MemberBinding.consumer):
    """Says itself how rows are saved."""

    def perform_create(self, serializer):
        serializer.save(room_id=self.scope["room"])
        if serializer.instance.text == "never":
            raise ValidationError({"text": ["Never."]})

    def perform_update(self, serializer):
        if serializer.instance.text == "carved in stone":
            raise PermissionDenied("It is carved in stone.")
        serializer.save(hidden=True)

    def perform_delete(self, instance):
        instance.text = "deleted"
        instance.save()


async def test_how_a_row_is_saved_is_the_consumers_affair():
    """`perform_create`, `perform_update` and `perform_delete` write in the action's transaction."""
    room = await Room.objects.acreate(name="lobby")
    keeping_house = named({"s": Housekeeper}, ["members"])
    async with Client(keeping_house, room=room.pk) as client:
        await client.subscribe("s")
        pk = (await client.ask("s", "create", data={"text": "a"}))["pk"]
        assert client.rows["s"][pk]["room__name"] == "lobby"
        errors = await refused(client, "s", "create", 400, data={"text": "never"})
        assert errors == [{"text": ["Never."]}]

        reply = await client.ask("s", "update", pk=pk, data={"text": "b"})
        assert reply["data"]["text"] == client.rows["s"][pk]["text"] == "b"
        message = await Message.objects.aget()
        assert (message.room_id, message.text, message.hidden) == (room.pk, "b", True)

        assert (await client.ask("s", "delete", pk=pk))["response_status"] == 204
        assert client.rows["s"][pk]["text"] == "deleted"
        await Message.objects.aupdate(text="carved in stone")
        errors = await refused(client, "s", "update", 403, pk=pk, data={"text": "c"})
        assert errors == ["It is carved in stone."]
    assert [message.text async for message in Message.objects.all()] == ["carved in stone"]


async def test_an_exception_is_a_plain_sentence(caplog):
    """What goes wrong on the server is logged there by its name; the client is told that it did."""
    async with Client(Acting) as client:
        errors = await refused(client, "s", "fail", 500)
        assert errors == ["Something went wrong on the server."]
        assert (await client.ask("s", "count"))["response_status"] == 200
    assert "fail failed" in caplog.text
    assert "\nRuntimeError\n" in caplog.text
    assert "secret" not in str(client.frames)


@pytest.mark.parametrize("name", ["wait_for_one_cancelled", "exit"])
async def test_an_action_that_goes_astray_is_one_fault(name, caplog):
    """What ends tasks or programs, raised by an action, ends neither: the stream goes on."""
    async with Client(Acting) as client:
        reply = await client.ask("s", name)
        assert reply["response_status"] == 500
        assert reply["errors"] == ["Something went wrong on the server."]
        assert (await client.ask("s", "count"))["data"] == {"count": 0}


# The database


@pytest.mark.sqlite
async def test_a_locked_database_is_503(monkeypatch):
    """A write that doesn't get the lock in time is answered 503; reading goes on meanwhile."""
    row = await create(name="a", value=1)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    async with Client(Demultiplexer) as client, Client(Demultiplexer) as earlier:
        await earlier.subscribe("intval")
        with closing(connect()) as other:
            other.execute("UPDATE talk_integervalue SET value = 2")
            errors = await refused(client, "intval", "update", 503, pk=row.pk, data={"value": 3})
            assert errors == ["The database is away or busy; try again."]
            await client.subscribe("intval")
            assert client.rows["intval"][row.pk]["value"] == 1
            other.commit()
        await client.until("intval", {row.pk: {"name": "a", "value": 2}})
        reply = await client.ask("intval", "update", pk=row.pk, data={"value": 3})
        assert reply["response_status"] == 200


@pytest.fixture
def meanwhile(monkeypatch):
    """A function that has another program run a statement while a row of a binding is updated, and
    returns the thread in which it does, and a list that will say whether it had to wait."""

    def meanwhile(binding, statement):
        thread = threading.Thread(target=other_program, args=[statement])
        waited = []

        def has_permission(self, user, action, pk):
            if action == "update" and connection.in_atomic_block:
                thread.start()
                thread.join(0.2)
                waited.append(thread.is_alive())
            return True

        monkeypatch.setattr(binding, "has_permission", has_permission)
        return thread, waited

    return meanwhile


async def test_partial_updates_of_different_fields_both_survive(meanwhile):
    """Between reading and writing a row nobody else writes it."""
    row = await create(name="a", value=1)
    statement = "UPDATE talk_integervalue SET name = 'b'"
    thread, waited = meanwhile(IntegerValueBinding, statement)
    async with Client(Demultiplexer) as client:
        await client.ask("intval", "update", pk=row.pk, data={"value": 9})
        await asyncio.to_thread(thread.join)
    assert waited == [True]
    assert await stored() == {row.pk: ("b", 9)}


async def test_a_multi_table_child_is_locked_with_its_parent(meanwhile):
    """What somebody else writes to the parent's table isn't written back with the child."""
    row = await Child.objects.acreate(title="a", number=1)
    thread, waited = meanwhile(ChildBinding, "UPDATE shapes_base SET title = 'b'")
    async with Client(named({"child": ChildBinding}, ["children"])) as client:
        await client.ask("child", "update", pk=row.pk, data={"number": 9})
        await asyncio.to_thread(thread.join)
    assert waited == [True]
    assert await Child.objects.values_list("title", "number").aget() == ("b", 9)


# A reply follows its own effect


@pytest.mark.parametrize("options", [{}, {"window": 1}])
async def test_a_reply_follows_its_own_effect(options):
    """When a write is answered on a subscribed stream, the subscriber has its batch already."""
    async with Client(Demultiplexer) as client, Client(Demultiplexer) as other:
        await client.subscribe("intval", **options)
        for value in range(5):
            await other.send("intval", "create", data={"name": f"o{value}"})
            reply = await client.ask("intval", "create", data={"name": f"n{value}"})
            assert client.rows["intval"][reply["pk"]] == reply["data"]
            reply = await client.ask("intval", "update", pk=reply["pk"], data={"value": value})
            assert client.rows["intval"][reply["pk"]] == {"name": f"n{value}", "value": value}
        await client.ask("intval", "delete", pk=reply["pk"])
        assert reply["pk"] not in client.rows["intval"]


async def test_a_reply_waits_for_the_window():
    """While the window is closed a reply waits for its batch, and only so many replies wait."""
    row = await create(name="a")
    most = Subscription.WAITING_REPLIES
    with override_settings(DATABINDING={"MAX_REQUESTS": 5}):
        async with Client(Demultiplexer) as client:
            await client.ask("intval", "subscribe", window=1)
            await client.receive()
            for number in range(1, most + 1):
                await client.send(
                    "intval", "update", request_id=number, pk=row.pk, data={"value": number}
                )
                await eventually_stored(row.pk, ("a", number))
            for number in range(5):
                await client.send("intval", "retrieve", request_id=f"r{number}", pk=row.pk)
            frame = await client.receive()
            assert frame["payload"]["response_status"] == 429
            assert await client.nothing_comes()
            await client.send("intval", "ack", frames=1)
            await client.until("intval", {row.pk: {"name": "a", "value": most}})
            replies = [(await client.receive())["payload"] for _ in range(most)]
            assert [reply["request_id"] for reply in replies] == list(range(1, most + 1))


async def test_a_reply_that_waits_comes_when_its_subscription_ends():
    """Who ends a subscription whose window is closed is still told what became of his writes."""
    row = await create(name="a")
    async with Client(Demultiplexer) as client:
        await client.ask("intval", "subscribe", window=1)
        await client.receive()
        await client.send("intval", "update", request_id="u", pk=row.pk, data={"value": 1})
        await client.send("intval", "unsubscribe", request_id="e")
        replies = [(await client.receive())["payload"] for _ in range(2)]
        assert [reply["request_id"] for reply in replies] == ["u", "e"]


async def eventually_stored(pk, value):
    async with asyncio.timeout(PATIENCE):
        while (await stored())[pk] != value:
            pass


# Meanwhile


@pytest.fixture
def gates():
    return asyncio.Event(), asyncio.Event()


async def test_acks_and_heartbeats_pass_a_slow_action(gates):
    """While an action runs, acks of its stream count and pings are answered."""
    await create(name="a")
    async with Client(Acting, gates=gates) as client:
        await client.ask("s", "subscribe", window=1)
        await client.receive()
        await client.send("s", "wait", request_id="slow")
        await gates[0].wait()
        await client.send_text("ping")
        assert await client.receive_text() == "pong!"
        await client.send_message({"type": "websocket.receive", "bytes": b"ping"})
        assert await client.receive_text() == "pong!"
        await in_database(IntegerValue.objects.update)(value=1)
        assert await client.nothing_comes()
        await client.send("s", "ack", frames=1)
        assert (await client.receive())["payload"]["action"] == "batch"
        gates[1].set()
        assert (await client.receive())["payload"]["request_id"] == "slow"


async def test_requests_of_one_stream_keep_their_order_and_hold_up_no_other(gates):
    """A slow request holds up its own stream's requests, not another stream's."""
    async with Client(Acting, gates=gates) as client:
        await client.send("s", "wait", request_id=1)
        await client.send("s", "count", request_id=2)
        await gates[0].wait()
        assert (await client.ask("intval", "list"))["data"] == []
        gates[1].set()
        assert [(await client.receive())["payload"]["request_id"] for _ in "ab"] == [1, 2]


async def test_too_many_waiting_requests_are_refused(gates):
    """Requests beyond MAX_REQUESTS are answered 429, at once; then there is room again."""
    with override_settings(DATABINDING={"MAX_REQUESTS": 2}):
        async with Client(Acting, gates=gates) as client:
            await client.send("s", "wait", request_id=1)
            await client.send("s", "count", request_id=2)
            await client.send("intval", "list", request_id=3)
            refusal = await client.receive()
            assert refusal["payload"]["request_id"] == 3
            assert refusal["payload"]["response_status"] == 429
            gates[1].set()
            assert [(await client.receive())["payload"]["request_id"] for _ in "ab"] == [1, 2]
            assert (await client.ask("intval", "list"))["response_status"] == 200


async def test_a_client_that_leaves_ends_its_requests(gates):
    """What a client asked for is dropped when it goes."""
    ended = asyncio.Event()

    class Gate(asyncio.Event):
        async def wait(self):
            try:
                await super().wait()
            finally:
                ended.set()

    async with Client(Acting, gates=(gates[0], Gate())) as client:
        await client.send("s", "wait")
        await gates[0].wait()
        assert not ended.is_set()
    await eventually(ended.is_set)


# Frames


async def test_a_frame_too_large_closes_the_socket():
    """A frame over MAX_FRAME closes with 1009; one just under is read."""
    with override_settings(DATABINDING={"MAX_FRAME": 300}):
        async with Client(Demultiplexer) as client:
            start = '{"stream":"intval","payload":{"action":"list","request_id":1}}'
            await client.send_text(start + " " * (300 - len(start)))
            assert (await client.receive())["payload"]["response_status"] == 200
            await client.send_text("x" * 301)
            assert await client.receive_output() == {"type": "websocket.close", "code": 1009}


async def test_binary_frames_are_text():
    """A client that sends its text as binary is understood; bytes that are no text are an error."""
    async with Client(Demultiplexer) as client:
        frame = b'{"stream":"intval","payload":{"action":"list","request_id":1}}'
        await client.send_message({"type": "websocket.receive", "bytes": frame, "text": None})
        assert (await client.receive())["payload"]["data"] == []
        await client.send_message({"type": "websocket.receive", "bytes": b"\xff\xfe{"})
        assert (await client.receive())["payload"]["response_status"] == 400


@pytest.mark.postgresql
async def test_who_waits_for_a_lock_has_nobody_else_wait():
    """A write that waits for another program's lock holds up no other client's request."""
    for code in "xy":
        await in_database(Named.objects.create)(code=code, value=5)
    with closing(connect()) as other:
        other.execute("UPDATE shapes_named SET value = 6 WHERE code = 'x'")
        async with Client(Shapes) as waiting, Client(Shapes) as quick:
            await waiting.send("named", "update", request_id=1, pk="x", data={"value": 7})
            await eventually(lambda: locks_waited_for() == 1)
            reply = await quick.ask("named", "update", pk="y", data={"value": 8})
            assert reply["response_status"] == 200
            assert locks_waited_for() == 1
            other.commit()
            frame = await waiting.receive()
            assert frame["payload"]["response_status"] == 200
    assert (await in_database(Named.objects.get)(pk="x")).value == 7


def locks_waited_for():
    with closing(connect()) as third:
        cursor = third.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]
