"""The queryset that journals what sends no signal: all that it touches, whoever else writes."""

import random
from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat, Random
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databinding import doorbell
from databinding.managers import JournalingManager, JournalingQuerySet
from databinding.models import JournalEntry
from tests.databinding.clients import Client
from tests.databinding.journalled import journalled
from tests.databinding.programs import connect
from tests.shapes.bindings import Demultiplexer
from tests.shapes.models import Base, Child, Message, Named, Paper, Room, Tag, Task

pytestmark = pytest.mark.django_db(transaction=True)


def rows_of(model):
    """All rows of a model that has Django's own manager."""
    return JournalingQuerySet(model)


@pytest.fixture
def tasks(transactional_db):
    """Two rooms and five tasks a to e, of which the first three are in the first room."""
    rooms = [Room.objects.create(name=name) for name in "xy"]
    made = [
        Task.objects.create(code=code, room=rooms[place > 2], place=place)
        for place, code in enumerate("abcde")
    ]
    return rooms, made


def keys_of(rows, label="shapes.task"):
    return {(label, str(row.pk)) for row in rows}


def fresh(*codes):
    return [Task(code=code) for code in codes]


ANY = {("shapes.task", None)}


# Which keys


def test_update(by_signals, tasks):
    """`update()` journals the rows that it changes, also if they don't meet its condition then."""
    _, (a, b, *_) = tasks
    theirs = Task.objects.filter(code__lt="c", done=False)
    assert journalled(lambda: theirs.update(done=True)) == keys_of([a, b])
    assert journalled(lambda: theirs.update(done=True)) == set()
    assert Task.objects.filter(done=True).count() == 2


UPDATES = {
    "an expression": lambda: Task.objects.update(place=F("place") + 10),
    "another table's condition": lambda: Task.objects.filter(room__name="x").update(done=True),
    "a subquery": lambda: Task.objects.filter(
        room__in=Room.objects.filter(name="x").exclude(task__code="e")
    ).update(done=True),
    "an annotation": lambda: Task.objects.annotate(more=F("place") + 1).update(place=F("more") + 9),
    "an aggregate": lambda: (
        Task.objects.annotate(n=Count("room__task")).filter(n=3).update(done=True)
    ),
    "an order": lambda: Task.objects.order_by("-code").update(done=True),
    "distinct": lambda: Task.objects.distinct().update(done=True),
    "a row's manager": lambda: Room.objects.get(name="x").task_set.update(done=True),
    "a relation's clear()": lambda: Room.objects.get(name="x").task_set.clear(),
    "a relation's remove()": lambda: Room.objects.get(name="x").task_set.remove(
        Task.objects.get(code="b")
    ),
    "a relation's add()": lambda: Room.objects.get(name="x").task_set.add(
        Task.objects.get(code="e")
    ),
    "SET_NULL": lambda: Room.objects.get(name="x").delete(),
    "bulk_update": lambda: changed_in_bulk(),
    "bulk_update in batches": lambda: changed_in_bulk(batch_size=2),
    "_raw_delete": lambda: Task.objects.filter(place__gt=2)._raw_delete("default"),
    "_raw_delete by another table": lambda: Task.objects.filter(room__name="y")._raw_delete(
        "default"
    ),
    "delete()": lambda: Task.objects.filter(place__gt=2).delete(),
    "values": lambda: Task.objects.values("room").update(done=True),
}


def changed_in_bulk(**options):
    changed = list(Task.objects.filter(place__gt=1))
    for task in changed:
        task.done = True
    Task.objects.bulk_update(changed, ["done"], **options)


def table(model=Task):
    return {row["pk"]: row for row in model.objects.values("pk", *names(model))}


def names(model):
    return [field.attname for field in model._meta.concrete_fields if not field.primary_key]


def changed(before, after):
    keys = before.keys() | after.keys()
    return {("shapes.task", str(key)) for key in keys if before.get(key) != after.get(key)}


@pytest.mark.parametrize("write", UPDATES)
def test_just_the_rows_that_change(write, by_signals, tasks):
    """Whatever the statement, it journals the rows that it changed, no others."""
    before = table()
    found = journalled(UPDATES[write])
    assert found == changed(before, table())
    assert found


def test_bulk_create(by_signals, tasks):
    """`bulk_create()` journals the rows that it makes, with keys that they have or are given."""
    made = fresh("f", "g")
    assert journalled(lambda: Task.objects.bulk_create(made)) == keys_of(made)
    named = [Task(pk=4711, code="h"), Task(code="i")]
    assert journalled(lambda: Task.objects.bulk_create(named, batch_size=1)) == keys_of(named)
    assert journalled(lambda: Task.objects.bulk_create(iter([]))) == set()


def test_bulk_create_that_ignores_conflicts(by_signals, tasks):
    """It journals rows made, and with them those that were in the way, found by a unique field."""
    _, (a, *_) = tasks

    def create(*made):
        Task.objects.bulk_create(made, ignore_conflicts=True)

    found = journalled(create, *fresh("a", "new"))
    assert found == keys_of([a, Task.objects.get(code="new")])
    assert journalled(create, Task(pk=4711, code="named")) == {("shapes.task", "4711")}
    # A message has no field by which it could be found.
    room = Room.objects.first()
    messages = [Message(room=room, text="x"), Message(room=room, text="y")]
    found = journalled(lambda: rows_of(Message).bulk_create(messages, ignore_conflicts=True))
    assert found == {("shapes.message", None)}


def test_bulk_create_that_updates_conflicts(by_signals, tasks):
    """It journals rows made and rows changed, by the fields that make a conflict."""
    (room, _), (a, b, *_) = tasks

    def create(made, unique, changed):
        options = {"unique_fields": unique, "update_fields": changed}
        Task.objects.bulk_create(made, update_conflicts=True, **options)

    made = [Task(pk=999, code="a", done=True), Task(code="new")]
    found = journalled(create, made, ["code"], ["done"])
    assert found == keys_of([a, Task.objects.get(code="new")])
    assert Task.objects.get(code="a").done
    found = journalled(create, [Task(pk=b.pk, code="z")], ["pk"], ["code"])
    assert found == keys_of([b])
    made = [Task(code="q", room=room, place=1), Task(code="r", room=room, place=77)]
    found = journalled(create, made, ["room", "place"], ["code"])
    assert found == keys_of([b, Task.objects.get(place=77)])
    # NULL conflicts with nothing, and finds nothing.
    assert journalled(create, [Task(code="s")], ["room", "place"], ["done"]) == ANY


@pytest.mark.parametrize(
    "write",
    [
        lambda: Task.objects.update(done=True),
        lambda: Task.objects.all()._raw_delete("default"),
        lambda: Task.objects.bulk_create(fresh(*"uvwxyz")),
        lambda: Task.objects.filter(code="a").update(id=4711),
        lambda: Task.objects.filter(pk__in=Task.objects.order_by("?")[:2]).update(done=True),
        lambda: Task.objects.alias(die=Random()).filter(die__lt=2).update(done=True),
        lambda: Task.objects.extra(where=["place < 2"]).update(done=True),
    ],
)
def test_any_row(write, by_signals, tasks):
    """Too many rows, changed primary keys, and those that can't be asked for twice are any row."""
    with override_settings(DATABINDING={"CAPTURE": "signals", "KEY_LIMIT": 3}):
        assert journalled(write) == ANY


def test_large_statements(by_signals, transactional_db):
    """Thousands of rows are journalled by their keys, however few parameters there may be."""
    number = 3_000
    made = fresh(*map(str, range(number)))
    assert journalled(lambda: Task.objects.bulk_create(made)) == keys_of(made)
    assert journalled(lambda: Task.objects.update(done=True)) == keys_of(made)
    assert Task.objects.filter(done=True).count() == number
    assert journalled(lambda: Task.objects.all()._raw_delete("default")) == keys_of(made)
    assert not Task.objects.exists()


def test_other_shapes(by_signals):
    """Keys of UUIDs, texts, children and parents are journalled as triggers would."""
    paper = Paper.objects.create(amount=1)
    text = str(paper.pk) if connection.features.has_native_uuid_field else paper.pk.hex
    assert journalled(lambda: rows_of(Paper).update(amount=2)) == {("shapes.paper", text)}
    named = Named.objects.create(code="it's")
    assert journalled(lambda: rows_of(Named).update(value=2)) == {("shapes.named", named.pk)}
    assert Named.objects.get().value == 2
    child = Child.objects.create(title="t")
    expected = keys_of([child], "shapes.child")
    assert journalled(lambda: rows_of(Child).update(number=3, title="u")) == expected
    assert journalled(lambda: rows_of(Base).update(title="v")) == expected
    child.refresh_from_db()
    assert (child.number, child.title) == (3, "v")


def test_rows_of_a_many_to_many_table(by_signals, tasks):
    """What is written to the table between is journalled as its owners, before and after."""
    (room, _), _ = tasks
    one, other = (Message.objects.create(room=room, text=text) for text in "ab")
    tag = Tag.objects.create(name="t")
    through = Message.tags.through
    owners = keys_of([one], "shapes.message"), keys_of([one, other], "shapes.message")
    links = rows_of(through)
    created = journalled(lambda: links.bulk_create([through(message=one, tag=tag)]))
    assert created == owners[0]
    assert journalled(lambda: links.all().update(message=other)) == owners[1]
    assert list(other.tags.all()) == [tag]
    deleted = journalled(lambda: links.all()._raw_delete("default"))
    assert deleted == keys_of([other], "shapes.message")


def test_models_of_which_nothing_is_shown(by_signals):
    """A model that no binding depends on is written as by Django's own queryset."""

    def write():
        rows_of(Room).bulk_create([Room(name="a")])
        rows_of(Room).update(name="b")
        rows_of(Room)._raw_delete("default")

    with CaptureQueriesContext(connection) as queries:
        assert journalled(write) == set()
    kinds = [query["sql"].split()[0] for query in queries if "room" in query["sql"]]
    assert kinds == ["INSERT", "UPDATE", "DELETE"]


def test_what_django_refuses_is_refused(by_signals, tasks):
    """A slice can't be updated, nor a union, and a field must be there."""
    with pytest.raises(TypeError, match="slice"):
        Task.objects.all()[:2].update(done=True)
    with pytest.raises(Exception, match="union"):
        Task.objects.union(Task.objects.all()).update(done=True)
    with pytest.raises(Exception, match="no field named 'nonsense'"):
        Task.objects.update(nonsense=1)
    assert Task.objects.filter(done=True).count() == 0


@pytest.mark.parametrize("how", ["update", "bulk_create"])
def test_a_failing_statement_journals_nothing(how, by_signals, tasks):
    """What the database refuses is undone, in a transaction of its own or in the caller's."""

    def fail():
        if how == "update":
            Task.objects.filter(code="a").update(code="b")
        else:
            Task.objects.bulk_create(fresh("new", "a"))

    def in_a_transaction():
        with transaction.atomic():
            Task.objects.filter(code="c").update(done=True)
            with pytest.raises(IntegrityError), transaction.atomic():
                fail()

    def alone():
        with pytest.raises(IntegrityError):
            fail()

    before = table()
    assert journalled(alone) == set()
    assert table() == before
    assert len(journalled(in_a_transaction)) == 1


def test_a_rollback_takes_the_keys_along(by_signals, tasks):
    """What is rolled back isn't journalled."""

    def undone():
        with transaction.atomic():
            Task.objects.update(done=True)
            transaction.set_rollback(True)

    assert journalled(undone) == set()


# Whoever else writes


@pytest.mark.postgresql
@pytest.mark.parametrize("delete", [False, True])
def test_rows_that_others_commit_meanwhile(delete, by_signals, tasks):
    """A row that begins to meet the condition after it was asked for isn't touched unseen."""

    def interfere(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "FOR" in sql and "UPDATE" in sql.rpartition("FOR")[2]:
            with closing(connect()) as other:
                other.execute(
                    "INSERT INTO shapes_task (code, place, done) VALUES ('late', 0, false)"
                )
                other.commit()
        return result

    def write():
        with connection.execute_wrapper(interfere):
            waiting = Task.objects.filter(done=False)
            return waiting._raw_delete("default") if delete else waiting.update(done=True)

    before = table()
    found = journalled(write)
    late = Task.objects.get(code="late")
    assert found == changed(before, table()) - keys_of([late])
    assert len(found) == len(before)
    assert not late.done


@pytest.mark.postgresql
def test_rows_that_others_change_wait(by_signals, tasks):
    """Rows that are about to be changed can't be changed by others before they are."""
    tried = []

    def interfere(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "FOR NO KEY UPDATE" in sql:
            with closing(connect()) as other:
                other.execute("SET lock_timeout = '50ms'")
                with pytest.raises(Exception, match="lock timeout"):
                    other.execute("UPDATE shapes_task SET done = true")
                tried.append(True)
        return result

    with connection.execute_wrapper(interfere):
        Task.objects.update(done=True)
    assert tried


@pytest.mark.sqlite
@pytest.mark.parametrize("mode", ["DEFERRED", "IMMEDIATE"])
def test_on_sqlite_nobody_else_writes_meanwhile(mode, by_signals, tasks, monkeypatch):
    """From before the rows are asked for until the end, whatever mode transactions begin in."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", mode)
    connection.close()
    tried = []

    def interfere(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "shapes_task" in sql:
            with closing(connect(timeout=0)) as other:
                with pytest.raises(Exception, match="locked"):
                    other.execute("UPDATE shapes_task SET done = true")
                tried.append(True)
        return result

    with connection.execute_wrapper(interfere):
        assert Task.objects.update(done=True) == 5
    assert tried
    connection.close()


@pytest.mark.sqlite
def test_on_sqlite_a_busy_database_is_waited_for(by_signals, tasks):
    """While another program writes, an update waits as Django's own does, and says the same."""
    with closing(connect()) as other:
        other.execute("UPDATE shapes_task SET done = 1")
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 20")
        with pytest.raises(OperationalError, match="locked"):
            Task.objects.update(place=F("place") + 1)
        other.rollback()
    connections["default"].close()
    assert Task.objects.update(place=F("place") + 10) == 5


operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["update", "move", "append", "raw_delete", "create", "ignore", "upsert", "bulk_update"]
        ),
        st.integers(0, 1_000),
    ),
    max_size=6,
)


def perform(name, seed, rooms):
    """One statement; what the database refuses changes nothing."""
    try:
        with transaction.atomic():
            execute(name, seed, rooms)
    except IntegrityError:
        pass


def execute(name, seed, rooms):
    chance = random.Random(seed)
    code, place = chance.choice("abcdefg"), chance.randrange(6)
    some = Task.objects.filter(code__gte=code) if chance.random() < 0.5 else Task.objects.all()
    some = some.filter(place__lte=place) if chance.random() < 0.5 else some
    match name:
        case "update":
            some.update(done=~F("done") if chance.random() < 0.5 else True)
        case "move":
            some.update(room=None)
        case "append":
            some.update(code=Concat(F("code"), Value("+")))
        case "raw_delete":
            some._raw_delete("default")
        case "create":
            Task.objects.bulk_create(fresh(*(f"{code}{seed}{n}" for n in range(place))))
        case "ignore":
            Task.objects.bulk_create(
                [Task(code=one, done=True) for one in {code, f"{code}{seed}"}],
                ignore_conflicts=True,
            )
        case "upsert":
            Task.objects.bulk_create(
                [Task(code=one, done=True, room=rooms[1], place=100 + seed) for one in [code]],
                update_conflicts=True,
                unique_fields=["code"],
                update_fields=["done"],
            )
        case "bulk_update":
            found = list(some)
            for task in found:
                task.done = not task.done
            Task.objects.bulk_update(found, ["done"])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=operations, limit=st.sampled_from([2, 10_000]))
def test_whatever_is_written_is_journalled(by_signals, program, limit):
    """After any statements, every row that isn't as it was has its key in the journal."""
    with override_settings(DATABINDING={"CAPTURE": "signals", "KEY_LIMIT": limit}):
        Task.objects.all()._raw_delete("default")
        Room.objects.all().delete()
        rooms = [Room.objects.create(name=name) for name in "xy"]
        Task.objects.bulk_create(
            Task(code=code, room=rooms[0], place=place) for place, code in enumerate("abcde")
        )
        for name, seed in program:
            before = table()
            found = journalled(perform, name, seed, rooms)
            assert changed(before, table()) <= found or found >= ANY


# Beside the keys


async def test_a_page_sees_what_it_writes(by_signals):
    """A page follows statements that send no signal, at once."""

    @in_database
    def stored():
        return {
            task.pk: {"code": task.code, "room": task.room_id, "done": task.done}
            for task in Task.objects.all()
        }

    async with Client(Demultiplexer) as client:
        await client.subscribe("task")
        await Task.objects.abulk_create(fresh("a", "b"))
        await client.until("task", await stored())
        await Task.objects.filter(code="a").aupdate(done=True)
        await client.until("task", await stored())
        await in_database(Task.objects.all()._raw_delete)("default")
        await client.until("task", {})


def test_under_triggers_it_is_a_plain_one(tasks):
    """With CAPTURE "triggers" each statement is the one that it is by Django's own queryset."""
    for write, number in (
        (lambda: Task.objects.update(done=True), 5),
        (lambda: Task.objects.bulk_update(Task.objects.all(), ["done"]), 5),
        (lambda: Task.objects.bulk_create(fresh("f")), 1),
        (lambda: Task.objects.all()._raw_delete("default"), 6),
    ):
        before = JournalEntry.objects.count()
        with CaptureQueriesContext(connection) as queries:
            write()
        verbs = [query["sql"].split()[0] for query in queries]
        assert len([verb for verb in verbs if verb not in ("SELECT", "BEGIN", "COMMIT")]) == 1
        assert verbs.count("SELECT") <= 1
        assert JournalEntry.objects.count() == before + number


@pytest.mark.parametrize("how", ["triggers", "signals"])
def test_it_rings_after_the_commit(how, request, tasks, monkeypatch):
    """Other processes needn't look by themselves: each statement rings the doorbell, once."""
    if how == "signals":
        request.getfixturevalue("by_signals")
    heard = []
    monkeypatch.setitem(
        doorbell._listeners, "default", lambda: heard.append(connection.in_atomic_block)
    )
    with transaction.atomic():
        Task.objects.update(done=True)
        Task.objects.bulk_create(fresh("f"))
        Task.objects.filter(code="f")._raw_delete("default")
        assert heard == []
    assert heard == [False]


def test_the_manager_is_a_manager():
    """It gives the queryset, and serves as base manager."""
    assert isinstance(Task.objects, JournalingManager)
    assert isinstance(Task._base_manager.all(), JournalingQuerySet)
    assert Task.objects.update.alters_data
