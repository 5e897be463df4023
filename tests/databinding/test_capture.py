"""Django's signals: what they see and what not, when the doorbell rings, what they leave alone."""

import itertools
import subprocess

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.deletion import Collector
from django.db.models.signals import post_save
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.consumers import Demultiplexer as Dashboard
from databinding import capture, doorbell, triggers
from databinding.checks import check_bindings, check_triggers
from databinding.models import JournalEntry
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client
from tests.databinding.journalled import journalled
from tests.databinding.programs import other_program
from tests.servers import PATIENCE, command
from tests.shapes.models import Base, Child, Message, Paper, Room, Tag
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue
from values.models import IntegerValue as Value

pytestmark = pytest.mark.django_db(transaction=True)


# What signals see


def existing():
    """A row of each kind, to be written to."""
    room = Room.objects.create(name="r")
    rows = {
        "value": IntegerValue.objects.create(name="a"),
        "message": Message.objects.create(room=room, text="x"),
        "child": Child.objects.create(title="t"),
        "room": room,
        "tag": Tag.objects.create(name="t"),
    }
    rows["message"].tags.add(rows["tag"])
    return rows


def bulk_update(row):
    row.value = 9
    IntegerValue.objects.bulk_update([row], ["value"])


SEEN = {
    "save of a new row": lambda rows: Paper.objects.create(amount=1),
    "save": lambda rows: rows["value"].save(),
    "save of one field": lambda rows: rows["value"].save(update_fields=["value"]),
    "delete": lambda rows: rows["value"].delete(),
    "queryset delete": lambda rows: IntegerValue.objects.all().delete(),
    "cascade": lambda rows: rows["room"].delete(),
    "a child's save": lambda rows: rows["child"].save(),
    "a child's delete": lambda rows: rows["child"].delete(),
    "a child's delete by its parent": lambda rows: Base.objects.all().delete(),
    "a parent's row, saved as such": lambda rows: Base.objects.get().save(),
    "many-to-many add": lambda rows: rows["message"].tags.add(Tag.objects.create(name="u")),
    "many-to-many remove": lambda rows: rows["message"].tags.remove(rows["tag"]),
    "many-to-many clear": lambda rows: rows["message"].tags.clear(),
    "many-to-many set": lambda rows: rows["message"].tags.set([]),
    "many-to-many remove from afar": lambda rows: rows["tag"].message_set.remove(rows["message"]),
    "many-to-many clear from afar": lambda rows: rows["tag"].message_set.clear(),
}

UNSEEN = {
    "update()": lambda rows: IntegerValue.objects.update(value=F("value") + 1),
    "bulk_create": lambda rows: IntegerValue.objects.bulk_create([IntegerValue(name="n")]),
    "bulk_update": lambda rows: bulk_update(rows["value"]),
    "fast delete": lambda rows: IntegerValue.objects.all()._raw_delete("default"),
    "raw SQL": lambda rows: connection.cursor().execute("UPDATE talk_integervalue SET value = 8"),
    "another program": lambda rows: other_program("UPDATE talk_integervalue SET value = 7"),
    "a many-to-many's row, written as such": lambda rows: Message.tags.through.objects.create(
        message=rows["message"], tag=Tag.objects.create(name="u")
    ),
    "a many-to-many's row, lost with its tag": lambda rows: rows["tag"].delete(),
}


@pytest.mark.parametrize("write", SEEN)
def test_what_signals_see(write, by_signals):
    """With CAPTURE "signals", what sends a signal journals the keys that triggers would have."""
    found = journalled(SEEN[write], existing())
    assert found
    if write not in ("save of a new row", "many-to-many clear from afar"):
        triggers_found = under_triggers(SEEN[write])
        assert {label for label, _ in found} == {label for label, _ in triggers_found}
        assert len(found) == len(triggers_found)


def under_triggers(write):
    for model in (IntegerValue, Message, Child, Base, Room, Tag):
        model.objects.all().delete()
    with override_settings(DATABINDING={"CAPTURE": "triggers"}):
        triggers.install("default")
        return journalled(write, existing())


@pytest.mark.parametrize("write", UNSEEN)
def test_what_signals_can_not_see(write, by_signals):
    """With CAPTURE "signals" these writes are lost on pages; triggers see them all."""
    assert journalled(UNSEEN[write], existing()) == set()
    assert under_triggers(UNSEEN[write])


def test_clearing_from_afar_is_any_row(by_signals):
    """Where a signal doesn't say which rows it touched, any row of the model may be meant."""
    rows = existing()
    assert journalled(rows["tag"].message_set.clear) == {("shapes.message", None)}


def test_keys_have_the_form_that_triggers_give(by_signals):
    """A UUID's key is journalled by signals as the database holds it."""
    found = journalled(Paper(amount=1).save)
    pk = Paper.objects.get().pk
    text = str(pk) if connection.features.has_native_uuid_field else pk.hex
    assert found == {("shapes.paper", text)}


async def test_a_page_under_signals(by_signals):
    """Without triggers a page follows saves and deletes; what is rolled back isn't sent."""

    def rolled_back():
        with transaction.atomic():
            IntegerValue.objects.create(name="undone")
            transaction.set_rollback(True)

    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        row = await in_database(IntegerValue.objects.create)(name="a")
        await client.until("intval", {row.pk: {"name": "a", "value": 0}})
        await in_database(rolled_back)()
        assert await client.nothing_comes()
        await in_database(row.delete)()
        await client.until("intval", {})


def test_triggers_alone_journal(transactional_db):
    """With CAPTURE "triggers" a save is journalled once, not by the signals as well."""
    before = JournalEntry.objects.count()
    IntegerValue.objects.create(name="a")
    assert JournalEntry.objects.count() == before + 1


def test_deletes_of_other_models_stay_fast():
    """Listening doesn't make Django delete rows one by one of models that aren't bound."""
    collector = Collector(using="default")
    assert collector.can_fast_delete(Session.objects.all())
    assert not collector.can_fast_delete(IntegerValue.objects.all())


def test_a_binding_with_a_mistake_is_left_to_the_checks(registry_as_it_was, caplog):
    """Listening to signals fails of no binding's mistake: checks name it, and saves go on."""

    class MistakenBinding(WebsocketBinding):
        model = IntegerValue
        fields = ["no such field"]

    capture.connect()
    assert "MistakenBinding can't be followed" in caplog.text
    assert "databinding.E002" in {error.id for error in check_bindings()}
    assert check_triggers(databases=["default"]) == []
    assert journalled(write) == {("talk.integervalue", str(IntegerValue.objects.get().pk))}


# The doorbell


@pytest.fixture
def rings(monkeypatch, transactional_db):
    """Whether a transaction was open, for each ring."""
    heard = []
    monkeypatch.setitem(
        doorbell._listeners, "default", lambda: heard.append(connection.in_atomic_block)
    )
    return heard


numbers = itertools.count()


def write():
    IntegerValue.objects.create(name=f"n{next(numbers)}")


def test_it_rings_after_the_commit_and_once(rings):
    """However much a transaction writes, the doorbell rings once, after it has committed."""
    with transaction.atomic():
        for _ in range(3):
            write()
        with transaction.atomic():
            write()
        assert rings == []
    assert rings == [False]
    write()
    assert rings == [False, False]


def test_it_does_not_ring_for_what_is_rolled_back(rings):
    """A rolled back transaction rings nothing."""
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    assert rings == []


def test_it_does_not_ring_for_other_models(rings):
    """Writes of models that aren't bound ring nothing."""
    Room.objects.create(name="r")
    assert rings == []


class Undo(Exception):
    pass


programs = st.recursive(
    st.lists(st.sampled_from(["write", "other"]), max_size=3),
    lambda inner: st.lists(
        st.sampled_from(["write", "other"]) | st.tuples(st.booleans(), inner), max_size=4
    ),
    max_leaves=8,
)


def run(program):
    """Run it inside the caller's transaction; a tuple is a savepoint, kept or undone."""
    for step in program:
        if step == "write":
            write()
        elif step == "other":
            transaction.on_commit(lambda: None)
        else:
            keep, inner = step
            try:
                with transaction.atomic():
                    run(inner)
                    if not keep:
                        raise Undo
            except Undo:
                pass


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(programs)
def test_savepoints_neither_swallow_nor_add_a_ring(rings, program):
    """If anything that was written survives its savepoints it rings, else not."""
    rings.clear()
    before = IntegerValue.objects.count()
    with transaction.atomic():
        run(program)
    assert bool(rings) == (IntegerValue.objects.count() > before)
    if "other" not in str(program):
        assert len(rings) <= 1


# Other apps' receivers


def as_in_plain_django(model, error):
    """How saves of a model end whose receiver raises: (what was raised, what is stored)."""
    field = "value" if model is IntegerValue else "name"
    outcomes = []

    def receiver(instance, **kwargs):
        raise error

    def save(name):
        model(name=name, **({field: 1} if field == "value" else {})).save()

    def outcome(work):
        try:
            work()
        except Exception as raised:
            outcomes.append(type(raised))
        outcomes.append(sorted(model.objects.values_list("name", flat=True)))

    def caught():
        with transaction.atomic():
            save("before")
            try:
                save("caught")
            except type(error):
                save_quietly("after")

    def save_quietly(name):
        post_save.disconnect(receiver, sender=model)
        save(name)
        post_save.connect(receiver, sender=model)

    def not_caught():
        with transaction.atomic():
            save("not caught")

    def caught_outside_a_savepoint():
        with transaction.atomic():
            try:
                with transaction.atomic():
                    save("in a savepoint")
            except type(error):
                save_quietly("after it")

    post_save.connect(receiver, sender=model)
    try:
        for work in (lambda: save("alone"), caught, not_caught, caught_outside_a_savepoint):
            outcome(work)
    finally:
        post_save.disconnect(receiver, sender=model)
    return outcomes


@pytest.mark.parametrize("error", [RuntimeError("theirs"), IntegrityError("theirs")])
@pytest.mark.parametrize("how", ["triggers", "signals"])
def test_another_receivers_exception_ends_as_in_plain_django(how, error, request):
    """Whether alone, in a transaction or in a savepoint: a bound model behaves as any other."""
    if how == "signals":
        request.getfixturevalue("by_signals")
    plain = as_in_plain_django(Room, error)
    assert as_in_plain_django(IntegerValue, error) == plain
    assert plain[:2] == [type(error), ["alone"]]


@pytest.mark.parametrize(("how", "seen"), [("triggers", True), ("signals", False)])
def test_a_receiver_that_raises_before_ours(how, seen, request):
    """What is stored though another receiver raised first is seen by triggers, not by signals."""
    if how == "signals":
        request.getfixturevalue("by_signals")

    def receiver(**kwargs):
        raise RuntimeError("theirs")

    def save():
        with pytest.raises(RuntimeError, match="theirs"):
            IntegerValue.objects.create(name="a")

    post_save.disconnect(sender=IntegerValue, dispatch_uid="databinding")
    post_save.connect(receiver, sender=IntegerValue)
    capture.connect()
    try:
        assert bool(journalled(save)) is seen
    finally:
        post_save.disconnect(receiver, sender=IntegerValue)
    assert IntegerValue.objects.count() == 1


# Crashes


AFTER_THE_UPDATE = """
import os
from django.db import connection
from values.models import IntegerValue

def die(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    if sql.startswith("UPDATE"):
        os._exit(9)
    return result

row = IntegerValue.objects.get()
row.value = 5
with connection.execute_wrapper(die):
    row.save()
"""

IN_A_RECEIVER = """
import os
from django.db.models.signals import post_save
from databinding import capture
from values.models import IntegerValue

def die(**kwargs):
    os._exit(9)

post_save.disconnect(sender=IntegerValue, dispatch_uid="databinding")
post_save.connect(die, sender=IntegerValue)
capture.connect()
row = IntegerValue.objects.get()
row.value = 5
row.save()
"""


def crash(database, code):
    with command(database, "shell", "--verbosity", "0", "--command", code) as process:
        try:
            printed = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 9, printed


@pytest.mark.parametrize("code", [AFTER_THE_UPDATE, IN_A_RECEIVER])
async def test_a_crash_after_the_update_loses_nothing(code, database):
    """A process that dies between its UPDATE and `post_save` has journalled it all the same."""
    row = await in_database(Value.objects.create)(name="a")
    async with Client(Dashboard) as client:
        await client.subscribe("intval")
        await in_database(crash)(database, code)
        await client.until("intval", {row.pk: {"name": "a", "value": 5}})


def test_a_crash_after_the_update_is_lost_by_signals(by_signals, database):
    """Signals can't journal what a process does before it dies in autocommit."""
    Value.objects.create(name="a")
    assert journalled(crash, database, AFTER_THE_UPDATE) == set()
    assert Value.objects.get().value == 5
