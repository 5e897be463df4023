"""What may be written, by what rules, and that whatever refuses it is an answer."""

import asyncio
import threading

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connections
from django.test.utils import CaptureQueriesContext
from djangochannelsrestframework.decorators import action

from databinding.actions import Actions
from databinding.inbound import consumer_class_for
from databinding.refusals import as_api_exception
from tests.databinding.clients import Client, named
from tests.writing.bindings import BookingBinding, Demultiplexer, HallBinding, ParcelBinding
from tests.writing.models import Badge, Booking, Hall, Locker, Parcel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hall(transactional_db):
    return Hall.objects.create(name="red")


@pytest.fixture
def booking(hall):
    return Booking.objects.create(hall=hall, slot=1, begins=1, ends=2, code="a", owner="ana")


def actions(binding=BookingBinding, user=None):
    """The binding's actions, as a door has them, for this thread."""
    performer = consumer_class_for(binding)()
    return Actions(binding, user or AnonymousUser(), frozenset({"halls"}), performer)


async def refused(client, action, status, stream="booking", **payload):
    reply = await client.ask(stream, action, **payload)
    assert reply["response_status"] == status, reply
    return reply["errors"]


# What may be written


@pytest.mark.parametrize("name", ["owner", "saves", "nonsense"])
async def test_only_declared_fields_are_written(hall, booking, name):
    """A field that the binding doesn't declare is refused, on create as on update."""
    data = {"hall": hall.pk, "slot": 2, name: 5}
    async with Client(Demultiplexer) as client:
        for action, more in (("create", {}), ("update", {"pk": booking.pk})):
            errors = await refused(client, action, 400, data=data, **more)
            assert errors == [{name: ["There is no such field."]}]
    assert await Booking.objects.acount() == 1


@pytest.mark.parametrize("name", ["id", "pk"])
async def test_the_key_is_no_field(hall, booking, name):
    """Neither a new row's key nor another one's can be chosen."""
    async with Client(Demultiplexer) as client:
        data = {"hall": hall.pk, "slot": 2, name: 77}
        await refused(client, "create", 400, data=data)
        await refused(client, "update", 400, pk=booking.pk, data=data)
        await refused(client, "create", 400, pk=77, data={"hall": hall.pk, "slot": 2})
    assert [row.pk async for row in Booking.objects.all()] == [booking.pk]


async def test_what_a_serializer_only_reads_stays(hall, booking):
    """Read-only fields and methods of a serializer may be sent back, and are not written."""
    async with Client(Demultiplexer) as client:
        data = {"hall": hall.pk, "slot": 3, "owner": "bob", "length": 9}
        reply = await client.ask("serialized", "update", pk=booking.pk, data=data)
        assert reply["data"] == {"hall": hall.pk, "slot": 3, "owner": "ana", "length": 1}
        reply = await client.ask("serialized", "create", data={**data, "slot": 4})
        assert reply["data"]["owner"] == ""


async def test_rows_are_saved_by_their_models_save(hall):
    """`Model.save()` runs at create and update, whatever it does."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("booking", "create", data={"hall": hall.pk})
        await client.ask("booking", "update", pk=reply["pk"], data={"slot": 2})
    assert (await Booking.objects.aget()).saves == 2


# By what rules


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"slot": 101}, "slot"),
        ({"slot": None}, "slot"),
        ({"code": "x" * 11}, "code"),
        ({"hall": 10**30}, "hall"),
        ({"ends": 2**70}, "ends"),
        ({"code": "a\0b"}, "code"),
    ],
)
async def test_validators_name_the_field(hall, booking, data, field):
    """What a field can't hold is answered 400 with the field's errors, on create as on update."""
    async with Client(Demultiplexer) as client:
        for action, more in (("update", {"pk": booking.pk}), ("create", {})):
            full = {"hall": hall.pk, "slot": 5, **data}
            errors = await refused(client, action, 400, data=full, **more)
            assert list(errors[0]) == [field]


WRONG = {
    "content": ["*", "YQ", "é", 5, ["YQ=="], "YQ==" * 20],
    "place": ["x", "a/b", 5, {"x": 1}],
    "halls": [5, "1", {"1": 1}, [True], [1.0], [[1]], ["a"], [0], [10**30], [None]],
    "takes": ["999999999999999", "x"],
    "leaves": ["x", "9999-12-31T23:00:00-12:00", 5],
}


@pytest.mark.parametrize("field", WRONG)
async def test_values_that_are_none_of_their_field(transactional_db, field):
    """Whatever stands where base64, a list of keys, a value of a field of one's own is wanted."""
    async with Client(Demultiplexer) as client:
        for value in WRONG[field]:
            data = {field: value}
            (errors,) = await refused(client, "create", 400, "parcel", data=data)
            assert list(errors) == [field]
    assert await Parcel.objects.acount() == 0


async def test_values_of_every_kind_are_written(hall):
    """What is valid is stored, and what isn't said is as the database has it."""
    data = {"content": "YWE=", "place": "3/4", "halls": [hall.pk, str(hall.pk)], "weight": 1}
    data |= {"leaves": "2026-01-01T00:00:00Z", "takes": "1 00:00:00"}
    async with Client(Demultiplexer) as client:
        for said in (data, {name: data[name] for name in data if name != "weight"}):
            reply = await client.ask("parcel", "create", data=said)
            assert reply["data"] == {**data, "halls": [hall.pk]}
        errors = await refused(client, "create", 400, "parcel", data={"weight": 0})
        assert "has_weight" in str(errors)
        await refused(client, "update", 400, "parcel", pk=reply["pk"], data={"weight": None})


async def test_what_a_time_zone_makes_too_late(transactional_db, settings):
    """A time that its zone knows, and the database, which has UTC, doesn't, is refused."""
    settings.TIME_ZONE = "America/New_York"
    async with Client(Demultiplexer) as client:
        data = {"leaves": "9999-12-31T23:00:00"}
        errors = await refused(client, "create", 400, "parcel", data=data)
        assert errors == ["The database can't hold this."]


def test_many_related_rows_are_found_at_once(hall):
    """However many keys a client says, few queries look for their rows; it may say some twice."""
    halls = Hall.objects.bulk_create(Hall(name=str(number)) for number in range(1000))
    keys = [row.pk for row in halls]
    for said in (keys, [keys[0]] * 10_000):
        with CaptureQueriesContext(connections["default"]) as queries:
            answer = actions(ParcelBinding).create({"halls": said})
        assert answer.data["halls"] == sorted(set(said))
        assert len(queries) < 20


@pytest.mark.parametrize(
    ("before", "change", "words"),
    [
        ({"slot": 2}, {"slot": 1}, "must make a unique set"),
        ({"slot": 2, "begins": 1, "ends": 2}, {"begins": 3}, "ends_after_begin"),
        ({"slot": 2, "begins": 1, "ends": 2}, {"ends": 0}, "ends_after_begin"),
        ({"slot": 2, "code": "b"}, {"code": "a"}, "code_once"),
    ],
)
async def test_constraints_are_400_by_what_the_row_would_become(
    hall, booking, before, change, words
):
    """Rules over several fields judge the row as a whole, a partial update with what it keeps."""
    async with Client(Demultiplexer) as client:
        data = {"hall": hall.pk, **before}
        errors = await refused(client, "create", 400, data={**data, **change})
        assert list(errors[0]) == ["non_field_errors"]
        assert words in str(errors)
        pk = (await client.ask("booking", "create", data=data))["pk"]
        errors = await refused(client, "update", 400, pk=pk, data=change)
        assert words in str(errors)
    assert await Booking.objects.acount() == 2


# Whatever refuses it is an answer


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda hall: Booking.objects.create(hall=hall), "Other rows refer to this one."),
        (lambda hall: Locker.objects.create(hall=hall), "Other rows refer to this one."),
        (lambda hall: Badge.objects.create(hall=hall), "The row conflicts with another one."),
    ],
    ids=["protected", "restricted", "refused at commit"],
)
async def test_a_row_that_others_refer_to_stays(hall, make, words):
    """A delete that the database refuses, be it only at the commit, is answered 409."""
    await in_database(make)(hall)
    async with Client(Demultiplexer) as client:
        errors = await refused(client, "delete", 409, "hall", pk=hall.pk)
        assert errors == [words]
        reply = await client.ask("hall", "retrieve", pk=hall.pk)
        assert reply["data"] == {"name": "red"}


async def test_what_an_action_runs_into_is_an_answer(hall):
    """So it is for actions of one's own: a conflict is 409, a model's own validation 400."""
    async with Client(named({"hall": Careless}, ["halls"])) as client:
        await client.subscribe("hall")
        assert await refused(client, "double", 409, "hall", pk=hall.pk)
        errors = await refused(client, "check", 400, "hall", pk=hall.pk)
        assert errors == ["Not today."]
        assert (await client.ask("hall", "list"))["response_status"] == 200


class Careless(HallBinding.consumer):
    @action()
    def double(self, pk, **kwargs):
        Hall.objects.create(name=Hall.objects.get(pk=pk).name)

    @action()
    def check(self, pk, **kwargs):
        raise DjangoValidationError("Not today.")


async def test_two_that_make_the_same_row_at_once(hall, monkeypatch):
    """Of two creates that both were valid one is stored, and the other answered 400 or 409."""
    both = threading.Barrier(2, timeout=0.5)

    def has_permission(self, user, action, pk):
        try:
            both.wait()
        except threading.BrokenBarrierError:
            pass
        return True

    monkeypatch.setattr(BookingBinding, "has_permission", has_permission)
    found = await asyncio.gather(*(asyncio.to_thread(attempt, hall.pk) for _ in range(2)))
    assert sorted(found) in ([201, 400], [201, 409])
    assert await Booking.objects.acount() == 1


def attempt(hall):
    try:
        actions().create({"hall": hall, "slot": 7})
    except Exception as error:
        return as_api_exception(error).status_code
    finally:
        connections.close_all()
    return 201


async def test_what_the_database_can_not_hold(hall):
    """JSON with a NUL in it is stored or refused, and the stream goes on."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("booking", "create", data={"hall": hall.pk, "extra": "a\0b"})
        assert reply["response_status"] in (201, 400)
        assert (await client.ask("booking", "list"))["response_status"] == 200


# A reply follows its own effect


async def test_a_write_that_hides_its_row_is_answered_after_the_delete(hall):
    """Whoever writes a row out of his sight has lost it when he is answered, without its data."""
    async with Client(Demultiplexer) as client:
        await client.subscribe("unowned")
        pk = (await client.ask("unowned", "create", data={"hall": hall.pk, "slot": 1}))["pk"]
        assert list(client.rows["unowned"]) == [pk]
        reply = await client.ask("unowned", "update", pk=pk, data={"owner": "ana"})
        assert (reply["response_status"], reply["data"]) == (200, None)
        assert client.rows["unowned"] == {}
        await refused(client, "delete", 404, "unowned", pk=pk)
