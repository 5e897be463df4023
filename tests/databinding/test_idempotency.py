"""A create that is sent again is stored once, whoever gets it, and whenever."""

import asyncio
import threading
import uuid

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, override_settings

from databinding import idempotency
from databinding.models import IdempotencyKey
from tests.databinding.clients import PATIENCE, Client
from tests.databinding.test_writes import actions
from tests.writing.bindings import BookingBinding, Demultiplexer, HallBinding
from tests.writing.models import Booking, Hall
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

RED = {"name": "red"}


@pytest.fixture
def ana(transactional_db):
    return User.objects.create(username="ana")


@pytest.fixture
def key():
    return str(uuid.uuid4())


async def test_the_same_key_again_returns_the_first_result(ana, key):
    """Sent again, on another connection, a create is answered with the row that it made before."""
    async with Client(Demultiplexer, user=ana) as client:
        first = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert first["response_status"] == 201
    async with Client(Demultiplexer, user=ana) as client:
        again = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert {**again, "request_id": 0} == {**first, "request_id": 0}
        other = await client.ask("hall", "create", data={"name": "x"}, idempotency_key=f"{key}2")
        assert other["pk"] != first["pk"]
    assert await Hall.objects.acount() == 2


async def test_the_row_is_answered_as_it_is_by_now(ana, key):
    """What became of the row meanwhile is told: its new values, or that it is gone."""
    async with Client(Demultiplexer, user=ana) as client:
        pk = (await client.ask("hall", "create", data=RED, idempotency_key=key))["pk"]
        await client.ask("hall", "update", pk=pk, data={"name": "blue"})
        again = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert (again["pk"], again["data"]) == (pk, {"name": "blue"})
        await client.ask("hall", "delete", pk=pk)
        again = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert (again["response_status"], again["pk"], again["data"]) == (201, pk, None)
    assert await Hall.objects.acount() == 0


async def test_other_data_under_the_same_key_is_refused(ana, key):
    """A key stands for one create; with other data it is answered 422, and nothing is written."""
    async with Client(Demultiplexer, user=ana) as client:
        await client.ask("hall", "create", data=RED, idempotency_key=key)
        reply = await client.ask("hall", "create", data={"name": "x"}, idempotency_key=key)
        assert reply["response_status"] == 422
        assert reply["errors"] == ["This idempotency key was used for something else."]
    assert await Hall.objects.acount() == 1


async def test_what_was_refused_may_be_mended(ana, key):
    """A create that wasn't stored leaves its key free."""
    async with Client(Demultiplexer, user=ana) as client:
        reply = await client.ask("hall", "create", data={}, idempotency_key=key)
        assert reply["response_status"] == 400
        reply = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert reply["response_status"] == 201


async def test_a_key_is_its_users_alone(ana, key):
    """The same key of somebody else, or of another binding, is another key."""
    bob = await User.objects.acreate(username="bob")
    answers = []
    for number, user in enumerate((ana, bob, None)):
        async with Client(Demultiplexer, user=user) as client:
            data = {"name": str(number)}
            answers.append(await client.ask("hall", "create", data=data, idempotency_key=key))
    assert [answer["response_status"] for answer in answers] == [201, 201, 201]
    hall = answers[0]["pk"]
    async with Client(Demultiplexer, user=ana) as client:
        reply = await client.ask("booking", "create", data={"hall": hall}, idempotency_key=key)
        assert reply["response_status"] == 201


async def test_who_lost_the_right_gets_no_answer_from_the_key(ana, key, monkeypatch):
    """The permission to create is asked for again."""
    async with Client(Demultiplexer, user=ana) as client:
        await client.ask("hall", "create", data=RED, idempotency_key=key)
        monkeypatch.setattr(HallBinding, "has_permission", lambda *asked: False)
        reply = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert (reply["response_status"], reply["data"]) == (403, None)


@pytest.mark.parametrize("wrong", ["", "x" * 201, 5, True, [], {}])
async def test_what_is_no_key_is_refused(ana, wrong):
    """A key is a text of reasonable length."""
    async with Client(Demultiplexer, user=ana) as client:
        reply = await client.ask("hall", "create", data=RED, idempotency_key=wrong)
        assert reply["response_status"] == 400
        assert list(reply["errors"][0]) == ["idempotency_key"]


async def test_keys_of_strangers_can_not_be_guessed(key):
    """Who isn't logged in must bring a long one, which then serves whoever has it."""
    async with Client(Demultiplexer) as client:
        reply = await client.ask("hall", "create", data=RED, idempotency_key="short")
        assert reply["response_status"] == 400
        first = await client.ask("hall", "create", data=RED, idempotency_key=key)
    async with Client(Demultiplexer) as client:
        again = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert again["pk"] == first["pk"]


async def test_two_at_once_are_stored_once(ana, key, monkeypatch):
    """Of two with the same key at once the second waits for the first, and returns its row."""
    hall = await Hall.objects.acreate(name="red")
    began, go = threading.Event(), threading.Event()

    class Slow:
        def perform_create(self, serializer):
            began.set()
            assert go.wait(PATIENCE)
            serializer.save()

    class Never:
        def perform_create(self, serializer):
            raise AssertionError("It was stored already.")

    def create(performer):
        try:
            this = actions(BookingBinding, ana)
            this.performer = performer
            return this.create({"hall": hall.pk, "slot": 3}, key)
        finally:
            connections.close_all()

    one = asyncio.create_task(asyncio.to_thread(create, Slow()))
    assert await asyncio.to_thread(began.wait, PATIENCE)
    two = asyncio.create_task(asyncio.to_thread(create, Never()))
    await asyncio.wait([two], timeout=0.2)
    assert not two.done()
    go.set()
    assert await one == await two
    assert await Booking.objects.acount() == 1


async def test_a_program_that_died_before_the_commit_has_stored_nothing(ana, key):
    """Key and row are written in one transaction: what undoes the one undoes the other."""

    class Dies:
        def perform_create(self, serializer):
            serializer.save()
            raise SystemError("out of memory")

    def create():
        try:
            this = actions(HallBinding, ana)
            this.performer = Dies()
            with pytest.raises(SystemError):
                this.create(RED, key)
        finally:
            connections.close_all()

    await asyncio.to_thread(create)
    assert await IdempotencyKey.objects.acount() == 0
    async with Client(Demultiplexer, user=ana) as client:
        reply = await client.ask("hall", "create", data=RED, idempotency_key=key)
        assert reply["response_status"] == 201


def test_keys_are_forgotten_in_time(ana, key):
    """Pruning drops keys older than IDEMPOTENCY_RETENTION; what is kept of them is no content."""
    actions(HallBinding, ana).create(RED, key)
    entry = IdempotencyKey.objects.get()
    assert entry.key == str(Hall.objects.get().pk)
    assert not {"red", key, "ana"} & {entry.digest, entry.body}
    call_command("databinding_prune", verbosity=0)
    assert idempotency.claim(HallBinding, ana, key, RED).key == entry.key
    with override_settings(DATABINDING={"IDEMPOTENCY_RETENTION": 1e-9}):
        call_command("databinding_prune", verbosity=0)
    assert IdempotencyKey.objects.count() == 0


async def test_rest_has_it_as_a_header(ana, key):
    """The key in `Idempotency-Key` is the same one as on a websocket."""
    await IntegerValue.objects.acreate(name="pump")
    ana.is_superuser = ana.is_staff = True
    await ana.asave()
    client = AsyncClient()
    await client.aforce_login(ana)
    data, headers = {"name": "valve"}, {"Idempotency-Key": key}
    answers = [
        await client.post("/api/intval/", data, "application/json", headers=headers)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = await client.post("/api/intval/", {"name": "x"}, "application/json", headers=headers)
    assert other.status_code == 422
    assert await IntegerValue.objects.acount() == 2
