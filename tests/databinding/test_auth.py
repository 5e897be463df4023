"""Sessions and their users in the scope of a websocket, looked up for a crowd together."""

import asyncio

import pytest
from channels import auth as channels_auth
from django.conf import settings as django_settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser

from databinding import auth
from databinding.threads import in_database
from tests.databinding.clients import PATIENCE, Communicator
from tests.databinding.users import log_in, session_with, user_named

pytestmark = pytest.mark.django_db(transaction=True)


async def application(scope, receive, send):
    """Accepts, and leaves its scope to whoever tests."""
    scopes.append(scope)
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


scopes = []


@pytest.fixture(autouse=True)
def no_scopes():
    scopes.clear()


async def arrive(session=None, *, stack=auth.AuthMiddlewareStack, key=None):
    """The scope of a handshake, with this session's cookie."""
    key = key if session is None else session.session_key
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={key}"
    headers = [] if key is None else [(b"cookie", cookie.encode())]
    communicator = Communicator(stack(application), "/", headers=headers)
    connected, _ = await communicator.connect(timeout=PATIENCE)
    assert connected
    scope = scopes.pop()
    await communicator.disconnect(timeout=PATIENCE)
    return scope


@pytest.fixture
def calls(counted):
    """The numbers of handshakes that were looked up together."""
    return counted(auth._arrived)


async def test_who_has_no_session_is_nobody(calls):
    """Without a cookie nobody is asked."""
    scope = await arrive()
    assert scope["user"] == AnonymousUser()
    assert scope["cookies"] == {}
    assert calls == []


async def test_a_session_and_its_user_are_there(session_engine):
    """As with Channels' own, in every engine: also what else is in the session, without a query."""
    ana = await user_named("ana")
    session = await log_in(ana)
    session["colour"] = "red"
    await in_database(session.save)()
    for stack in (channels_auth.AuthMiddlewareStack, auth.AuthMiddlewareStack):
        scope = await arrive(session, stack=stack)
        assert scope["user"] == ana
        # In an event loop Django refuses to ask the database.
        assert scope["session"]["colour"] == "red"
        assert scope["session"].session_key == session.session_key


@pytest.mark.parametrize("key", ["0123456789abcdef0123456789abcdef", "x", "é"])
async def test_a_session_that_is_none_is_nobodys(key):
    """A key that stands for nothing, or for a session that has ended."""
    for stack in (channels_auth.AuthMiddlewareStack, auth.AuthMiddlewareStack):
        scope = await arrive(key=key, stack=stack)
        assert scope["user"] == AnonymousUser()
        assert scope["session"].is_empty()
    session = await log_in(await user_named("ana"))
    await in_database(session_with(session.session_key).flush)()
    assert (await arrive(session))["user"] == AnonymousUser()


async def test_what_a_consumer_stores_in_a_session_is_kept():
    """The session in the scope can be written to, and saved."""
    session = await log_in(await user_named("ana"))
    scope = await arrive(session)
    scope["session"]["colour"] = "blue"
    await scope["session"].asave()
    assert (await arrive(session))["session"]["colour"] == "blue"


async def test_a_crowd_is_looked_up_together(calls):
    """Handshakes that wait at the same time are a few questions, and each gets its own user."""
    users = [await user_named(f"user{number}") for number in range(30)]
    sessions = [await log_in(user) for user in users]

    async def found(session):
        scope = {"session": session_with(session.session_key)}
        user = await auth._arrived(scope)
        return user

    assert await asyncio.gather(*map(found, sessions)) == users
    assert sum(calls) == 30
    assert len(calls) <= 4


class Directory(ModelBackend):
    """Asks somewhere else about users, which fails for one of them."""

    def get_user(self, user_id):
        user = super().get_user(user_id)
        if user.username == "ana":
            raise ConnectionError("no directory")
        return user


async def test_a_fault_is_its_own_handshakes(settings):
    """Whom a backend can't tell of isn't let in; who comes at the same time is."""
    ana, bo = await user_named("ana"), await user_named("bo")
    sessions = [await log_in(user) for user in (ana, bo)]
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Directory"]
    for session in sessions:
        session["_auth_user_backend"] = f"{__name__}.Directory"
        await in_database(session.save)()
    with pytest.raises(ConnectionError):
        await arrive(sessions[0])
    found = await asyncio.gather(arrive(sessions[0]), arrive(sessions[1]), return_exceptions=True)
    assert isinstance(found[0], ConnectionError)
    assert found[1]["user"] == bo
