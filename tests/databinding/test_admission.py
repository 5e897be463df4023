"""Who may subscribe is told without a thread, where nothing is asked for it."""

import asyncio
import contextlib
import threading

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import override_settings
from rest_framework import permissions
from rest_framework.authentication import BaseAuthentication
from rest_framework.serializers import Serializer

from databinding import door, rights, session
from databinding.admission import asks_nothing
from databinding.hub import running_hub
from databinding.threads import Together, in_database
from tests.databinding.clients import PATIENCE, Client, eventually, named
from tests.databinding.users import log_in, user_named
from tests.writing.bindings import Everybody, HallBinding
from tests.writing.models import Hall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nobody_looks")]

Halls = named({"hall": HallBinding}, ["halls"])


class Closed(permissions.BasePermission):
    """A project's own."""


@pytest.fixture
def binding(monkeypatch):
    """The halls' binding, of which Django REST framework's classes alone decide."""
    monkeypatch.delattr(Everybody, "has_permission")
    monkeypatch.setattr(HallBinding, "permission_classes", [permissions.AllowAny])
    return HallBinding


@pytest.fixture
def threads(monkeypatch):
    """What subscriptions had a thread for."""
    found = []

    def counting(work):
        found.append(work)
        return in_database(work)

    monkeypatch.setattr(door, "in_database", counting)
    return found


@pytest.fixture
def calls(counted):
    """How many were looked up together."""
    return counted(rights.arrived)


OWN = [
    ("permission_classes", [Closed]),
    ("permission_classes", [permissions.AllowAny & permissions.IsAuthenticated]),
    ("has_permission", lambda self, user, action, pk: True),
    ("groups_for", lambda self, user, groups, parameters: groups),
    ("get_queryset", classmethod(lambda cls, user: Hall.objects.all())),
    ("readable_fields", classmethod(lambda cls, user: None)),
    ("parameters", Serializer),
]


@pytest.mark.parametrize(("name", "own"), OWN)
def test_what_may_ask_is_known(binding, monkeypatch, name, own):
    """Of a project's own code nobody knows what it does, unless the binding says so."""
    assert asks_nothing(binding)
    monkeypatch.setattr(binding, name, own, raising=False)
    assert not asks_nothing(binding)
    monkeypatch.setattr(binding, "asks_nothing", True)
    assert asks_nothing(binding)


@pytest.mark.parametrize(
    ("name", "own"), [*OWN, ("audience_key", classmethod(lambda cls, user: user.pk))]
)
@pytest.mark.parametrize("derived", [lambda own: ({}, own), lambda own: (own, {})])
def test_a_promise_is_of_the_class_that_gives_it(binding, registry_as_it_was, name, own, derived):
    """A class derived from it, or mixed into that, which decides otherwise has to promise anew."""
    mixin, body = derived({name: own})
    own_code = {"has_permission": lambda self, user, action, pk: True}
    promising = type("Promising", (binding,), {"asks_nothing": True, **own_code})
    mixed = type("Mixed", (), mixin)
    assert asks_nothing(type("Same", (promising,), {"limit": 8}))
    assert not asks_nothing(type("Other", (mixed, promising), body))
    assert asks_nothing(type("Anew", (mixed, promising), {**body, "asks_nothing": True}))


def test_what_is_inherited_counts():
    """A base's code is the project's own, too."""
    assert "has_permission" not in vars(HallBinding)
    assert not asks_nothing(HallBinding)


@pytest.mark.parametrize("user", [None, AnonymousUser()])
async def test_who_is_nobody_waits_for_no_thread(binding, threads, calls, user):
    """Nothing is looked up of who has come with nothing, however long ago."""
    await Hall.objects.acreate(name="red")
    async with Client(Halls, user=user) as client:
        await client.subscribe("hall")
        assert [row["name"] for row in client.rows["hall"].values()] == ["red"]
    assert threads == calls == []


async def test_a_binding_of_its_own_has_a_thread(binding, threads, monkeypatch):
    """Where a project's code decides it may ask whatever it likes."""
    monkeypatch.setattr(
        binding, "has_permission", lambda self, *_: User.objects.count() == 0, raising=False
    )
    async with Client(Halls) as client:
        await client.subscribe("hall")
    assert len(threads) == 1


async def test_a_crowd_is_looked_up_together(binding, threads, calls, monkeypatch):
    """Those who subscribe at the same time, each by a session of his own, are a few questions."""
    monkeypatch.setattr(binding, "permission_classes", [permissions.IsAuthenticated])
    monkeypatch.setattr(session, "FRESH", -1)  # The handshakes were long ago.
    users = [await user_named(f"user{number}") for number in range(20)]
    clients = [Client(Halls, user=user, session=await log_in(user)) for user in users]
    for client in clients:
        await client.__aenter__()
    calls.clear()
    await asyncio.gather(*(client.subscribe("hall") for client in clients))
    for client in clients:
        await client.__aexit__()
    assert threads == []
    assert sum(calls) == 20
    assert len(calls) <= 4


async def test_a_session_that_has_ended_is_nobodys(binding, monkeypatch):
    """Who has logged out since the handshake may subscribe to no more than nobody may."""
    monkeypatch.setattr(binding, "permission_classes", [permissions.IsAuthenticated])
    monkeypatch.setattr(session, "FRESH", -1)
    ana = await user_named("ana")
    logged_in = await log_in(ana)
    async with Client(Halls, user=ana, session=logged_in) as client:
        assert (await client.ask("hall", "subscribe"))["response_status"] == 200
        await in_database(logged_in.flush)()
        assert (await client.ask("hall", "subscribe"))["response_status"] == 401


async def test_rights_are_noted(binding):
    """What a subscription rests on is known, so that it is seen when it changes."""
    ana = await user_named("ana")
    async with Client(Halls, user=ana) as client:
        await client.subscribe("hall")
        (watched,) = running_hub().vigil._watched
        (known,) = await in_database(rights.look)([watched.scope], [watched.forms()])
        assert watched.basis.holds(known)
        await in_database(User.objects.filter(pk=ana.pk).update)(is_staff=True)
        (known,) = await in_database(rights.look)([watched.scope], [watched.forms()])
        assert not watched.basis.holds(known)


@pytest.mark.parametrize("says", [True, False])
async def test_what_asks_after_all_is_asked_in_a_thread(binding, threads, monkeypatch, says):
    """A binding that was wrong about itself, or a user who asks, costs a thread, nothing else."""

    def asks(self, *_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)

    if says:
        monkeypatch.setattr(binding, "has_permission", asks, raising=False)
        monkeypatch.setattr(binding, "asks_nothing", True)
    else:
        monkeypatch.setattr(binding, "permission_classes", [permissions.DjangoModelPermissions])
        monkeypatch.setattr(User, "has_perms", asks)
    async with Client(Halls, user=await user_named("ana")) as client:
        assert await client.subscribe("hall") is False
    assert len(threads) == 1


async def test_what_raises_is_its_own(binding, monkeypatch, caplog):
    """A fault while somebody is looked up is his who asked, and tells him no more than that."""

    def look(asked):
        return [
            ConnectionError("no directory")
            if scope["user"].username == "ana"
            else rights.Known(scope["user"], "x")
            for scope, _ in asked
        ]

    ana, bo = await user_named("ana"), await user_named("bo")
    async with Client(Halls, user=ana) as stuck, Client(Halls, user=bo) as other:
        monkeypatch.setattr(rights.arrived, "_answer", look)
        replies = await asyncio.gather(
            stuck.ask("hall", "subscribe"), other.ask("hall", "subscribe")
        )
    assert [reply["response_status"] for reply in replies] == [500, 200]
    assert "directory" not in str(replies)


class Distant(BaseAuthentication):
    """Asks far away whose token it is; `waiting` are those who are told nothing for long."""

    waiting, answered = None, None

    def authenticate(self, request):
        if "Authorization" not in request.headers:
            return None
        if self.waiting is not None:
            self.waiting.append(request)
            assert self.answered.wait(PATIENCE)
        return User.objects.get(username="ana"), None


async def test_tokens_that_are_asked_about_for_long_hold_up_nobody_else(binding, monkeypatch):
    """Others subscribe while some wait for what a class of the project's asks far away."""
    await user_named("ana")
    bo = await user_named("bo")
    path = f"{__name__}.{Distant.__name__}"
    async with contextlib.AsyncExitStack() as stack:
        with override_settings(DATABINDING={"AUTHENTICATION": [path], "RIGHTS_INTERVAL": 60}):
            programs = [
                await stack.enter_async_context(
                    Client(Halls, headers=[(b"authorization", b"Distant %d" % number)])
                )
                for number in range(Together.CALLS)
            ]
            other = await stack.enter_async_context(
                Client(Halls, user=bo, session=await log_in(bo))
            )
            monkeypatch.setattr(session, "FRESH", -1)
            monkeypatch.setattr(Distant, "waiting", [])
            monkeypatch.setattr(Distant, "answered", threading.Event())
            stuck = []
            try:
                for program in programs:
                    stuck.append(asyncio.create_task(program.subscribe("hall")))
                    await eventually(lambda: len(Distant.waiting) == len(stuck))
                await other.subscribe("hall")
                assert not any(one.done() for one in stuck)
            finally:
                Distant.answered.set()
            await asyncio.gather(*stuck)
