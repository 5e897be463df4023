"""The kinds of writes: a row of the table for each.

    @write("Rows", "`save()` of a new row")
    def save_new(rows):
        Note.objects.create(name="new", room=rows.room)

Each begins with the rows of `begin`, and changes something that a page shows.
"""

import tempfile
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import NamedTuple

from django.core.management import call_command
from django.core.serializers import serialize
from django.db import connection, connections, transaction
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import F
from django.forms import modelform_factory

import databinding
from tests.databinding.programs import connect, other_program, shell_program

from .models import (
    MODELS,
    Bar,
    Cafe,
    Coded,
    Elsewhere,
    Job,
    Leaf,
    Letter,
    Licence,
    Measure,
    Metal,
    Note,
    Paper,
    Permit,
    Pinned,
    Place,
    Reading,
    Room,
    Site,
    Tag,
    Tree,
)


class Write(NamedTuple):
    """`only`: the vendor of the one database that has it."""

    section: str
    name: str
    do: Callable[[SimpleNamespace], object]
    only: str | None = None


WRITES = []

#: Sections; the writes of `DEPENDENT` are shown by other rows.
BY_ITSELF = "What the database does by itself"
PLACES = "Partitions and schemas"
DEPENDENT = "Other tables, by `watch`"
JOURNALING = "Many rows at once, through a `JournalingManager`"


def write(section, name, *, only=None):
    """Make a function a row of the table."""

    def add(do):
        WRITES.append(Write(section, name, do, only))
        return do

    return add


@transaction.atomic
def begin():
    """The rows that there are before each write."""
    for model in (Note.tags.through, *reversed(MODELS)):
        model.objects.all()._raw_delete("default")
    rows = SimpleNamespace()
    rows.site = Site.objects.create(name="house")
    rows.room = Room.objects.create(name="attic", site=rows.site)
    rows.other_room = Room.objects.create(name="cellar")
    rows.tag, rows.other_tag = (Tag.objects.create(name=name) for name in ("red", "blue"))
    rows.note = Note.objects.create(name="first", room=rows.room)
    rows.other_note = Note.objects.create(name="second", room=rows.room)
    rows.note.tags.add(rows.tag)
    # Of another note: what becomes of one table is to tell nothing of the other.
    rows.reading = Reading.objects.create(note=rows.other_note, reader=rows.other_tag)
    rows.cafe = Cafe.objects.create(name="Central")
    rows.place = Place.objects.create(name="park")
    rows.bar = Bar.objects.create(name="Blue", number="n1", holder="Ann")
    for name in ("open", "sealed"):
        Letter.objects.create(name=name)
    Permit.objects.create(name="open")
    rows.tree = Tree.objects.create(name="oak")
    Leaf.objects.create(pk=1, name="one", tree=rows.tree)
    Leaf.objects.create(pk=2, name="two", beside=rows.tree)
    for pk, value in enumerate((1, 2, 11), 1):
        Measure.objects.create(pk=pk, name="m", value=value)
    Elsewhere.objects.create(pk=1, name="there")
    Metal.objects.create(pk=1, name="gold")
    if connection.vendor == "postgresql":
        sql("INSERT INTO conformance_iron VALUES (2, 'iron')")
    rows.jobs = [Job.objects.create(number=number, room=rows.room) for number in (1, 2, 3)]
    rows.paper = Paper.objects.create(name="daily")
    rows.coded, rows.other_coded = (
        Coded.objects.create(code=code, number=number) for code, number in (("a", 1), ("b", 2))
    )
    return rows


def sql(statement, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


# Rows


@write("Rows", "`save()` of a new row")
def save_new(rows):
    Note.objects.create(name="new", room=rows.room)


@write("Rows", "`save()`")
def save(rows):
    rows.note.value = 1
    rows.note.save()


@write("Rows", "`save(update_fields=…)`")
def save_one_field(rows):
    rows.note.value = 1
    rows.note.save(update_fields=["value"])


@write("Rows", "`save()` of an `F()` expression")
def save_expression(rows):
    rows.note.value = F("value") + 1
    rows.note.save()


@write("Rows", "`delete()`")
def delete(rows):
    rows.note.delete()


@write("Rows", "`get_or_create()`, `update_or_create()`")
def update_or_create(rows):
    Note.objects.get_or_create(name="third", defaults={"room": rows.room})
    Note.objects.update_or_create(name="first", defaults={"value": 3})


@write("Rows", "a foreign key's manager: `add(bulk=False)`")
def add_to_manager(rows):
    rows.other_room.notes.add(rows.note, bulk=False)


@write("Rows", "a foreign key's manager: `add()`")
def add_to_manager_in_bulk(rows):
    rows.other_room.notes.add(rows.note)


@write("Rows", "`loaddata`")
def load_data(rows):
    rows.note.value = 4
    fixture = serialize("json", [rows.note])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(fixture)
        file.flush()
        call_command("loaddata", file.name, verbosity=0)


@write("Rows", "the admin, or a form: `ModelForm.save()`")
def model_form(rows):
    form = modelform_factory(Paper, fields=["name"])({"name": "weekly"}, instance=rows.paper)
    form.save()


@write("Rows", "in a savepoint, kept beside one that is undone")
def savepoints(rows):
    class Undo(Exception):
        pass

    with transaction.atomic():
        for name, undone in (("kept", False), ("undone", True)):
            try:
                with transaction.atomic():
                    Note.objects.create(name=name, room=rows.room)
                    if undone:
                        raise Undo
            except Undo:
                pass


# Many rows at once


@write("Many rows at once", "`QuerySet.update()`")
def update(rows):
    Note.objects.update(value=F("value") + 1)


@write("Many rows at once", "`QuerySet.delete()`")
def delete_queryset(rows):
    Note.objects.all().delete()


@write("Many rows at once", "a fast delete: `_raw_delete()`")
def raw_delete(rows):
    Paper.objects.all()._raw_delete("default")


@write("Many rows at once", "`bulk_create()`")
def bulk_create(rows):
    Note.objects.bulk_create(Note(name=name, room=rows.room) for name in "xyz")


@write("Many rows at once", "`bulk_create(ignore_conflicts=True)`")
def ignore_conflicts(rows):
    Coded.objects.bulk_create(
        [Coded(code="a", name="ignored"), Coded(code="c", name="new")], ignore_conflicts=True
    )


@write("Many rows at once", "`bulk_create(update_conflicts=True)`")
def update_conflicts(rows):
    Coded.objects.bulk_create(
        [Coded(code="a", name="again"), Coded(code="c", name="new")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["code"],
    )


@write("Many rows at once", "`bulk_update()`")
def bulk_update(rows):
    rows.note.value = rows.other_note.value = 5
    Note.objects.bulk_update([rows.note, rows.other_note], ["value"])


@write("Many rows at once", "a cascade, by Django")
def cascade(rows):
    rows.room.delete()


# Many rows at once, through a JournalingManager


@write(JOURNALING, "`update()` through it")
def journalled_update(rows):
    Job.objects.filter(number__lt=3).update(number=F("number") + 10)


@write(JOURNALING, "`update()` of a primary key through it")
def journalled_key(rows):
    Job.objects.filter(number=1).update(id=4711)


@write(JOURNALING, "`bulk_update()` through it")
def journalled_bulk_update(rows):
    for job in rows.jobs:
        job.name = "changed"
    Job.objects.bulk_update(rows.jobs, ["name"])


@write(JOURNALING, "`bulk_create()` through it")
def journalled_bulk_create(rows):
    Job.objects.bulk_create(Job(number=number) for number in (7, 8))


@write(JOURNALING, "`bulk_create(ignore_conflicts=True)` through it")
def journalled_ignore_conflicts(rows):
    Job.objects.bulk_create([Job(number=1, name="ignored"), Job(number=7)], ignore_conflicts=True)


@write(JOURNALING, "`bulk_create(update_conflicts=True)` through it")
def journalled_update_conflicts(rows):
    Job.objects.bulk_create(
        [Job(number=1, name="again"), Job(number=7)],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["number"],
    )


@write(JOURNALING, "a fast delete, `_raw_delete()`, through it")
def journalled_raw_delete(rows):
    Job.objects.filter(number=2)._raw_delete("default")


@write(JOURNALING, "as base manager: a foreign key's manager: `add()`, `remove()`, `clear()`")
def journalled_relation(rows):
    rows.other_room.jobs.add(rows.jobs[0])
    rows.room.jobs.remove(rows.jobs[1])
    rows.room.jobs.clear()


@write(JOURNALING, "as base manager: a foreign key's SET_NULL, by Django")
def journalled_set_null(rows):
    rows.room.delete()


# Many-to-many


@write("Many-to-many", "`add()`")
def m2m_add(rows):
    rows.note.tags.add(rows.other_tag)


@write("Many-to-many", "`remove()`")
def m2m_remove(rows):
    rows.note.tags.remove(rows.tag)


@write("Many-to-many", "`set()`")
def m2m_set(rows):
    rows.note.tags.set([rows.other_tag])


@write("Many-to-many", "`clear()`")
def m2m_clear(rows):
    rows.note.tags.clear()


@write("Many-to-many", "`create()` of a related row")
def m2m_create(rows):
    rows.note.tags.create(name="green")


@write("Many-to-many", "from the other side: `add()`")
def m2m_add_from_there(rows):
    rows.other_tag.notes.add(rows.note)


@write("Many-to-many", "from the other side: `remove()`")
def m2m_remove_from_there(rows):
    rows.tag.notes.remove(rows.note)


@write("Many-to-many", "from the other side: `set()`")
def m2m_set_from_there(rows):
    rows.tag.notes.set([rows.other_note])


@write("Many-to-many", "from the other side: `clear()`")
def m2m_clear_from_there(rows):
    rows.tag.notes.clear()


@write("Many-to-many", "`through.objects.create()`")
def through_create(rows):
    Note.tags.through.objects.create(note=rows.note, tag=rows.other_tag)


@write("Many-to-many", "`through.objects.delete()`")
def through_delete(rows):
    Note.tags.through.objects.all().delete()


@write("Many-to-many", "deletion of the related row")
def m2m_delete_related(rows):
    rows.tag.delete()


@write("Many-to-many", "a `through` model: `create()`")
def custom_through_create(rows):
    Reading.objects.create(note=rows.note, reader=rows.tag)


@write("Many-to-many", "a `through` model: `update()` to another owner")
def custom_through_moves(rows):
    Reading.objects.update(note=rows.note)


@write("Many-to-many", "a `through` model: `QuerySet.delete()`")
def custom_through_delete(rows):
    Reading.objects.all().delete()


@write("Many-to-many", "a `through` model: `add()`")
def custom_through_add(rows):
    rows.note.readers.add(rows.other_tag, through_defaults={"often": 2})


# Shapes of models


@write("Shapes of models", "a proxy's `save()`")
def proxy_save(rows):
    proxy = Pinned.objects.get(pk=rows.note.pk)
    proxy.value = 7
    proxy.save()


@write("Shapes of models", "a multi-table child's `save()`")
def child_save(rows):
    rows.cafe.name, rows.cafe.seats = "Corner", 3
    rows.cafe.save()


@write("Shapes of models", "a multi-table child's `update()` of its parent's column")
def child_update(rows):
    Cafe.objects.update(name="Corner")


@write("Shapes of models", "a multi-table child's `delete()`")
def child_delete(rows):
    rows.cafe.delete()


@write("Shapes of models", "a multi-table child's `delete(keep_parents=True)`")
def child_delete_alone(rows):
    rows.cafe.delete(keep_parents=True)


@write("Shapes of models", "a parent's row that is a child, `save()`")
def parent_save(rows):
    parent = Place.objects.get(pk=rows.cafe.pk)
    parent.name = "Corner"
    parent.save()


@write("Shapes of models", "a parent's row that is a child, `delete()`")
def parent_delete(rows):
    Place.objects.get(pk=rows.cafe.pk).delete()


@write("Shapes of models", "a UUID as primary key: `update()`")
def uuid_update(rows):
    Paper.objects.update(name="weekly")


@write("Shapes of models", "a primary key that changes: `update()`")
def key_changes(rows):
    Coded.objects.filter(code="a").update(code="z")


@write("Shapes of models", "a primary key that changes: `save()` as another row, `delete()`")
def key_changes_by_saving(rows):
    with transaction.atomic():
        Coded.objects.get(code="a").delete()
        Coded.objects.create(code="z", number=1)


@write("Shapes of models", "a second parent's row of a multi-table child: `save()`")
def second_parent_save(rows):
    licence = Licence.objects.get(number="n1")
    licence.holder = "Bob"
    licence.save()


@write("Shapes of models", "a second parent's row of a multi-table child: `update()`")
def second_parent_update(rows):
    Licence.objects.update(holder="Bob")


# Other tables, declared by `watch`


@write(DEPENDENT, '`["room"]`: `save()` of the related row')
def watched_save(rows):
    rows.room.name = "loft"
    rows.room.save()


@write(DEPENDENT, '`["room"]`: `update()` of related rows')
def watched_update(rows):
    Room.objects.update(name="loft")


@write(DEPENDENT, '`["room__site"]`: `save()` two steps away')
def watched_two_steps(rows):
    rows.site.name = "villa"
    rows.site.save()


@write(DEPENDENT, '`["room__site"]`: the link in between changes')
def watched_link(rows):
    rows.room.site = Site.objects.create(name="villa")
    rows.room.save()


@write(DEPENDENT, '`["room__site"]`: the row two steps away is deleted, SET NULL')
def watched_two_steps_deleted(rows):
    rows.site.delete()


@write(DEPENDENT, '`["notes"]`: a row comes')
def counted_create(rows):
    Note.objects.create(name="new", room=rows.other_room)


@write(DEPENDENT, '`["notes"]`: a row goes')
def counted_delete(rows):
    rows.note.delete()


@write(DEPENDENT, '`["notes"]`: a row moves, by `save()`')
def counted_moves(rows):
    rows.note.room = rows.other_room
    rows.note.save()


@write(DEPENDENT, '`["notes"]`: rows move, by `update()`')
def counted_move(rows):
    Note.objects.update(room=rows.other_room)


@write(DEPENDENT, '`["notes"]` over a many-to-many: `add()`')
def counted_add(rows):
    rows.other_note.tags.add(rows.tag)


@write(DEPENDENT, '`["notes"]` over a many-to-many: `clear()` of the other side')
def counted_clear(rows):
    rows.note.tags.clear()


@write(DEPENDENT, '`["tags__name"]` over a many-to-many: `save()`')
def watched_tag(rows):
    rows.tag.name = "pink"
    rows.tag.save()


@write(DEPENDENT, '`["rooms__notes"]`: a row comes two steps away')
def counted_two_steps(rows):
    Note.objects.create(name="new", room=rows.room)


@write(DEPENDENT, "a model: a row comes")
def watched_model_create(rows):
    Permit.objects.create(name="sealed")


@write(DEPENDENT, "a model: `update()`")
def watched_model_update(rows):
    Permit.objects.update(name="sealed")


@write(DEPENDENT, "a model: `QuerySet.delete()`")
def watched_model_delete(rows):
    Permit.objects.all().delete()


# SQL


@write("SQL", "`UPDATE`, then `databinding.touch(queryset)`")
def touched_queryset(rows):
    with transaction.atomic():
        sql("UPDATE conformance_note SET value = 8 WHERE value = 0")
        databinding.touch(Note.objects.filter(value=8))


@write("SQL", "`DELETE`, then `databinding.touch(row)`")
def touched_row(rows):
    sql("DELETE FROM conformance_job")
    for job in rows.jobs:
        databinding.touch(job)


@write("SQL", "`UPDATE`")
def sql_update(rows):
    sql("UPDATE conformance_note SET value = 8 WHERE value = 0")


@write("SQL", "`INSERT … SELECT`")
def sql_insert(rows):
    sql("INSERT INTO conformance_tag (name) SELECT name FROM conformance_room")
    sql(
        "INSERT INTO conformance_note (name, room_id, value) "
        "SELECT name, room_id, 9 FROM conformance_note"
    )


@write("SQL", "`INSERT … ON CONFLICT DO UPDATE`")
def sql_upsert(rows):
    sql(
        "INSERT INTO conformance_coded (code, name, number) VALUES ('a', 'upserted', 1) "
        "ON CONFLICT (number) DO UPDATE SET name = excluded.name"
    )


@write("SQL", "`WITH … AS (DELETE … RETURNING …) INSERT`", only="postgresql")
def sql_with(rows):
    sql(
        "WITH gone AS (DELETE FROM conformance_coded RETURNING *) "
        "INSERT INTO conformance_paper (id, name) SELECT gen_random_uuid(), code FROM gone"
    )


@write("SQL", "`TRUNCATE`", only="postgresql")
def truncate(rows):
    sql("TRUNCATE conformance_note CASCADE")


@write("SQL", "`COPY … FROM`", only="postgresql")
def copy(rows):
    with closing(connect()) as other:
        with (
            other.cursor() as cursor,
            cursor.copy("COPY conformance_coded (code, name) FROM STDIN") as copying,
        ):
            copying.write("x\tcopied\ny\tcopied\n")
        other.commit()


@write("SQL", "another program's `UPDATE`")
def another_program(rows):
    connections.close_all()
    other_program("UPDATE conformance_note SET value = 10")


@write("SQL", "`psql`, `sqlite3`: the database's own shell")
def shell(rows):
    shell_program("UPDATE conformance_note SET value = 11 WHERE name = 'first'")


@write("SQL", "`REPLACE`, which removes another row", only="sqlite")
def replace(rows):
    sql("REPLACE INTO conformance_coded (code, name, number) VALUES ('z', 'new', 1)")


@write("SQL", "`UPDATE OR REPLACE`, which removes another row", only="sqlite")
def update_or_replace(rows):
    sql("UPDATE OR REPLACE conformance_coded SET number = 1 WHERE code = 'b'")


@write("SQL", "two-phase commit: `COMMIT PREPARED`", only="postgresql")
def prepared(rows):
    with closing(connect(autocommit=True)) as other:
        for statement in (
            "BEGIN",
            "UPDATE conformance_note SET value = 12",
            "PREPARE TRANSACTION 'conformance'",
            "COMMIT PREPARED 'conformance'",
        ):
            other.execute(statement)


@write("SQL", "in a migration: `save()` of a historical model")
def migration(rows):
    state = ProjectState()
    state.add_model(ModelState.from_model(Paper))
    paper = state.apps.get_model("conformance", "Paper").objects.get()
    paper.name = "weekly"
    paper.save()


@write("SQL", "past the triggers: `session_replication_role = replica`", only="postgresql")
def past_the_triggers(rows):
    other_program(
        "SET session_replication_role = replica", "UPDATE conformance_note SET value = 13"
    )


# What the database does by itself


@write(BY_ITSELF, "`ON DELETE CASCADE`")
def database_cascade(rows):
    with transaction.atomic():
        sql("UPDATE conformance_leaf SET beside_id = NULL")
        sql("DELETE FROM conformance_tree")


@write(BY_ITSELF, "`ON DELETE SET NULL`")
def database_set_null(rows):
    with transaction.atomic():
        sql("UPDATE conformance_leaf SET tree_id = NULL")
        sql("DELETE FROM conformance_tree")


@write(BY_ITSELF, "`ON UPDATE CASCADE`")
def database_update_cascade(rows):
    with transaction.atomic():
        sql("UPDATE conformance_leaf SET beside_id = NULL")
        sql("UPDATE conformance_tree SET id = id + 1000")


@write(BY_ITSELF, "a trigger of the project's own")
def trigger_of_ones_own(rows):
    update = "UPDATE conformance_note SET value = 14;"
    if connection.vendor == "sqlite":
        sql(f"CREATE TRIGGER own AFTER INSERT ON conformance_tree BEGIN {update} END")
        rest = ["DROP TRIGGER own"]
    else:
        sql(
            "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {update} RETURN NULL; END $$; "
            "CREATE TRIGGER own AFTER INSERT ON conformance_tree EXECUTE FUNCTION own()"
        )
        rest = ["DROP FUNCTION own CASCADE"]
    sql("INSERT INTO conformance_tree (name) VALUES ('elm')")
    sql(*rest)


# Tables in parts and places


@write(PLACES, "a partitioned table: `update()`", only="postgresql")
def partitioned_update(rows):
    Measure.objects.update(name="n")


@write(PLACES, "a row that moves to another partition", only="postgresql")
def partition_left(rows):
    Measure.objects.filter(pk=1).update(value=12)


@write(PLACES, "a partition itself: `UPDATE`", only="postgresql")
def partition_update(rows):
    sql("UPDATE conformance_low SET name = 'n'")


@write(PLACES, "a partition itself: `TRUNCATE`", only="postgresql")
def partition_truncate(rows):
    sql("TRUNCATE conformance_low")


@write(PLACES, "a partition attached since: `INSERT`", only="postgresql")
def partition_attached(rows):
    sql("CREATE TABLE conformance_later (LIKE conformance_measure)")
    sql(
        "ALTER TABLE conformance_measure "
        "ATTACH PARTITION conformance_later FOR VALUES FROM (20) TO (30)"
    )
    sql("INSERT INTO conformance_later VALUES (9, 'n', 25)")


@write(PLACES, "a table in another schema: `update()`", only="postgresql")
def other_schema(rows):
    Elsewhere.objects.update(name="here")


@write(PLACES, "a table that inherits (`INHERITS`): `INSERT`", only="postgresql")
def heir_insert(rows):
    sql("INSERT INTO conformance_iron VALUES (3, 'steel')")


@write(PLACES, "its parent, which shows its rows as well: `update()`", only="postgresql")
def heir_update(rows):
    Metal.objects.update(name="rust")


@write(PLACES, "a table that inherits since the last `migrate`: `INSERT`", only="postgresql")
def later_heir(rows):
    sql("CREATE TABLE conformance_tin () INHERITS (conformance_metal)")
    sql("INSERT INTO conformance_tin VALUES (4, 'tin')")
