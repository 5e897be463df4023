"""Frames that nobody should send, on the frame path: each is answered, and harms nothing."""

import json
import os
from random import Random

import pytest
from channels.db import database_sync_to_async as in_database
from django.test import override_settings
from djangochannelsrestframework.decorators import action
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from databinding.conf import DEFAULTS
from databinding.protocol import FrameError, parse, request
from tests.databinding.clients import Client
from tests.hostile.grammar import Grammar
from tests.shapes import bindings
from tests.shapes.models import Account, Message, Named, Paper, Room, Tag

#: What an answer to a frame may be; 500 is a fault of the server.
STATUSES = {200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 429}
FRAMES = int(os.environ.get("HOSTILE_FRAMES", "1000"))
SEED = int(os.environ.get("HOSTILE_SEED", "7"))


class Acting(bindings.NamedBinding.consumer):
    """Has actions beside the five, one with parameters, one with none."""

    @action()
    def add(self, amount, **kwargs):
        serializers.IntegerField(min_value=0, max_value=9).run_validation(amount)
        return {"amount": amount}, 200

    @action(name="say-hello")
    async def greet(self, **kwargs):
        return "hello", 200


class Demultiplexer(bindings.Demultiplexer):
    """Every shape, for pages of some rooms; nobody is in the group that sees all messages."""

    consumers = bindings.Demultiplexer.consumers | {"acting": Acting}

    def connection_groups(self, rooms="1"):
        return ["papers", "children", "named", "accounts", *(f"room-{room}" for room in rooms)]


@given(st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_any_frame_is_a_request_or_refused(chance):
    """Whatever the text, it is read as a request, or refused with a sentence that can be sent."""
    frame = Grammar(Demultiplexer, chance).frame()
    text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
    try:
        stream, payload = parse(text)
        found = [stream, *request(stream, payload)]
    except FrameError as error:
        found = [error.status, error.detail]
    assert found[0] == 400 or found[0] == json.loads(text)["stream"]
    json.dumps(found, ensure_ascii=False).encode()


@in_database
def fill():
    """Rows of every shape; those of room 2 are no business of whoever is in room 1."""
    one, two = Room.objects.create(name="one"), Room.objects.create(name="two")
    tag = Tag.objects.create(name="tag")
    for room in (one, one, two, two):
        Message.objects.create(room=room, text=f"of {room.name}").tags.add(tag)
    Message.objects.create(room=one, text="for other eyes: hidden", hidden=True)
    Message.objects.filter(room=two).update(text="for other eyes: of room two")
    Named.objects.create(code="x", value=5)
    Account.objects.create(balance=1)
    paper = Paper.objects.create(amount=1, extra={"a": [1]})
    return one.pk, [
        1,
        2,
        3,
        4,
        5,
        "x",
        str(paper.pk),
        *Message.objects.values_list("pk", flat=True),
    ]


@in_database
def of_others():
    """What the attacker may neither see nor change."""
    return list(Message.objects.filter(text__startswith="for other eyes").values_list("pk", "text"))


class Answers:
    """Reads what one client is sent until a request of its own is answered."""

    def __init__(self, client):
        self.client = client
        self.statuses = set()
        self.marks = 0

    async def to(self, frame):
        message = {"bytes": frame} if isinstance(frame, bytes) else {"text": frame}
        await self.client.send_message({"type": "websocket.receive", **message})
        self.marks += 1
        mark = f"mark {self.marks}"
        await self.client.send("closed", "unsubscribe", request_id=mark)
        while True:
            text = await self.client.receive_text()
            assert "for other eyes" not in text, frame
            if text == "pong!":
                continue
            payload = json.loads(text)["payload"]
            if payload.get("request_id") == mark:
                return
            if "response_status" in payload:
                assert payload["response_status"] in STATUSES, (frame, payload)
                self.statuses.add(payload["response_status"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("modern", [True, False])
async def test_frames_harm_nothing(modern, caplog):
    """Each is answered as a client's fault, shows nothing of others, and is no line in the log."""
    room, keys = await fill()
    before = await of_others()
    pace = {"FRAME_RATE": 1e9, "FRAME_BURST": 1e9}
    with override_settings(DATABINDING=pace):
        async with (
            Client(Demultiplexer, url_route={"kwargs": {"rooms": [room]}}) as bystander,
            Client(Demultiplexer, url_route={"kwargs": {"rooms": [room]}}) as source,
            Client(
                Demultiplexer, url_route={"kwargs": {"rooms": [room]}}, modern=modern
            ) as attacker,
        ):
            await bystander.subscribe("account")
            for stream in ("message", "latest", "account"):
                await source.subscribe(stream)
            cursors = list(source.cursors.values())
            grammar = Grammar(Demultiplexer, Random(SEED), cursors=cursors, keys=keys)
            answers = Answers(attacker)
            for _ in range(FRAMES):
                frame = grammar.frame()
                if len(frame) <= DEFAULTS["MAX_FRAME"]:  # Those would end it.
                    await answers.to(frame)
            account = await Account.objects.acreate(balance=77)
            while bystander.rows["account"].get(account.pk) != {"balance": 77, "changes": 0}:
                await bystander.receive()
    assert await of_others() == before
    assert {200, 400, 404, 405} <= answers.statuses
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
