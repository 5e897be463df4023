"""The wire: the vectors shared with the JavaScript client, and every text that might come."""

import json
from pathlib import Path

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token

from databinding import protocol
from databinding.difference import CREATE, DELETE, UPDATE, Event
from databinding.protocol import FrameError, Request
from databinding.testing.copy import Copy
from tests.databinding.clients import Client, named
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text())


def vectors(kind):
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"])


@vectors("apply")
def test_what_a_client_holds_after_frames(vector):
    """A client that applies these frames in order holds these rows and this cursor."""
    copy = Copy()
    copy.hold(dict(vector["start"]), None)
    for frame in vector["frames"]:
        copy.take(frame)
    assert copy.rows == dict(vector["rows"])
    assert copy.cursor == vector["cursor"]


#: The talk's stream twice: the second one must not notice what becomes of the first.
Demultiplexer = named(
    {"intval": IntegerValueBinding, "other": IntegerValueBinding}, ["intval-updates"]
)


@in_database
def row_one():
    IntegerValue.objects.create(pk=1, name="a", value=1)


@vectors("client")
@pytest.mark.django_db(transaction=True)
async def test_what_our_client_sends_is_accepted(vector):
    """The server answers each frame of the JavaScript client with success, acks with nothing."""
    await row_one()
    frame = vector["frame"]
    async with Client(Demultiplexer) as client:
        if frame["payload"]["action"] != "subscribe":
            await client.subscribe("intval", window=8)
        await client.send_text(json.dumps(frame))
        if frame["payload"]["action"] == "ack":
            assert await client.nothing_comes()
            return
        while "response_status" not in (answer := await client.receive())["payload"]:
            pass
        assert answer["payload"]["response_status"] in (200, 201, 204)
        assert answer["payload"]["request_id"] == frame["payload"]["request_id"]


@vectors("connection")
@pytest.mark.django_db(transaction=True)
async def test_what_our_clients_ask_about_the_connection(vector):
    """The server knows whose token the handshake or this frame brought, and says so."""
    user = await User.objects.acreate(username="ana")
    await Token.objects.acreate(user=user, key="TOKEN")
    headers = [(b"authorization", b"Token TOKEN")] if vector["call"] != "connect" else []
    async with Client(Demultiplexer, headers=headers) as client:
        await client.send_text(json.dumps(vector["frame"]))
        frame = await client.receive()
    assert (frame["stream"], frame["payload"]["data"]) == (None, vector["data"])


@vectors("invalid")
@pytest.mark.django_db(transaction=True)
async def test_an_invalid_frame_is_answered_and_the_connection_lives_on(vector, caplog):
    """A bad frame gets one error frame; its stream and others go on, nothing was written."""
    await row_one()
    text = vector["text"]
    if not isinstance(text, str):
        text = "".join(part if isinstance(part, str) else part[0] * part[1] for part in text)
    async with Client(Demultiplexer) as client:
        await client.subscribe("other")
        await client.send_text(text)
        frame = await client.receive()
        assert frame["stream"] == vector["stream"]
        assert frame["payload"]["action"] == "error"
        assert frame["payload"]["response_status"] == vector["status"]
        assert frame["payload"]["errors"]
        assert (await client.ask("intval", "retrieve", pk=1))["data"] == {"name": "a", "value": 1}
        assert len(client.frames) == 4  # subscribed, a snapshot, the error, the row
        await in_database(IntegerValue.objects.update)(value=2)
        await client.until("other", {1: {"name": "a", "value": 2}})
    assert not caplog.records


async def test_an_error_for_an_unknown_stream_settles_its_request(transactional_db):
    """Tied to no stream, the answer still carries the request it is for."""
    async with Client(Demultiplexer) as client:
        await client.send("nope", "list", request_id=2)
        frame = await client.receive()
    assert frame["stream"] is None
    payload = frame["payload"]
    assert (payload["action"], payload["request_id"]) == ("list", 2)
    assert payload["response_status"] == 404


# Frames as text

FRAGMENT = '{"name":"a","value":1}'


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Event(CREATE, 1, FRAGMENT),
            '{"stream":"intval","payload":{"action":"create","pk":1,'
            '"data":{"name":"a","value":1},"model":"values.integervalue"}}',
        ),
        (
            Event(UPDATE, "0b8f", FRAGMENT),
            '{"stream":"intval","payload":{"action":"update","pk":"0b8f",'
            '"data":{"name":"a","value":1},"model":"values.integervalue"}}',
        ),
        (
            Event(DELETE, 1, FRAGMENT),
            '{"stream":"intval","payload":{"action":"delete","pk":1,'
            '"data":{"name":"a","value":1},"model":"values.integervalue"}}',
        ),
        (
            Event(DELETE, 1, None),
            '{"stream":"intval","payload":{"action":"delete","pk":1,'
            '"data":null,"model":"values.integervalue"}}',
        ),
    ],
)
def test_classic_frames_byte_for_byte(event, expected):
    """The keys of a classic frame come in the order of Channels 1."""
    assert protocol.classic("intval", event, "values.integervalue") == expected


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.characters(codec=None),  # surrogates too
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.integers() | st.text()
frames = st.fixed_dictionaries(
    {}, optional={"stream": st.just("intval") | anything, "payload": anything}
)
payloads = st.fixed_dictionaries(
    {}, optional={"action": st.just("list") | anything, "request_id": anything, "pk": anything}
)
#: A fragment with spaces and an order of its own, as no encoder here would write it.
fragments = st.dictionaries(st.text(), anything, max_size=3).map(
    lambda data: json.dumps(data, indent=1, ensure_ascii=False)
)
cursors = st.text(min_size=1)


def outcome(function, *arguments):
    """What the function returns, or the FrameError that it raises."""
    try:
        return function(*arguments)
    except FrameError as error:
        return error


@pytest.mark.alike
@given(st.text() | frames.map(json.dumps) | frames.map(lambda f: json.dumps(f)[:-1] + "x"))
def test_any_text_is_parsed_or_refused(text):
    """Whatever text comes, it has a stream's name and a payload, or it is a FrameError."""
    found = outcome(protocol.parse, text)
    if isinstance(found, FrameError):
        assert found.status == 400
        assert json.loads(protocol.error_reply(found))["payload"]["errors"] == [found.detail]
    else:
        frame = json.loads(text)
        assert found == (frame["stream"], frame["payload"])
        assert protocol.envelope(found[0], json.dumps(found[1])).encode()


@pytest.mark.alike
@given(anything | payloads)
def test_any_payload_is_a_request_or_refused(payload):
    """Whatever the payload, it is a request, or a FrameError of its stream."""
    found = outcome(protocol.request, "intval", payload)
    if isinstance(found, FrameError):
        assert (found.status, found.stream) == (400, "intval")
    else:
        body = {k: v for k, v in payload.items() if k not in ("action", "request_id")}
        assert found == Request(payload["action"], payload.get("request_id"), body)


@pytest.mark.alike
@given(st.lists(st.tuples(keys, fragments), max_size=12), cursors, st.text())
def test_a_snapshot_says_what_its_rows_say(items, cursor, stream):
    """A frame holds every item in order, as it was rendered; with a cursor it is complete."""
    for given_cursor, complete in ((cursor, True), (protocol.NO_CURSOR, False)):
        text = protocol.snapshot(stream, items, given_cursor)
        frame = json.loads(text)
        listed = [(one["pk"], one["data"]) for one in frame["payload"]["items"]]
        assert listed == [(key, json.loads(fragment)) for key, fragment in items]
        assert frame["payload"]["complete"] is complete
        assert (frame["stream"], frame["cursor"]) == (stream, given_cursor)
        assert all(fragment in text for _, fragment in items)


@pytest.mark.alike
@given(
    st.lists(st.builds(Event, st.sampled_from([CREATE, UPDATE, DELETE]), keys, fragments)),
    cursors,
    st.none() | st.lists(keys),
)
def test_a_batch_says_what_its_events_say(events, cursor, keep):
    """A batch's events come back as they were, deletes without data, fragments unchanged."""
    text = protocol.batch("intval", events, cursor, keep)
    frame = json.loads(text)
    assert frame["cursor"] == cursor
    assert frame["payload"].get("keep") == keep
    for event, read in zip(events, frame["payload"]["events"], strict=True):
        assert (read["action"], read["pk"]) == (event.action, event.key)
        assert ("data" in read) == (event.action != DELETE)
        assert event.action == DELETE or event.fragment in text


@pytest.mark.alike
@given(st.text(), st.text(), anything, st.integers(200, 599), st.lists(anything), anything, keys)
def test_replies_can_be_read(stream, action, request_id, status, errors, data, pk):
    """A reply carries what it was given, whatever that is."""
    text = protocol.reply(
        stream, action, request_id, status=status, errors=errors, data=data, pk=pk
    )
    assert json.loads(text) == {
        "stream": stream,
        "payload": {
            "action": action,
            "request_id": request_id,
            "response_status": status,
            "errors": errors,
            "data": data,
            "pk": pk,
        },
    }
