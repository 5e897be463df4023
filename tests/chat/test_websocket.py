"""What `ws /chat/<label>/` speaks."""

from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async as in_database
from channels.routing import URLRouter
from django.core.cache import cache
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from chat import throttles
from chat.consumers import Demultiplexer
from chat.jobs import remove_expired_presence
from chat.models import Message, Presence, Room
from dashboard.routing import websocket_urlpatterns
from databinding.auth import AuthMiddlewareStack
from tests.databinding.clients import PATIENCE, Client, Communicator

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nobody_was_too_fast():
    cache.clear()


def visit(label, **scope):
    """A connection to a room."""
    return Client(Demultiplexer, url_route={"args": (), "kwargs": {"label": label}}, **scope)


@asynccontextmanager
async def page(label, **scope):
    """A page of a room, subscribed to both streams."""
    async with visit(label, **scope) as client:
        await client.subscribe("chat", window=8)
        await client.subscribe("presence")
        yield client


async def say(client, message, handle="Ada", **more):
    return await client.ask("chat", "create", data={"handle": handle, "message": message, **more})


def texts(client):
    return [row["message"] for _, row in sorted(client.rows["chat"].items())]


async def test_what_is_sent_is_stored_and_then_seen():
    """A message is created by one page, stored with time and room, and an event on another."""
    async with page("lobby") as ada, page("lobby") as bob, page("attic") as elsewhere:
        reply = await say(ada, "Hello!")
        assert reply["response_status"] == 201
        message = await Message.objects.select_related("room").aget()
        assert (message.room.label, message.handle, message.message) == ("lobby", "Ada", "Hello!")
        await bob.until("chat", {message.pk: reply["data"]})
        assert reply["data"].keys() == {"handle", "message", "timestamp", "key"}
        await say(elsewhere, "Is anybody here?")
        assert texts(elsewhere) == ["Is anybody here?"]
    assert texts(bob) == texts(ada) == ["Hello!"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"handle": "Ada", "message": ""}, "message"),
        ({"handle": "Ada", "message": " \n "}, "message"),
        ({"handle": "Ada", "message": "x" * 2001}, "message"),
        ({"handle": "", "message": "x"}, "handle"),
        ({"handle": "x" * 41, "message": "x"}, "handle"),
        ({"handle": "Ada", "message": "x", "room": 1}, "room"),
        ({"handle": "Ada", "message": "x", "key": "no key"}, "key"),
    ],
)
async def test_what_is_no_message_is_refused(data, field):
    """Nothing, too much, no name, or a room of one's choice: answered by field, and not stored."""
    async with page("lobby") as client:
        reply = await client.ask("chat", "create", data=data)
        assert reply["response_status"] == 400
        assert reply["errors"][0].keys() == {field}
    assert not await Message.objects.aexists()


async def test_a_message_sent_twice_is_stored_once():
    """Whoever doesn't know whether a message came sends it once more, under the same key."""
    key = str(uuid4())
    async with page("lobby") as client:
        assert (await say(client, "Hello!", key=key))["response_status"] == 201
        again = await say(client, "Hello!", key=key)
        assert (again["response_status"], again["errors"][0].keys()) == (400, {"key"})
        assert texts(client) == ["Hello!"]


@pytest.mark.parametrize("action", ["update", "delete"])
async def test_what_is_written_stays(action):
    """Nobody changes or deletes messages, or other people's presence, by the websocket."""
    async with page("lobby") as client:
        pk = (await say(client, "Hello!"))["pk"]
        room = await Room.objects.aget()
        presence = await in_database(Presence.renew)(room, "Ada", uuid4())
        for stream, key in (("chat", pk), ("presence", presence.pk)):
            reply = await client.ask(stream, action, pk=key, data={})
            assert reply["response_status"] == 401, reply
        reply = await client.ask("presence", "create", data={"handle": "Bob"})
        assert reply["response_status"] == 401
    assert await Message.objects.acount() == await Presence.objects.acount() == 1


async def test_older_messages_by_a_longer_window():
    """A page holds the last fifty, and more if it asks; a new one pushes out the oldest."""
    room = await in_database(Room.objects.visit)("lobby")
    for number in range(70):
        await Message.objects.acreate(room=room, handle="Ada", message=f"{number:02}")
    async with page("lobby") as client:
        assert texts(client) == [f"{number:02}" for number in range(20, 70)]
        await say(client, "70")
        assert texts(client) == [f"{number:02}" for number in range(21, 71)]
        await client.subscribe("chat", limit=100)
        assert texts(client) == [f"{number:02}" for number in range(71)]


async def test_the_admins_hand_is_seen_at_once():
    """A message that is edited, moved or deleted elsewhere is so on the page."""
    async with page("lobby") as lobby, page("attic") as attic:
        await say(lobby, "a")
        attic_room = await Room.objects.aget(label="attic")
        message = await Message.objects.aget()
        message.message = "b"
        await message.asave()
        while texts(lobby) != ["b"]:
            await lobby.receive()
        await Message.objects.aupdate(room=attic_room)
        await lobby.until("chat", {})
        while texts(attic) != ["b"]:
            await attic.receive()
        await attic_room.adelete()
        await attic.until("chat", {})
        reply = await say(attic, "Hello?")
        assert reply["response_status"] == 404
        assert "Reload the page" in reply["errors"][0]


async def test_too_many_messages_are_refused(monkeypatch, django_user_model):
    """Who writes too fast is answered 429, with the time to wait; a user in all connections."""
    monkeypatch.setattr(throttles.Sending, "rate", "2/min")
    user = await django_user_model.objects.acreate(username="grace")
    async with (
        page("lobby") as visitor,
        page("lobby") as other,
        page("lobby", user=user) as one,
        page("lobby", user=user) as two,
    ):
        for client in (visitor, visitor, other, one, two):
            assert (await say(client, "x"))["response_status"] == 201
        for client in (visitor, one, two):
            reply = await say(client, "x")
            assert reply["response_status"] == 429
            assert "Try again in" in reply["errors"][0]
        assert (await say(other, "x"))["response_status"] == 201
    assert await Message.objects.acount() == 6


async def test_a_room_is_opened_by_its_first_visitor():
    """The first websocket makes a room, the second one finds it."""
    async with page("lobby"), page("lobby"):
        assert [(room.name, room.label) async for room in Room.objects.all()] == [
            ("lobby", "lobby")
        ]


async def test_nobody_opens_rooms_without_end(monkeypatch, django_user_model):
    """Of new rooms one address, or user, opens so many, and is turned away from more; those that
    are there stay open to all."""
    monkeypatch.setattr(throttles.Opening, "rate", "2/hour")
    user = await django_user_model.objects.acreate(username="grace")
    for someone in ({"client": ("192.0.2.1", 1)}, {"client": ("192.0.2.1", 1), "user": user}):
        name = "visitor" if len(someone) == 1 else "user"
        async with page(f"{name}-1", **someone), page(f"{name}-2", **someone) as second:
            assert (await say(second, "x"))["response_status"] == 201
        async with visit(f"{name}-3", **someone) as third, page(f"{name}-1", **someone) as first:
            told = (await third.receive())["payload"]
            assert told["response_status"] == 429
            assert told["errors"][0].startswith(throttles.Opening.detail)
            assert 0 < told["retry_after"] <= 3600
            assert await third.receive_output() == {"type": "websocket.close", "code": 4429}
            assert (await say(first, "x"))["response_status"] == 201
    async with page("visitor-3", client=("192.0.2.2", 1)) as other:
        assert (await say(other, "x"))["response_status"] == 201
    assert await Room.objects.acount() == 5


# Presence


def names(client):
    return sorted(row["handle"] for row in client.rows["presence"].values())


async def names_become(client, expected):
    while names(client) != expected:
        await client.receive()


async def here(client, handle, key):
    return await client.ask("presence", "here", handle=handle, key=str(key))


async def test_who_is_here_comes_and_goes():
    """Saying so makes a row that others see until it is deleted or its lease is over."""
    keys = [uuid4() for _ in range(3)]
    async with page("lobby") as ada, page("lobby") as bob:
        assert (await here(ada, "Ada", keys[0]))["response_status"] == 200
        await here(ada, "Ada", keys[1])  # her second tab
        await here(bob, "Bob", keys[2])
        assert names(bob) == ["Ada", "Ada", "Bob"]
        await names_become(ada, ["Ada", "Ada", "Bob"])
        assert "key" not in next(iter(ada.rows["presence"].values()))

        await Presence.objects.filter(key=keys[1]).adelete()
        await names_become(bob, ["Ada", "Bob"])
        await here(ada, "Countess", keys[0])
        await names_become(bob, ["Bob", "Countess"])

        await Presence.objects.filter(key=keys[0]).aupdate(expires_at="2020-01-01T00:00Z")
        await in_database(remove_expired_presence)()
        await names_become(bob, ["Bob"])


async def test_a_renewal_is_no_news():
    """Others aren't told of a lease that is renewed."""
    key = uuid4()
    async with page("lobby") as ada, page("lobby") as bob:
        await here(ada, "Ada", key)
        await names_become(bob, ["Ada"])
        before = await Presence.objects.aget()
        await here(ada, "Ada", key)
        assert (await Presence.objects.aget()).expires_at > before.expires_at
        assert await bob.nothing_comes()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"key": str(uuid4())},
        {"key": str(uuid4()), "handle": " "},
        {"key": str(uuid4()), "handle": "x" * 41},
        {"key": ["x"], "handle": "Ada"},
    ],
)
async def test_who_says_nothing_sensible_is_not_here(said):
    """A presence without key or name is refused."""
    async with page("lobby") as client:
        assert (await client.ask("presence", "here", **said))["response_status"] == 400
    assert not await Presence.objects.aexists()


async def test_coming_and_going_too_often_is_refused(monkeypatch):
    """Nobody fills the table of those who are here."""
    monkeypatch.setattr(throttles.Renewing, "rate", "2/min")
    async with page("lobby") as client:
        statuses = [(await here(client, "Ada", uuid4()))["response_status"] for _ in range(3)]
    assert statuses == [200, 200, 429]


# The route


async def test_the_room_is_the_routes():
    """The project's routes lead to a room by its label, and `new` isn't one."""
    application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
    communicator = Communicator(application, "/chat/lobby/")
    assert (await communicator.connect(timeout=PATIENCE))[0]
    await communicator.send_json_to(
        {"stream": "chat", "payload": {"action": "create", "data": {"handle": "A", "message": "B"}}}
    )
    frame = await communicator.receive_json_from(timeout=PATIENCE)
    assert frame["payload"]["data"]["message"] == "B"
    assert frame["payload"]["model"] == "chat.message"
    await communicator.disconnect(timeout=PATIENCE)
    assert (await Message.objects.select_related("room").aget()).room.label == "lobby"
    communicator = Communicator(application, "/chat/new/")
    assert not (await communicator.connect(timeout=PATIENCE))[0]


@pytest.mark.alike
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_foreign_page_is_refused(start_server, kind):
    """On a real server a page of another origin can't open a room's websocket."""
    server = await in_database(start_server, thread_sensitive=False)(kind)
    async with connect(server.websocket_url + "/chat/lobby/", origin=server.url):
        pass
    with pytest.raises(InvalidStatus) as refusal:
        await connect(server.websocket_url + "/chat/attic/", origin="https://example.com")
    assert refusal.value.response.status_code == 403
    assert [room.label async for room in Room.objects.all()] == ["lobby"]
