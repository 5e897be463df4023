"""Clients of Channels 1's days: no subprotocol, no subscription, a frame for each row."""

import pytest
from channels.db import database_sync_to_async as in_database

from databinding.relay import relay_for
from tests.databinding.clients import Client, eventually, named
from tests.shapes.bindings import ClosedBinding, MessageBinding, NamedBinding
from tests.shapes.models import Message, Named, Room
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


def classic(demultiplexer, **scope):
    return Client(demultiplexer, modern=False, **scope)


@in_database
def create(**fields):
    return IntegerValue.objects.create(**fields)


@in_database
def row(pk):
    return IntegerValue.objects.get(pk=pk)


async def test_a_frame_for_each_changed_row():
    """Create, update and delete come as Channels 1 sent them, to the byte."""
    async with classic(Demultiplexer) as client:
        assert await client.nothing_comes()
        one = await create(name="a", value=1)
        created = await client.receive_text()
        await in_database(IntegerValue.objects.update)(value=2)
        updated = await client.receive_text()
        await in_database(IntegerValue.objects.all().delete)()
        deleted = await client.receive_text()
    frame = (
        '{"stream":"intval","payload":{"action":"%s","pk":%d,'
        '"data":{"name":"a","value":%d},"model":"talk.integervalue"}}'
    )
    assert created == frame % ("create", one.pk, 1)
    assert updated == frame % ("update", one.pk, 2)
    assert deleted == frame % ("delete", one.pk, 2)


async def test_what_commits_together_comes_row_by_row():
    """Several rows of one transaction are several frames, each with the latest state."""
    async with classic(Demultiplexer) as client:
        await in_database(
            lambda: IntegerValue.objects.bulk_create(IntegerValue(name=n) for n in "abc")
        )()
        payloads = [(await client.receive())["payload"] for _ in range(3)]
        assert await client.nothing_comes()
    assert [payload["data"]["name"] for payload in payloads] == ["a", "b", "c"]
    assert {payload["action"] for payload in payloads} == {"create"}


async def test_a_classic_client_sees_its_groups():
    """A row that leaves the connection's groups is a delete, others' rows are nothing."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in "12"])()
    async with classic(named({"message": MessageBinding}, [f"room-{one.pk}"])) as client:
        message = await in_database(Message.objects.create)(room=one, text="x")
        created = (await client.receive())["payload"]
        assert created["action"] == "create"
        await in_database(Message.objects.update)(room=two)
        assert (await client.receive())["payload"] == {**created, "action": "delete"}
        assert created["pk"] == message.pk
        await in_database(Message.objects.update)(hidden=True)
        assert await client.nothing_comes()


async def test_without_permission_no_frames():
    """Where `has_permission` denies subscribing, a classic client gets nothing of the stream."""
    demultiplexer = named({"closed": ClosedBinding, "named": NamedBinding}, ["named"])
    async with classic(demultiplexer) as client:
        await in_database(Named.objects.create)(code="x", value=5)
        assert (await client.receive())["stream"] == "named"
        assert await client.nothing_comes()


async def test_a_binding_that_fails_leaves_others_alone(monkeypatch, caplog):
    """A stream whose permission can't be asked sends nothing; the connection stands."""

    def has_permission(self, user, action, pk):
        raise RuntimeError("as asked")

    monkeypatch.setattr(ClosedBinding, "has_permission", has_permission)
    demultiplexer = named({"closed": ClosedBinding, "named": NamedBinding}, ["named"])
    async with classic(demultiplexer) as client:
        await in_database(Named.objects.create)(code="x", value=5)
        assert (await client.receive())["stream"] == "named"
    assert "classic client of closed gets nothing" in caplog.text


async def test_the_first_subscription_ends_classic_frames():
    """A subscription on one stream ends classic frames on all, and for good."""
    streams = {"intval": IntegerValueBinding, "named": NamedBinding}
    async with classic(named(streams, ["intval-updates", "named"])) as client:
        await create(name="a")
        assert (await client.receive())["payload"]["action"] == "create"
        await client.subscribe("intval")
        await in_database(Named.objects.create)(code="x", value=5)
        assert await client.nothing_comes()
        await create(name="b")
        assert (await client.receive())["payload"]["action"] == "batch"
        await client.ask("intval", "unsubscribe")
        await create(name="c")
        assert await client.nothing_comes()


async def test_classic_and_subscribed_clients_side_by_side():
    """The same change reaches each client in its own form."""
    async with classic(Demultiplexer) as old, Client(Demultiplexer) as new:
        await new.subscribe("intval")
        one = await create(name="a", value=1)
        data = {"name": "a", "value": 1}
        assert (await old.receive())["payload"]["data"] == data
        await new.until("intval", {one.pk: data})


async def test_success_is_silent():
    """Without a request_id a write is answered by the group's frame alone."""
    async with classic(Demultiplexer) as client:
        await client.send("intval", "create", data={"name": "a", "value": "7"})
        payload = (await client.receive())["payload"]
        assert list(payload) == ["action", "pk", "data", "model"]
        pk = payload["pk"]
        await client.send("intval", "update", pk=pk, data={"value": 8})
        assert (await client.receive())["payload"]["data"] == {"name": "a", "value": 8}
        await client.send("intval", "delete", pk=pk)
        assert (await client.receive())["payload"]["action"] == "delete"
        assert await client.nothing_comes()


async def test_update_is_partial_and_coerces_strings():
    """What a form sends - strings, and only what changed - is enough."""
    one = await create(name="a", value=1)
    async with classic(Demultiplexer) as client:
        await client.send("intval", "update", pk=str(one.pk), data={"value": "42"})
        await client.receive()
    stored = await row(one.pk)
    assert (stored.name, stored.value) == ("a", 42)


@pytest.mark.parametrize(
    ("action", "payload", "status", "errors"),
    [
        (
            "create",
            {"data": {"name": "a", "value": "many"}},
            400,
            [{"value": ["A valid integer is required."]}],
        ),
        ("update", {"pk": 999, "data": {"value": 1}}, 404, ["Not found."]),
        ("delete", {}, 400, [{"pk": ["This field is required."]}]),
        ("explode", {}, 405, ['Method "explode" not allowed.']),
    ],
)
async def test_errors_come_without_a_request_id(action, payload, status, errors):
    """An error is told even to who asked for no answer, as action "error"."""
    async with classic(Demultiplexer) as client:
        await client.send("intval", action, **payload)
        frame = await client.receive()
    assert frame["stream"] == "intval"
    assert frame["payload"]["action"] == "error"
    assert frame["payload"]["response_status"] == status
    assert frame["payload"]["errors"] == errors


async def test_a_bare_frame_is_told_what_it_lacks():
    """A frame as the talk's chat sent it is an error; within the envelope it is a create."""
    async with classic(Demultiplexer) as client:
        await client.send_text('{"name":"a","value":1}')
        frame = await client.receive()
        assert frame["stream"] is None
        assert frame["payload"]["action"] == "error"
        assert frame["payload"]["errors"] == ['The frame must name its "stream".']
        await client.send("intval", "create", data={"name": "a", "value": 1})
        assert (await client.receive())["payload"]["data"] == {"name": "a", "value": 1}


async def test_create_sets_declared_fields_alone():
    """An undeclared field, the key among them, is refused by its name, and nothing is written."""
    async with classic(Demultiplexer) as client:
        await client.send("intval", "create", data={"name": "a", "id": 7})
        payload = (await client.receive())["payload"]
        assert payload["errors"] == [{"id": ["There is no such field."]}]
    assert not await in_database(IntegerValue.objects.exists)()


async def test_a_classic_client_that_leaves_gives_its_places_back():
    """After a classic connection is over no audience counts it."""
    async with classic(Demultiplexer) as client:
        await create(name="a")
        await client.receive()
        assert relay_for("default").holdings.in_use()
    await eventually(lambda: not relay_for("default").holdings.in_use())
