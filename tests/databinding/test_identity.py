"""Who a connection or a request is: sessions, tokens in headers and in frames, and their end."""

import json

import pytest
from channels.db import database_sync_to_async as in_database
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import AsyncClient, override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.authentication import BaseAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed

from databinding import identity
from databinding.introduction import Introduction
from tests.databinding.clients import Client, eventually
from tests.databinding.events import Response
from tests.shapes.bindings import ClosedBinding
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.models import Named
from tests.talk.bindings import Demultiplexer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nobody_looks")]


@pytest.fixture
def ana(transactional_db):
    return User.objects.create(username="ana")


@pytest.fixture
def token(ana):
    return Token.objects.create(user=ana)


@pytest.fixture
def for_ana(monkeypatch):
    """Only she may do anything with the closed stream."""
    monkeypatch.setattr(
        ClosedBinding,
        "has_permission",
        lambda self, user, action, pk: user is not None and user.get_username() == "ana",
    )


def header(token, scheme="Token"):
    return [(b"authorization", f"{scheme} {token}".encode())]


async def asked(client, action, **payload):
    """The reply to a request of the connection itself."""
    await client.send(None, action, request_id=action, **payload)
    frame = await client.receive()
    assert (frame["stream"], frame["payload"]["request_id"]) == (None, action)
    return frame["payload"]


# In a header


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer"])
async def test_a_token_in_the_header_says_who_it_is(ana, token, for_ana, scheme):
    """The handshake's token makes the connection its user's, whatever its scheme is called."""
    async with Client(Shapes, headers=header(token, scheme)) as client:
        assert (await client.ask("closed", "list"))["response_status"] == 200
        reply = await asked(client, "whoami")
        assert reply["data"] == {"authenticated": True, "user": "ana"}
    async with Client(Shapes) as client:
        assert (await client.ask("closed", "list"))["response_status"] == 401
        reply = await asked(client, "whoami")
        assert reply["data"] == {"authenticated": False, "user": None}


@pytest.mark.parametrize("wrong", ["Token nonsense", "Bearer", "Token a b", b"Token \xff"])
async def test_a_wrong_token_in_the_header_ends_the_connection(wrong):
    """A handshake whose token isn't good is answered with an error frame, 401, and 4401."""
    value = wrong if isinstance(wrong, bytes) else wrong.encode()
    async with Client(Demultiplexer, headers=[(b"authorization", value)]) as client:
        frame = await client.receive()
        assert (frame["stream"], frame["payload"]["response_status"]) == (None, 401)
        assert await client.receive_output() == {"type": "websocket.close", "code": 4401}


async def test_headers_of_other_schemes_are_not_ours():
    """A proxy's own password in the header harms nobody."""
    async with Client(Demultiplexer, headers=header("YTpi", "Basic")) as client:
        assert (await client.ask("intval", "list"))["response_status"] == 200


async def test_a_token_goes_before_the_session(ana, token):
    """Whoever brings both is who the token says."""
    other = await User.objects.acreate(username="other")
    async with Client(Demultiplexer, user=other, headers=header(token)) as client:
        assert (await asked(client, "whoami"))["data"]["user"] == "ana"


@pytest.mark.parametrize(
    "end",
    [
        lambda user: Token.objects.all().delete(),
        lambda user: User.objects.update(is_active=False),
        lambda user: user.delete(),
    ],
    ids=["revoked", "deactivated", "deleted"],
)
async def test_a_token_is_asked_again(ana, token, for_ana, end):
    """A revoked token, or one of somebody who is barred, stands for nobody from then on."""
    async with Client(Shapes, headers=header(token)) as client:
        assert (await client.ask("closed", "list"))["response_status"] == 200
        await in_database(end)(ana)
        assert (await client.ask("closed", "list"))["response_status"] == 401
        assert (await asked(client, "whoami"))["data"]["authenticated"] is False


@pytest.mark.parametrize("way", ["header", "frame"])
async def test_a_revoked_token_ends_what_it_opened(ana, token, for_ana, way):
    """All its sockets are closed with 4401 within RIGHTS_INTERVAL, whichever way it came."""
    with override_settings(DATABINDING={"RIGHTS_INTERVAL": 0.05}):
        headers = header(token) if way == "header" else ()
        async with (
            Client(Shapes, headers=headers) as one,
            Client(Shapes, headers=headers) as two,
            Client(Shapes) as stranger,
        ):
            if way == "frame":
                for client in (one, two):
                    await asked(client, "authenticate", token=token.key)
            await one.subscribe("closed")
            await in_database(token.delete)()
            for client in (one, two):
                while (message := await client.receive_output())["type"] != "websocket.close":
                    pass
                assert message["code"] == 4401
            assert (await stranger.ask("named", "list"))["response_status"] == 200


async def test_a_revoked_token_ends_its_event_streams(ana, token):
    """An event stream is over, too."""
    with override_settings(DATABINDING={"RIGHTS_INTERVAL": 0.05}):
        headers = {"Authorization": f"Token {token}"}
        async with Response(Shapes, "named", headers=headers) as stream:
            assert stream.status == 200
            await stream.until({})
            await in_database(token.delete)()
            while not stream.ended:
                await stream.receive()


async def test_without_the_app_of_tokens_none_is_good(monkeypatch):
    """A project without `rest_framework.authtoken` says that it knows no tokens."""
    installed = apps.is_installed
    monkeypatch.setattr(
        apps, "is_installed", lambda name: "authtoken" not in name and installed(name)
    )
    async with Client(Demultiplexer) as client:
        reply = await asked(client, "authenticate", token="x")
        assert (reply["response_status"], reply["errors"]) == (401, ["No tokens are known here."])


# In a frame


async def test_a_token_in_the_first_frame_says_who_it_is(ana, token, for_ana):
    """What the connection was before is forgotten: its groups and streams are its user's."""

    class Grouped(Shapes):
        async def connection_groups(self, **kwargs):
            return ["named"] if self.scope["user"].is_authenticated else []

    await Named.objects.acreate(code="x", value=5)
    async with Client(Grouped, user=AnonymousUser()) as client:
        reply = await asked(client, "authenticate", token=token.key)
        assert reply["response_status"] == 200
        assert reply["data"] == {"authenticated": True, "user": "ana"}
        await client.subscribe("closed")
        assert client.rows["closed"] == {"x": {"value": 5}}
        await in_database(token.delete)()
        assert (await client.ask("closed", "list"))["response_status"] == 401


async def test_requests_behind_the_token_wait_for_it(ana, token, for_ana):
    """A client needn't wait for the answer before it goes on."""
    async with Client(Shapes) as client:
        await client.send(None, "authenticate", token=token.key, scheme="Token")
        assert (await client.ask("closed", "list"))["response_status"] == 200


async def test_classic_frames_begin_anew_with_the_token(ana, token, for_ana):
    """A classic client gets what it may see once it has said who it is."""
    await Named.objects.acreate(code="x", value=5)
    async with Client(Shapes, modern=False) as client:
        assert (await asked(client, "authenticate", token=token.key))["response_status"] == 200
        await Named.objects.aupdate(value=6)
        streams = {(await client.receive())["stream"] for _ in range(2)}
        assert streams == {"named", "closed"}


async def test_authenticating_comes_first(ana, token):
    """Once a stream was asked something, or the user is known, it is too late."""
    async with Client(Demultiplexer) as client:
        await client.ask("intval", "list")
        reply = await asked(client, "authenticate", token=token.key)
        assert reply["response_status"] == 409
    async with Client(Demultiplexer) as client:
        assert (await asked(client, "authenticate", token=token.key))["response_status"] == 200
        assert (await asked(client, "authenticate", token=token.key))["response_status"] == 409


async def test_wrong_tokens_are_few():
    """A wrong token is answered 401, and after the last of a few the socket closes with 4401."""
    async with Client(Demultiplexer) as client:
        for _ in range(Introduction.TRIES):
            reply = await asked(client, "authenticate", token="wrong")
            assert (reply["response_status"], reply["errors"]) == (401, ["Invalid token."])
        assert await client.receive_output() == {"type": "websocket.close", "code": 4401}


async def test_connections_of_a_user_are_counted_whenever_he_says_who_he_is(ana, token):
    """A user has no more connections for saying his name only in the first frame."""
    with override_settings(DATABINDING={"MAX_USER_CONNECTIONS": 1}):
        async with Client(Demultiplexer) as one, Client(Demultiplexer) as two:
            assert (await asked(one, "authenticate", token=token.key))["response_status"] == 200
            await two.send(None, "authenticate", token=token.key)
            assert await two.receive_output() == {"type": "websocket.close", "code": 4429}
        async with Client(Demultiplexer) as three:
            assert (await asked(three, "authenticate", token=token.key))["response_status"] == 200


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"action": "authenticate"}, 400),
        ({"action": "authenticate", "token": ""}, 400),
        ({"action": "authenticate", "token": 5}, 400),
        ({"action": "authenticate", "token": "a b"}, 400),
        ({"action": "authenticate", "token": "x\r\ncookie: y"}, 400),
        ({"action": "authenticate", "token": "x", "scheme": "To ken"}, 400),
        ({"action": "authenticate", "token": "x", "user": "ana"}, 400),
        ({"action": "authenticate", "token": "x", "scheme": "Digest"}, 401),
        ({"action": "whoami", "pk": 1}, 400),
        ({"action": "list"}, 405),
        ("whoami", 400),
    ],
)
async def test_what_makes_no_sense_without_a_stream(payload, status):
    """Malformed requests of the connection are errors tied to no stream; it goes on."""
    async with Client(Demultiplexer) as client:
        await client.send_text(json.dumps({"stream": None, "payload": payload}))
        frame = await client.receive()
        assert (frame["stream"], frame["payload"]["response_status"]) == (None, status)
        assert (await client.ask("intval", "list"))["response_status"] == 200


# Other ways in


class ByKey(BaseAuthentication):
    """Somebody else's authentication class, with a header of its own."""

    def authenticate(self, request):
        key = request.headers.get("X-Key")
        if key is None:
            return None
        if key != "good":
            raise AuthenticationFailed("No such key.")
        return User.objects.get(username="ana"), key


async def test_authentication_is_the_projects_choice(ana, for_ana):
    """Any class of Django REST framework's kind may say who a program is."""
    with override_settings(DATABINDING={"AUTHENTICATION": [f"{__name__}.ByKey"]}):
        async with Client(Shapes, headers=[(b"x-key", b"good")]) as client:
            assert (await client.ask("closed", "list"))["response_status"] == 200
        async with Client(Shapes, headers=[(b"x-key", b"bad")]) as client:
            frame = await client.receive()
            assert frame["payload"]["errors"] == ["No such key."]


async def test_event_streams_know_tokens(ana, token, for_ana):
    """An event stream asks the same classes, and answers 401 for what isn't good."""
    path = "/stream/intval/events"
    client = AsyncClient()
    good = await client.get(path, headers={"Authorization": f"Token {token}"})
    assert good.status_code == 200
    await eventually(lambda: good.streaming)
    good.close()
    assert (await client.get(path, headers={"Authorization": "Token x"})).status_code == 401


# In batches


def test_equal_credentials_are_asked_once(ana, token):
    """A hundred sockets of one session or token cost as many queries as one."""
    session = SessionStore()
    session.create()
    scopes = [
        *(identity.identified({"type": "websocket", "path": "/", "headers": header(token)})
          for _ in range(50)),
        *({"headers": [], "session": SessionStore(session.session_key)} for _ in range(50)),
        {"headers": [], "user": ana},
        {"headers": []},
    ]  # fmt: skip
    with CaptureQueriesContext(
        connection,
    ) as queries:
        users = identity.current_users(scopes)
    assert len(queries) == 3
    names = [user.get_username() for user in users]
    assert names == ["ana"] * 50 + [""] * 50 + ["ana", ""]
