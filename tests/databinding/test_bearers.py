"""Users who are no accounts of this project: what a token says is all that there is of them."""

from datetime import timedelta
from typing import ClassVar

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from rest_framework.authentication import BaseAuthentication
from rest_framework_simplejwt.models import TokenUser
from rest_framework_simplejwt.tokens import AccessToken

from databinding.bearers import key_of, name_of
from databinding.hub import running_hub
from databinding.rights import rights_of
from tests.databinding.clients import Client, eventually
from tests.databinding.events import Response
from tests.databinding.users import user_named
from tests.shapes.bindings import Demultiplexer
from tests.shapes.models import Note
from values.bindings import IntegerValueBinding

pytestmark = pytest.mark.django_db(transaction=True)

CLASS = "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"


@pytest.fixture(autouse=True)
def by_what_tokens_say():
    """Programs are whom their JSON web tokens name, without a look into the database."""
    with override_settings(
        DATABINDING={"RIGHTS_INTERVAL": 0.05, "AUTHENTICATION": [CLASS]},
        SIMPLE_JWT={"SIGNING_KEY": "for tests only, and so it is long enough"},
    ):
        yield


def token_of(pk, lifetime=timedelta(minutes=5), **claims):
    token = AccessToken()
    token.set_exp(lifetime=lifetime)
    for name, value in {"user_id": pk, **claims}.items():
        token[name] = value
    return token


def header(token):
    return [(b"authorization", f"Bearer {token}".encode())]


def texts(client):
    return sorted(row["text"] for row in client.rows["note"].values())


async def until(client, wanted):
    while texts(client) != sorted(wanted):
        await client.receive()


@in_database
def write(owner, text):
    return Note.objects.create(owner=owner, text=text).pk


async def test_a_bearer_sees_and_writes_what_is_his():
    """Whoever has no account subscribes, is told what changes, asks and writes."""
    owner = await user_named("somebody")
    await write(owner, "mine")
    token = token_of(str(owner.pk))
    async with (
        Client(Demultiplexer, headers=header(token)) as client,
        Response(Demultiplexer, "note", headers={"Authorization": f"Bearer {token}"}) as source,
    ):
        await client.subscribe("note")
        assert texts(client) == ["mine"]
        await write(owner, "more")
        await until(client, ["mine", "more"])
        while len(source.copy.rows) < 2:
            await source.receive()
        assert len((await client.ask("note", "list"))["data"]) == 2
        key = {"idempotency_key": "once"}
        reply = await client.ask("account", "create", data={"balance": 1}, **key)
        assert reply["response_status"] == 201
        assert (await client.ask("permitted", "subscribe"))["response_status"] == 403


@pytest.mark.parametrize("first", ["account", "bearer"])
async def test_a_bearer_is_not_the_account_of_the_same_key(first):
    """Keys of another system's users mean others than ours: they share no audience."""
    staff, other = await user_named("ana", is_staff=True), await user_named("bo")
    await write(other, "secret")
    clients = {
        "account": Client(Demultiplexer, user=staff),
        "bearer": Client(Demultiplexer, headers=header(token_of(staff.pk))),
    }
    async with clients[first] as one:
        await one.subscribe("note")
        async with next(c for name, c in clients.items() if name != first) as another:
            await another.subscribe("note")
            await write(staff, "of staff")
            await until(clients["account"], ["of staff", "secret"])
            await until(clients["bearer"], ["of staff"])
            assert "'secret'" not in str(clients["bearer"].frames)


async def test_a_bearer_of_whom_nothing_can_be_looked_up(caplog):
    """Whatever his key looks like: he stays, with what is for everybody, while others are looked
    up."""
    user = TokenUser(token_of("auth0|7"))
    async with Client(Demultiplexer, user=user) as client:
        await client.subscribe("account")
        looks = []
        vigil = running_hub().vigil
        look = vigil._look

        async def counted():
            await look()
            looks.append(1)

        vigil._look = counted
        await eventually(lambda: len(looks) > 2)
        assert (await client.ask("account", "list"))["response_status"] == 200
        await client.send(None, "whoami", request_id=1)
        assert (await client.receive())["payload"]["data"]["authenticated"] is True
    assert not caplog.records


async def test_what_a_token_says_anew_counts():
    """Who becomes staff by another's word sees what staff does; and no longer after it."""
    other = await user_named("bo")
    await write(other, "theirs")
    user = TokenUser(token_of("4711"))
    async with Client(Demultiplexer, user=user) as client:
        await client.subscribe("note")
        assert texts(client) == []
        user.__dict__["is_staff"] = True
        await until(client, ["theirs"])
        user.__dict__["is_staff"] = False
        await until(client, [])


@pytest.mark.parametrize("first", ["staff", "guest"])
async def test_two_tokens_of_one_key_are_two(first):
    """Who comes with a token that says less than another's of the same key sees less."""
    other = await user_named("bo")
    await write(other, "theirs")
    clients = {
        "staff": Client(Demultiplexer, headers=header(token_of("7", is_staff=True))),
        "guest": Client(Demultiplexer, headers=header(token_of("7"))),
    }
    async with clients[first] as one:
        await one.subscribe("note")
        async with next(c for name, c in clients.items() if name != first) as another:
            await another.subscribe("note")
            await write(other, "more")
            await until(clients["staff"], ["more", "theirs"])
            assert texts(clients["guest"]) == []
    async with Client(Demultiplexer, headers=header(token_of("7"))) as late:
        await late.subscribe("note")
        assert texts(late) == []


class Principal:
    """What a key opens, made anew for each look."""

    is_authenticated = True
    pk = "machine"
    staff: ClassVar[bool] = False

    def __init__(self):
        self.is_staff = self.staff


class Keys(BaseAuthentication):
    def authenticate(self, request):
        return Principal(), None


async def test_rights_of_one_who_is_made_anew_for_each_look(monkeypatch):
    """What his authentication class says of him by now counts, on open sockets, too."""
    other = await user_named("bo")
    await write(other, "theirs")
    monkeypatch.setattr(Principal, "staff", True)
    name = f"{Keys.__module__}.{Keys.__qualname__}"
    with override_settings(DATABINDING={"RIGHTS_INTERVAL": 0.05, "AUTHENTICATION": [name]}):
        async with Client(Demultiplexer, headers=header("any")) as client:
            await client.subscribe("note")
            assert texts(client) == ["theirs"]
            monkeypatch.setattr(Principal, "staff", False)
            await until(client, [])


async def test_a_guest_with_a_key_is_not_the_account_of_that_key():
    """Somebody who isn't logged in is nobody's account, whatever he is numbered."""
    owner = await user_named("ana")
    await write(owner, "mine")

    class Guest:
        is_authenticated = is_active = is_staff = False
        pk = owner.pk

    assert key_of(Guest()) != owner.pk
    async with Client(Demultiplexer, user=owner) as client:
        await client.subscribe("note")
        async with Client(Demultiplexer, user=Guest()) as guest:
            await guest.subscribe("note")
            await write(owner, "more")
            await until(client, ["mine", "more"])
            assert "mine" not in str(guest.frames)


async def test_a_token_that_expires_closes_its_sockets():
    """What can't be looked up can still end."""
    token = token_of("7", lifetime=timedelta(seconds=3))
    async with Client(Demultiplexer, headers=header(token)) as client:
        await client.send("account", "subscribe", request_id=1)
        while (message := await client.receive_output())["type"] != "websocket.close":
            pass
        assert message["code"] == 4401


def test_rest_knows_bearers(client, monkeypatch):
    """A request is answered by what its token says."""
    monkeypatch.setattr(
        IntegerValueBinding, "has_permission", lambda self, user, action, pk: user.is_staff
    )
    for staff, status in ((True, 200), (False, 403)):
        token = token_of("7", is_staff=staff)
        answer = client.get("/api/intval/", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status


def test_by_what_users_are_known():
    """Accounts by their primary keys, nobody by none, others by themselves."""
    account = User.objects.create_user("ana")
    bearer, another = TokenUser(token_of(account.pk)), TokenUser(token_of(account.pk))
    assert key_of(account) == name_of(account) == account.pk
    assert key_of(AnonymousUser()) is None
    assert key_of(bearer) == key_of(bearer) != key_of(another)
    assert name_of(bearer) == name_of(another) != account.pk
    assert len(rights_of([account, bearer, another])) == 3

    class Machine:
        is_authenticated = True

    machine = Machine()
    assert rights_of([machine]).keys() == {key_of(machine)}
