"""What a user sees of a binding whose `get_queryset` or fields look at him, live and otherwise."""

import json

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import RequestFactory, override_settings

from databinding import reading
from databinding.form import Form, form_of
from databinding.relay import relay_for
from tests.databinding.clients import Client, eventually
from tests.databinding.users import user_named
from tests.shapes.bindings import (
    ClosedBinding,
    Demultiplexer,
    MessageBinding,
    NoteBinding,
    TeamBinding,
)
from tests.shapes.models import Message, Note, Room, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def people():
    """Ana and Bo of team red, Cy of team blue, and Di, who is staff."""
    return {
        "ana": await user_named("ana", last_name="red"),
        "bo": await user_named("bo", last_name="red"),
        "cy": await user_named("cy", last_name="blue"),
        "di": await user_named("di", is_staff=True),
    }


@in_database
def write(owner, text, **fields):
    return Note.objects.create(owner=owner, text=text, **fields).pk


def texts(client, stream="note"):
    return sorted(row["text"] for row in client.rows[stream].values())


async def until(client, wanted, stream="note"):
    while texts(client, stream) != sorted(wanted):
        await client.receive()


# Which binding is somebody's own


def test_whether_a_binding_is_personal_is_found_out():
    """A binding is personal if it looks at its user, not because it could."""
    assert NoteBinding.is_personal()
    assert TeamBinding.is_personal()
    assert not MessageBinding.is_personal()

    class Indifferent(ClosedBinding):
        @classmethod
        def get_queryset(cls, user):
            return super().get_queryset(user).exclude(code="x")

    assert not Indifferent.is_personal()
    assert form_of(Indifferent, AnonymousUser()) == Form(Indifferent)


@pytest.mark.parametrize("field", ["get_queryset", "readable_fields"])
def test_a_method_of_the_instance_will_do(field):
    """`get_queryset` and `readable_fields` may be methods of the class or of the instance."""

    def own(self, user):
        return Note.objects.filter(owner=user.pk) if field == "get_queryset" else [user.username]

    binding = type("Own", (ClosedBinding,), {"model": Note, "fields": ["text"], field: own})
    assert binding.is_personal()
    form = form_of(binding, User(username="text", pk=7))
    assert form.key == 7
    assert json.loads(form.fragment(Note(text="a"))) == {"text": "a"}
    assert str(form) == "Own for 7"


def test_keys_that_only_look_the_same():
    """True and 1 are two keys: `user.is_staff or user.team_id` makes nobody staff of team 1."""
    assert Form(NoteBinding, True, personal=True) != Form(NoteBinding, 1, personal=True)
    assert Form(NoteBinding, 1, personal=True) == Form(NoteBinding, 1, personal=True)


def test_nothing_is_read_of_a_form_that_is_nobodys():
    """Of a personal form that nobody has the key to there is neither a row nor a field."""
    form = Form(NoteBinding, 7, personal=True)
    assert not form.queryset().exists()
    assert form.fragment(Note(text="a", owner_id=7)) == "{}"


# Rows


async def test_everybody_gets_his_own_rows(people):
    """A snapshot and everything live is what the user's queryset has, and nothing else."""
    await write(people["ana"], "a1")
    await write(people["bo"], "b1", public=True)
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["bo"]) as bo,
        Client(Demultiplexer) as nobody,
        Client(Demultiplexer, user=people["di"]) as staff,
    ):
        everyone = (ana, bo, nobody, staff)
        for client in everyone:
            await client.subscribe("note")
        assert [texts(client) for client in everyone] == [
            ["a1", "b1"],
            ["b1"],
            ["b1"],
            ["a1", "b1"],
        ]
        await write(people["ana"], "a2")
        await write(people["bo"], "b2")
        await write(people["cy"], "c", public=True)
        await until(ana, ["a1", "a2", "b1", "c"])
        await until(bo, ["b1", "b2", "c"])
        await until(nobody, ["b1", "c"])
        await until(staff, ["a1", "a2", "b1", "b2", "c"])
        assert "'a2'" not in str(bo.frames) + str(nobody.frames)


async def test_a_row_that_changes_hands(people):
    """A row that a user may not see any more is a delete for him, for its new owner a create."""
    pk = await write(people["ana"], "mine")
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["bo"]) as bo,
    ):
        await ana.subscribe("note")
        await bo.subscribe("note")
        await in_database(Note.objects.filter(pk=pk).update)(owner=people["bo"], text="yours")
        await until(ana, [])
        await until(bo, ["yours"])
        (lost,) = ana.frames[-1]["payload"]["events"]
        (got,) = bo.frames[-1]["payload"]["events"]
        assert lost == {"action": "delete", "pk": pk}
        assert (got["action"], got["pk"]) == ("create", pk)
        assert "'yours'" not in str(ana.frames)


async def test_what_a_user_cannot_see_he_cannot_touch(people):
    """Rows outside a user's queryset are in no list, and can be neither retrieved nor changed."""
    mine = await write(people["ana"], "mine")
    yours = await write(people["bo"], "yours")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        reply = await ana.ask("note", "list")
        assert [item["pk"] for item in reply["data"]] == [mine]
        for action, more in (("retrieve", {}), ("update", {"data": {"text": "x"}}), ("delete", {})):
            reply = await ana.ask("note", action, pk=yours, **more)
            assert reply["response_status"] == 404
            reply = await ana.ask("note", action, pk=mine, **more)
            assert reply["response_status"] < 300
    assert (await in_database(Note.objects.get)(pk=yours)).text == "yours"


async def test_a_reply_about_a_row_that_is_given_away(people):
    """The reply to a write that hides its row comes after the delete, and shows nothing of it."""
    pk = await write(people["ana"], "mine")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        await ana.subscribe("note")
        reply = await ana.ask("note", "update", pk=pk, data={"owner": people["bo"].pk})
        assert (reply["response_status"], reply["data"]) == (200, None)
        assert ana.rows["note"] == {}


async def test_a_reply_about_a_row_of_other_groups():
    """The reply to a write of a row that the connection's groups don't see shows nothing of it."""
    rooms = [await in_database(Room.objects.create)(pk=pk, name=str(pk)) for pk in (1, 2)]
    tag = await in_database(Tag.objects.create)(name="t")
    async with Client(Demultiplexer) as client:
        for room, shown in zip(rooms, (True, False), strict=True):
            data = {"room": room.pk, "text": "t", "tags": [tag.pk]}
            reply = await client.ask("message", "create", data=data)
            assert reply["response_status"] == 201
            assert (reply["data"] is not None) is shown
        pk = await in_database(Message.objects.filter(room=1).values_list("pk", flat=True).get)()
        reply = await client.ask("message", "update", pk=pk, data={"room": 2})
        assert (reply["response_status"], reply["data"]) == (200, None)


async def test_what_was_missed_meanwhile(people):
    """Who comes back with a cursor gets a snapshot: rights leave no trace in a journal."""
    pk = await write(people["ana"], "mine")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        await ana.subscribe("note")
        copy = ana.copies["note"]
    await in_database(User.objects.filter(pk=people["ana"].pk).update)(is_staff=True)
    await write(people["bo"], "yours")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        ana.copies["note"] = copy
        assert await ana.subscribe("note", cursor=copy.cursor) is False
        await until(ana, ["mine", "yours"])
        assert ana.rows["note"][pk]["secret"] == ""


async def test_a_page_and_its_websocket(people):
    """A served page has its user's rows; they go on being right until its websocket comes."""

    @in_database
    def page(user):
        request = RequestFactory().get("/")
        request.user = user
        tag = '{% load databinding %}{% live_rows "tests.shapes.bindings.Demultiplexer" "note" %}'
        text = Template(tag).render(Context({"request": request}))
        return json.loads(text[text.index(">") + 1 : text.rindex("<")])

    pk = await write(people["ana"], "mine")
    await write(people["bo"], "yours")
    served = await page(people["ana"])
    assert [item["data"]["text"] for item in served["items"]] == ["mine"]
    await in_database(Note.objects.filter(pk=pk).update)(text="changed")
    await write(people["ana"], "new")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        ana.copies["note"].hold(
            {item["pk"]: item["data"] for item in served["items"]}, served["cursor"]
        )
        await ana.subscribe("note", cursor=served["cursor"])
        assert texts(ana) == ["changed", "new"]


# Fields


async def test_fields_that_are_for_some_only(people):
    """Who may not read a field is sent nothing of it, in frames, replies and lists."""
    pk = await write(people["ana"], "mine", secret="x1")
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["di"]) as staff,
    ):
        await ana.subscribe("note")
        await staff.subscribe("note")
        assert staff.rows["note"][pk]["secret"] == "x1"
        await in_database(Note.objects.filter(pk=pk).update)(secret="x2", text="seen")
        await until(ana, ["seen"])
        await until(staff, ["seen"])
        assert staff.rows["note"][pk]["secret"] == "x2"
        await ana.ask("note", "list")
        await ana.ask("note", "retrieve", pk=pk)
        await ana.ask("note", "update", pk=pk, data={"text": "again"})
        reply = await ana.ask("note", "update", pk=pk, data={}, expect={"secret": "x2"})
        assert reply["errors"] == [{"secret": ["There is no such field."]}]
        assert "'x1'" not in str(ana.frames)
        assert "'x2'" not in str(ana.frames[:-1])


async def test_a_change_of_a_hidden_field_is_no_news(people):
    """Who may not read a field isn't told either that it has changed."""
    pk = await write(people["ana"], "mine", secret="x1")
    async with Client(Demultiplexer, user=people["ana"]) as ana:
        await ana.subscribe("note")
        before = len(ana.frames)
        await in_database(Note.objects.filter(pk=pk).update)(secret="x2")
        await write(people["ana"], "new")
        await until(ana, ["mine", "new"])
        (event,) = [
            event for frame in ana.frames[before:] for event in frame["payload"].get("events", [])
        ]
        assert event["data"]["text"] == "new"


async def test_fields_that_only_some_may_write(people):
    """Writing a field that isn't one's to write is refused by name, and nothing is written."""
    pk = await write(people["ana"], "mine", secret="x")
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["di"]) as staff,
    ):
        for action, more in (
            ("update", {"pk": pk, "data": {"text": "t", "secret": "y"}}),
            ("create", {"data": {"owner": people["ana"].pk, "text": "t", "secret": "y"}}),
        ):
            reply = await ana.ask("note", action, **more)
            assert reply["response_status"] == 403
            assert reply["errors"] == [{"secret": ["You may not write this field."]}]
        reply = await ana.ask("note", "create", data={"owner": people["ana"].pk, "text": "t"})
        assert reply["response_status"] == 201
        reply = await staff.ask("note", "update", pk=pk, data={"secret": "y"})
        assert reply["data"]["secret"] == "y"
    assert await in_database(Note.objects.filter(secret="y").count)() == 1


# Audiences


async def test_users_with_the_same_rights_share_an_audience(people):
    """Of one audience key there is one audience, whoever is in it."""
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["bo"]) as bo,
        Client(Demultiplexer, user=people["cy"]) as cy,
    ):
        for client in (ana, bo, cy):
            await client.subscribe("team")
        await write(people["ana"], "red")
        await write(people["cy"], "blue")
        await until(ana, ["red"], "team")
        await until(bo, ["red"], "team")
        await until(cy, ["blue"], "team")
        users = {
            audience.form.key: audience.users
            for audience in relay_for("default").holdings.audiences()
        }
        assert users == {"red": 2, "blue": 1}
        cursors = [client.frames[-1]["cursor"] for client in (ana, bo)]
        assert cursors[0] == cursors[1]


async def test_the_last_of_a_key_takes_its_rows_along(people):
    """What is held for a user is forgotten some time after he has gone."""
    with override_settings(DATABINDING={"LINGER": 0.05}):
        async with Client(Demultiplexer, user=people["cy"]) as cy:
            await cy.subscribe("note")
            async with Client(Demultiplexer, user=people["ana"]) as ana:
                await ana.subscribe("note")
            holdings = relay_for("default").holdings
            await eventually(lambda: [form.key for form in holdings.rows] == [people["cy"].pk])
            await write(people["ana"], "a", public=True)
            await until(cy, ["a"])


async def test_one_user_of_a_key_whose_key_cannot_be_told(people, monkeypatch):
    """The others of the key go on being shown what is theirs."""

    def key(cls, user):
        if user.username == "ana" and user.first_name:
            raise ValueError
        return user.last_name

    monkeypatch.setattr(TeamBinding, "audience_key", classmethod(key))
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["bo"]) as bo,
    ):
        await ana.subscribe("team")
        await bo.subscribe("team")
        await in_database(User.objects.filter(username="ana").update)(first_name="A")
        await write(people["bo"], "red")
        await until(bo, ["red"], "team")


async def test_a_large_team_is_asked_for_on_behalf_of_one(people, monkeypatch):
    """However many share a key, one of them is read anew when rows change."""
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["bo"]) as bo,
    ):
        await ana.subscribe("team")
        await bo.subscribe("team")
        read = []
        known = reading.users_by_key
        monkeypatch.setattr(reading, "users_by_key", lambda keys: read.append(keys) or known(keys))
        await write(people["bo"], "red")
        await until(ana, ["red"], "team")
        assert {len(keys) for keys in read} == {1}


async def test_whoever_leaves_together_is_forgotten_together(people, caplog):
    """However many have gone, all of what was held for them is forgotten, without any ado."""
    with override_settings(DATABINDING={"LINGER": 0.05}):
        async with (
            Client(Demultiplexer, user=people["ana"]) as ana,
            Client(Demultiplexer, user=people["bo"]) as bo,
            Client(Demultiplexer, user=people["cy"]) as cy,
        ):
            for client in (ana, bo, cy):
                await client.subscribe("note")
            await ana.ask("note", "unsubscribe")
            await bo.ask("note", "unsubscribe")
            holdings = relay_for("default").holdings
            await eventually(lambda: [form.key for form in holdings.rows] == [people["cy"].pk])
    assert not caplog.records


async def test_a_key_that_cannot_be_told_stops_nobody_else(people, monkeypatch, caplog):
    """What `audience_key` raises leaves the rows of its form as they were, until it answers."""
    async with (
        Client(Demultiplexer, user=people["ana"]) as ana,
        Client(Demultiplexer, user=people["cy"]) as cy,
    ):
        await ana.subscribe("team")
        await cy.subscribe("note")
        with monkeypatch.context() as broken:
            broken.setattr(TeamBinding, "audience_key", classmethod(lambda cls, user: 1 / 0))
            await write(people["cy"], "blue")
            await write(people["ana"], "red")
            await until(cy, ["blue"])
            held = relay_for("default").holdings.rows
            assert {form.key: len(rows.fragments) for form, rows in held.items()}["red"] == 0
        await until(ana, ["red"], "team")
    assert "audience_key() can't be asked" in caplog.text
