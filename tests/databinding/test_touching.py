"""`databinding.touch` and `manage.py databinding_touch`: what nothing saw, journalled by hand."""

from io import StringIO

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings

import databinding
from databinding import capture, doorbell
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client
from tests.databinding.journalled import journalled
from tests.shapes.models import Base, Child, Message, Paper, Room, Tag
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

LABEL = "talk.integervalue"


@pytest.fixture
def rows(transactional_db):
    return [IntegerValue.objects.create(name=name) for name in "abc"]


def keys(*rows, label=LABEL):
    return {(label, str(row.pk)) for row in rows}


def touched(*arguments):
    return journalled(lambda: databinding.touch(*arguments))


def command(*arguments):
    """What the command journals, and what it says."""
    said = StringIO()
    found = journalled(lambda: call_command("databinding_touch", *arguments, stdout=said))
    return found, said.getvalue()


# What is journalled


def test_a_row(rows):
    """A row is journalled by its key, also before it is deleted."""
    assert touched(rows[0]) == keys(rows[0])


def test_a_queryset(rows):
    """A queryset's rows are journalled as it finds them; in an order, sliced, or none at all."""
    assert touched(IntegerValue.objects.filter(name__gt="a")) == keys(*rows[1:])
    assert touched(IntegerValue.objects.order_by("-name")[:2]) == keys(*rows[1:])
    assert touched(IntegerValue.objects.values("name")) == keys(*rows)
    assert touched(IntegerValue.objects.none()) == set()


def test_a_model(rows):
    """A model is any of its rows; with primary keys those, also of rows that are gone."""
    assert touched(IntegerValue) == {(LABEL, None)}
    assert touched(IntegerValue, rows[0].pk, "4711") == {*keys(rows[0]), (LABEL, "4711")}


def test_too_many_rows(rows):
    """More rows than KEY_LIMIT are any row."""
    with override_settings(DATABINDING={"KEY_LIMIT": 2}):
        assert touched(IntegerValue.objects.all()) == {(LABEL, None)}
        assert touched(IntegerValue, 1, 2, 3) == {(LABEL, None)}
        assert touched(IntegerValue.objects.all()[:2]) == keys(*rows[:2])


def test_other_shapes(transactional_db):
    """Keys have the form that triggers give, and a parent's row is its children's."""
    paper = Paper.objects.create(amount=1)
    text = str(paper.pk) if connection.features.has_native_uuid_field else paper.pk.hex
    for given in ((paper,), (Paper.objects.all(),), (Paper, paper.pk), (Paper, str(paper.pk))):
        assert touched(*given) == {("shapes.paper", text)}
    child = Child.objects.create(title="t")
    for given in ((child,), (Child, child.pk), (Base.objects.get(),), (Base.objects.all(),)):
        assert touched(*given) == keys(child, label="shapes.child")


def test_a_row_between(transactional_db):
    """A row of a many-to-many table is its owner."""
    message = Message.objects.create(room=Room.objects.create(name="r"), text="x")
    message.tags.add(Tag.objects.create(name="t"))
    through = Message.tags.through
    link = through.objects.get()
    for given in ((link,), (through.objects.all(),), (through, link.pk)):
        assert touched(*given) == keys(message, label="shapes.message")


def test_what_is_watched(transactional_db, registry_as_it_was):
    """A model that isn't bound, but watched, is touched by whoever shows something of it."""

    class RoomyBinding(WebsocketBinding):
        model = Message
        fields = ["text"]
        watch = ["room"]

    capture.connect()
    room = Room.objects.create(name="r")
    assert touched(room) == {("shapes.message:room__pk", str(room.pk))}


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        (lambda: (Session.objects.all(),), ValueError, "No binding shows rows of Session"),
        (lambda: (IntegerValue(name="new"),), ValueError, "no primary key"),
        (lambda: ("intval",), TypeError, "a row, a queryset or a model, not 'intval'"),
        (lambda: (7,), TypeError, "not 7"),
        (lambda: (IntegerValue.objects.all(), 7), TypeError, "after a model alone"),
    ],
)
def test_what_can_not_be_touched(what, error, words, transactional_db):
    """What nobody shows, isn't saved, or is no row at all is a clear error."""
    with pytest.raises(error, match=words):
        databinding.touch(*what())


# When


def test_it_is_part_of_the_callers_transaction(rows, monkeypatch):
    """The keys come and go with the transaction, and the doorbell rings once it has committed."""
    heard = []
    monkeypatch.setitem(
        doorbell._listeners, "default", lambda: heard.append(connection.in_atomic_block)
    )

    def undone():
        with transaction.atomic():
            databinding.touch(rows[0])
            transaction.set_rollback(True)

    assert journalled(undone) == set()
    assert heard == []
    with transaction.atomic():
        databinding.touch(rows[0])
        databinding.touch(rows[1])
    assert heard == [False]


async def test_a_page_heals(by_signals):
    """A page shows what was written past the capture, when it is touched."""

    @in_database
    def unseen():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE talk_integervalue SET value = 9 WHERE name = 'a'")
            cursor.execute("DELETE FROM talk_integervalue WHERE name = 'b'")

    rows = [await IntegerValue.objects.acreate(name=name) for name in "ab"]
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await unseen()
        assert await client.nothing_comes()
        await in_database(databinding.touch)(IntegerValue.objects.all())
        await client.until(
            "intval", {rows[0].pk: {"name": "a", "value": 9}, rows[1].pk: {"name": "b", "value": 0}}
        )
        await in_database(databinding.touch)(rows[1])
        await client.until("intval", {rows[0].pk: {"name": "a", "value": 9}})


# The command


def test_the_command(rows):
    """Operators touch a model, or rows of it, and are told what was journalled."""
    found, said = command("talk.IntegerValue")
    assert found == {(LABEL, None)}
    assert said == "talk.IntegerValue: any row.\n"
    found, said = command("talk.integervalue", str(rows[0].pk), "4711")
    assert found == {*keys(rows[0]), (LABEL, "4711")}
    assert said == "talk.IntegerValue: 2 rows.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no model 'nonsense'"),
        (["talk.Nonsense"], "no model 'talk.Nonsense'"),
        (["sessions.Session"], "No binding shows rows of Session"),
        (["talk.IntegerValue", "seven"], "seven"),
    ],
)
def test_the_commands_errors(arguments, words, transactional_db):
    """What there isn't is said in a sentence."""
    with pytest.raises(CommandError, match=words):
        call_command("databinding_touch", *arguments)


def test_the_package_has_nothing_else():
    """`touch` is found where it is asked for, what isn't there is an AttributeError."""
    assert set(databinding.__all__) == {"__version__", "touch"}
    with pytest.raises(AttributeError, match="no attribute 'tuch'"):
        _ = databinding.tuch
