"""The Python client with real servers: rows, writes, restarts."""

import asyncio
import ssl
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from django.test import Client as Browser
from rest_framework.authtoken.models import Token

from chat.models import Message, Room
from databinding.client import ClosedError, RequestError, connect
from tests.client.peer import PATIENCE, eventually, quick
from tests.servers import command, shell
from tests.tls import proxy
from values.models import IntegerValue

both = pytest.mark.parametrize("kind", ["daphne", "uvicorn"])


def stream_of(server):
    return f"{server.websocket_url}/stream/"


@in_database
def stored():
    return {
        pk: {"name": name, "value": value}
        for pk, name, value in IntegerValue.objects.values_list("pk", "name", "value")
    }


@in_database
def session_cookie():
    """A header of somebody who may write."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("ana"))
    return {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}


async def shows_the_database(stream):
    """Wait until the rows are what the database holds; nobody may be writing."""
    rows = await stored()
    await eventually(lambda: stream.rows == rows)


@both
async def test_rows_follow_the_database_and_are_written_back(kind, start_server, database):
    """What others write is shown, what we write is in the rows when the request returns."""
    pump = await IntegerValue.objects.acreate(name="pump", value=1)
    server = await asyncio.to_thread(start_server, kind)
    async with connect(stream_of(server), headers=await session_cookie()) as live:
        ints = live.stream("intval")
        await ints.ready()
        assert ints.rows == {pump.pk: {"name": "pump", "value": 1}}

        await asyncio.to_thread(
            shell, database, "from values.models import *; IntegerValue.objects.update(value=2)"
        )
        await eventually(lambda: ints.rows[pump.pk]["value"] == 2)

        reply = await ints.update(pump.pk, {"value": 42})
        assert reply == (200, pump.pk, {"name": "pump", "value": 42})
        assert ints.rows[pump.pk]["value"] == 42
        new = await ints.create({"name": "fan", "value": 3})
        assert ints.rows[new.pk] == {"name": "fan", "value": 3}
        assert await ints.list(limit=1) == [(pump.pk, {"name": "pump", "value": 42})]
        assert (await ints.retrieve(new.pk)).data == {"name": "fan", "value": 3}
        assert (await ints.delete(pump.pk)).status == 204
        assert pump.pk not in ints.rows
        assert ints.rows == await stored()

        with pytest.raises(RequestError) as refused:
            await ints.update(new.pk, {"value": "many"})
        assert refused.value.status == 400
        assert list(refused.value.fields) == ["value"]
        with pytest.raises(RequestError) as refused:
            await ints.request("explode")
        assert refused.value.status == 405


@both
async def test_a_killed_server_comes_back_under_the_client(kind, start_server, database):
    """The stream goes on where it was, and its consumer is told what it missed, no more."""
    await IntegerValue.objects.abulk_create(
        IntegerValue(name=name, value=1) for name in ("staying", "changing", "going")
    )
    server = await asyncio.to_thread(start_server, kind)
    async with connect(stream_of(server), options=quick()) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        assert len((await anext(changes)).created) == 3
        server.kill()
        await eventually(lambda: live.state == "reconnecting")
        await IntegerValue.objects.filter(name="changing").aupdate(value=2)
        await IntegerValue.objects.filter(name="going").adelete()
        await IntegerValue.objects.acreate(name="coming", value=3)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(PATIENCE):
            while not (change := await anext(changes)):
                pass
        told = [(event.action, (event.data or event.before)["name"]) for event in change]
        assert told == [("delete", "going"), ("create", "coming"), ("update", "changing")]
        assert not change.reset
        await shows_the_database(ints)


async def test_a_server_that_stops_in_order_is_met_again(start_server, caplog):
    """On SIGTERM uvicorn closes with 1012; the client comes back by itself."""
    await IntegerValue.objects.acreate(name="pump", value=1)
    server = await asyncio.to_thread(start_server)
    async with connect(stream_of(server), options=quick()) as live:
        ints = live.stream("intval")
        await ints.ready()
        await asyncio.to_thread(server.stop)
        await eventually(lambda: "closed with 1012" in caplog.text)
        await IntegerValue.objects.aupdate(value=2)
        await asyncio.to_thread(server.start)
        await ints.ready()
        await shows_the_database(ints)


async def test_a_program_goes_on_where_it_was(start_server, database):
    """With the cursor of its last change it is told what happened since, without a snapshot."""
    await IntegerValue.objects.abulk_create(
        IntegerValue(name=name, value=1) for name in ("staying", "going")
    )
    server = await asyncio.to_thread(start_server)
    async with connect(stream_of(server)) as live:
        change = await anext(aiter(live.stream("intval")))
    await IntegerValue.objects.filter(name="going").adelete()
    new = await IntegerValue.objects.acreate(name="coming", value=3)
    async with connect(stream_of(server)) as live:
        ints = live.stream("intval", since=change.cursor)
        since = await anext(aiter(ints))
        assert {event.action for event in since} == {"delete", "update"}
        assert [event.pk for event in since.updated] == [new.pk]
        assert not since.reset
        assert not ints.loaded

        # What the journal can't tell any more comes whole.
        await IntegerValue.objects.aupdate(value=4)
        with command(database, "databinding_prune", "--retention", "0") as prune:
            await asyncio.to_thread(prune.communicate, timeout=PATIENCE)
    async with connect(stream_of(server)) as live:
        ints = live.stream("intval", since=change.cursor)
        since = await anext(aiter(ints))
        assert since.reset
        assert ints.loaded
        assert ints.rows == await stored()


async def test_many_rows_and_a_consumer_that_sleeps(start_server, database):
    """A snapshot in many frames arrives whole; what is written meanwhile comes as latest states."""
    await IntegerValue.objects.abulk_create(
        IntegerValue(name=f"row {number}", value=0) for number in range(2000)
    )
    server = await asyncio.to_thread(start_server)
    async with connect(stream_of(server), options=quick(window=2, patience=0.05)) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        assert len((await anext(changes)).created) == 2000
        for value in range(1, 21):
            await IntegerValue.objects.aupdate(value=value)
        await eventually(lambda: {row["value"] for row in ints.rows.values()} == {20})
        change = await anext(changes)
        assert len(change.updated) == 2000
        assert {(event.before["value"], event.data["value"]) for event in change} == {(0, 20)}


async def test_a_window_is_live(start_server):
    """Of a stream with an order the latest rows are held; one that enters pushes one out."""
    room = await Room.objects.acreate(label="quiet", name="quiet")
    for text in "abc":
        await Message.objects.acreate(room=room, handle="ana", message=text)
    server = await asyncio.to_thread(start_server)
    async with connect(f"{server.websocket_url}/chat/quiet/", options=quick()) as live:
        chat = live.stream("chat", {"limit": 2})
        changes = aiter(chat)
        assert {event.data["message"] for event in (await anext(changes)).created} == {"b", "c"}
        await Message.objects.acreate(room=room, handle="bob", message="d")
        change = await anext(changes)
        assert [event.data["message"] for event in change.created] == ["d"]
        assert [event.before["message"] for event in change.deleted] == ["b"]
        server.kill()
        await Message.objects.acreate(room=room, handle="bob", message="e")
        await asyncio.to_thread(server.start)
        change = await anext(changes)
        assert not change.reset
        assert {row["message"] for row in chat.rows.values()} == {"d", "e"}
        with pytest.raises(ValueError, match="other parameters"):
            live.stream("chat", {"limit": 3})
        sent = await live.request(
            "chat", "create", {"data": {"handle": "eva", "message": "f", "key": str(uuid4())}}
        )
        assert sent.status == 201
        assert {row["message"] for row in chat.rows.values()} == {"e", "f"}


async def test_over_tls(start_server, tmp_path):
    """wss works with an authority of one's own, and only with one that is trusted."""
    await IntegerValue.objects.acreate(pk=1, name="pump", value=1)
    server = await asyncio.to_thread(start_server)
    async with proxy(server.port, tmp_path) as port:
        url = f"https://127.0.0.1:{port}/stream/"
        trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
        trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT  # It lacks what authorities have.
        async with connect(url, ssl=trusting) as live:
            ints = live.stream("intval")
            await ints.ready()
            assert ints.rows == await stored()
        async with connect(url, options=quick()) as live:
            await eventually(lambda: live.status.reason is not None)
            assert "CERTIFICATE_VERIFY_FAILED" in live.status.reason


@both
async def test_who_may_not_is_told_so(kind, start_server):
    """A place without websockets refuses the handshake, a write without rights its request."""
    await IntegerValue.objects.acreate(pk=1, name="pump", value=1)
    server = await asyncio.to_thread(start_server, kind)
    async with connect(f"{server.websocket_url}/nowhere/") as live:
        with pytest.raises(ClosedError) as closed:
            await live.stream("intval").ready()
        assert closed.value.code == 403
    async with connect(stream_of(server)) as live:
        with pytest.raises(RequestError) as refused:
            await live.request("intval", "update", {"pk": 1, "data": {"value": 2}})
        assert refused.value.status == 401
        with pytest.raises(RequestError) as refused:
            await live.stream("nope").ready()
        assert refused.value.status == 404
    assert (await stored())[1]["value"] == 1


@both
async def test_a_token_says_who_the_program_is(kind, start_server):
    """With a token a program may do what its user may; a wrong one is refused for good."""
    ana = await User.objects.acreate(username="ana", is_superuser=True, is_staff=True)
    token = await Token.objects.acreate(user=ana)
    # What it is told of its token is a request's answer, not the end of its connection.
    settings = {"settings": "tests.faults.settings", "DATABINDING": '{"RIGHTS_INTERVAL": 3600}'}
    server = await asyncio.to_thread(start_server, kind, **settings)
    async with connect(stream_of(server), token=token.key) as live:
        assert await live.whoami() == {"authenticated": True, "user": "ana"}
        reply = await live.stream("intval").create({"name": "pump", "value": 1})
        assert reply.status == 201
        await token.adelete()
        with pytest.raises(RequestError, match="credentials"):
            await live.stream("intval").update(reply.pk, {"value": 2})
    async with connect(stream_of(server), token="wrong") as live:
        with pytest.raises(ClosedError, match="token isn't good") as refused:
            await live.stream("intval").ready()
        assert refused.value.code == 4401
    assert "ERROR" not in server.log()


@both
async def test_a_create_survives_its_server(kind, start_server):
    """Sent again to a server that was started anew, a create is stored once."""
    ana = await User.objects.acreate(username="ana", is_superuser=True, is_staff=True)
    token = await Token.objects.acreate(user=ana)
    server = await asyncio.to_thread(start_server, kind)
    key, row = str(uuid4()), {"name": "pump", "value": 1}
    async with connect(stream_of(server), token=token.key, options=quick()) as live:
        first = await live.stream("intval").create(row, idempotency_key=key)
        server.kill()
        await asyncio.to_thread(server.start)
        again = await live.stream("intval").create(row, idempotency_key=key)
    assert (again.status, again.pk, again.data) == (201, first.pk, row)
    assert list(await stored()) == [first.pk]
