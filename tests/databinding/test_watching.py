"""What a row depends on besides its own tables: declared by `watch`, followed like its own."""

from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps

from databinding import capture, triggers, watching
from databinding.binding import registry
from databinding.checks import check_bindings
from databinding.models import JournalEntry
from databinding.relay import stop_relays
from databinding.watching import Unwatchable, watches_by, watches_of
from databinding.websockets import WebsocketBinding
from tests.conformance.models import Bar, Coded, Note, Permit, Room, Site, Tag
from tests.databinding.clients import Client, named
from tests.databinding.programs import connect
from tests.shapes.models import Message
from tests.shapes.models import Room as Hall

pytestmark = pytest.mark.django_db(transaction=True)


def binding_of(bound, *fields, **attributes):
    """A binding whose rows everybody sees."""
    attributes = {
        "model": bound,
        "fields": list(fields) or "__all__",
        "group_names": classmethod(lambda cls, instance: ["all"]),
        "has_permission": lambda self, user, action, pk: True,
    } | attributes
    return type(f"{bound.__name__}Binding", (WebsocketBinding,), attributes)


# What a path means


def described(watch):
    columns = None if watch.columns is None else tuple(watch.columns)
    return watch.table.removeprefix("conformance_"), watch.column, watch.label, columns


NOTE = "conformance.note"

PATHS = {
    "room": [("room", "id", f"{NOTE}:room__pk", None)],
    "room__name": [("room", "id", f"{NOTE}:room__pk", ("name",))],
    "room__site": [
        ("room", "id", f"{NOTE}:room__pk", None),
        ("site", "id", f"{NOTE}:room__site__pk", None),
    ],
    "room__site_id": [("room", "id", f"{NOTE}:room__pk", ("site_id",))],
    "room__site__name": [
        ("room", "id", f"{NOTE}:room__pk", ("site_id",)),
        ("site", "id", f"{NOTE}:room__site__pk", ("name",)),
    ],
    "room__notes": [
        ("room", "id", f"{NOTE}:room__pk", None),
        ("note", "room_id", f"{NOTE}:room__pk", None),
    ],
    "tags": [("note_tags", "note_id", NOTE, None), ("tag", "id", f"{NOTE}:tags__pk", None)],
    "tags__name": [
        ("note_tags", "note_id", NOTE, ()),
        ("tag", "id", f"{NOTE}:tags__pk", ("name",)),
    ],
    "readers": [("reading", "note_id", NOTE, None), ("tag", "id", f"{NOTE}:readers__pk", None)],
    "reading__often": [("reading", "note_id", NOTE, ("often",))],
    Permit: [("permit", None, NOTE, None)],
    "conformance.Permit": [("permit", None, NOTE, None)],
}


@pytest.mark.parametrize("entry", PATHS)
def test_what_an_entry_means(entry, registry_as_it_was):
    """Each table on the way is watched, by the value that leads towards the bound model."""
    found = watches_by(binding_of(Note), entry)
    assert [described(watch) for watch in found] == PATHS[entry]


def test_children_of_other_tables_on_the_way(registry_as_it_was):
    """A multi-table child is its parents' tables, too, also where their key is another."""
    with isolate_apps("tests.conformance"):

        class Visit(models.Model):
            bar = models.ForeignKey(Bar, models.CASCADE)
            by_code = models.ForeignKey(Coded, models.CASCADE, to_field="number")

            class Meta:
                app_label = "conformance"

            def __str__(self):
                return str(self.pk)

    label = "conformance.visit"
    found = watches_by(binding_of(Visit), "bar")
    assert {described(watch)[:3] for watch in found} == {
        ("bar", "place_ptr_id", f"{label}:bar__pk"),
        ("place", "id", f"{label}:bar__pk"),
        ("licence", "number", f"{label}:bar__licence_ptr__pk"),
    }
    (watch,) = watches_by(binding_of(Visit), "by_code")
    assert described(watch) == ("coded", "code", f"{label}:by_code__pk", None)


WRONG = {
    "cellar": "Note has no 'cellar'",
    "value": "'value' of Note is a column",
    "room__name__first": "goes on after a column",
    "room__floor": "Room has no 'floor'",
    "conformance.Nothing": "there is no model",
    "": "Note has no ''",
}


@pytest.mark.parametrize("entry", WRONG)
def test_an_entry_that_leads_nowhere_is_named(entry, registry_as_it_was, caplog):
    """databinding.E011: it is named by `check`, and in the log; the others still count."""
    binding = binding_of(Note, watch=[entry, "room"])
    with pytest.raises(Unwatchable, match=WRONG[entry]):
        watches_by(binding, entry)
    (error,) = [one for one in check_bindings() if one.id == "databinding.E011"]
    assert WRONG[entry] in error.msg
    assert error.obj is binding
    assert "room" in [described(watch)[0] for watch in watches_of(binding)]
    assert WRONG[entry] in caplog.text


def test_a_table_on_another_database_is_named(registry_as_it_was):
    """databinding.E011: what another database's journal tells isn't this one's."""
    from tests.elsewhere.models import Value

    binding_of(Note, watch=[Value])
    (error,) = [one for one in check_bindings() if one.id == "databinding.E011"]
    assert "Value isn't on 'default', where Note is." in error.msg


def test_a_composite_primary_key_is_refused(registry_as_it_was):
    """A model without a primary key of one column can't be bound."""
    with isolate_apps("tests.conformance"):

        class Seat(models.Model):
            pk = models.CompositePrimaryKey("row", "number")
            row = models.IntegerField()
            number = models.IntegerField()

            class Meta:
                app_label = "conformance"

            def __str__(self):
                return str(self.pk)

    with pytest.raises(ImproperlyConfigured, match="Seat has a composite primary key"):
        binding_of(Seat)


# What is journalled, and what pages get


@pytest.fixture
def bind(transactional_db):
    """A function that makes a demultiplexer of bindings, with their triggers."""
    before = list(registry)

    def bind(**bindings):
        capture.connect()
        triggers.install("default")
        JournalEntry.objects.all().delete()
        return named(bindings, ["all"])

    yield bind
    stop_relays()
    registry[:] = before
    capture.connect()
    triggers.install("default")


@pytest.fixture
def tables(bind):
    """Tables of the sites, rooms and notes."""
    made = [Site, Room, Tag, Note]
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


def journalled():
    found = JournalEntry.objects.order_by("id").values_list("model", "key")
    keys = list(dict.fromkeys(found))
    JournalEntry.objects.all().delete()
    return [(label.removeprefix("conformance."), key) for label, key in keys]


def test_only_named_columns_count(bind, tables):
    """With a column at its end a path follows that alone, and the links."""
    bind(note=binding_of(Note, watch=["room__site__name"]))
    site = Site.objects.create(name="house")
    room = Room.objects.create(name="attic", site=site)
    journalled()
    Room.objects.update(name="loft")
    assert journalled() == []
    Site.objects.update(name="house")
    assert journalled() == []
    Site.objects.update(name="villa")
    assert journalled() == [("note:room__site__pk", str(site.pk))]
    Room.objects.update(site=None)
    assert journalled() == [("note:room__pk", str(room.pk))]


def test_a_moved_row_names_both(bind, tables):
    """What moves from one row to another touches both; what belongs to none touches none."""
    bind(site=binding_of(Site, watch=["rooms"]))
    here, there = (Site.objects.create(name=name) for name in ("house", "villa"))
    room = Room.objects.create(name="attic")
    assert [key for label, key in journalled()] == [str(here.pk), str(there.pk)]
    for site, keys in ((here, [here]), (there, [here, there]), (None, [there])):
        room.site = site
        room.save()
        assert sorted(journalled()) == sorted(("site", str(one.pk)) for one in keys)
    Room.objects.all()._raw_delete("default")
    assert journalled() == []


# What pages get


def with_hall(**more):
    """Messages that show the names of their halls."""
    return binding_of(
        Message,
        "text",
        serialize_data=lambda self, instance: {"hall": instance.room.name},
        watch=["room"],
        **more,
    )


@pytest.mark.postgresql
async def test_rows_that_commit_while_the_other_is_written(bind):
    """A row that a writer couldn't see yet shows what that writer changed all the same."""
    demultiplexer = await in_database(bind)(message=with_hall())
    hall = await in_database(Hall.objects.create)(name="old")

    with closing(connect()) as renaming, closing(connect()) as writing:
        async with Client(demultiplexer) as client:
            await client.subscribe("message")
            renaming.execute("UPDATE shapes_room SET name = 'new'")
            writing.execute(
                "INSERT INTO shapes_message (id, room_id, text, hidden) VALUES (1, %s, 'a', false)",
                [hall.pk],
            )
            writing.commit()
            await client.until("message", {1: {"hall": "old"}})
            renaming.commit()
            await client.until("message", {1: {"hall": "new"}})


async def test_who_comes_back_is_told_of_other_rows_too(bind):
    """A resumed subscription gets the rows that show what has changed elsewhere, and no others."""
    demultiplexer = await in_database(bind)(message=with_hall())
    halls = [await in_database(Hall.objects.create)(name=name) for name in "ab"]
    for pk, hall in enumerate((halls[0], halls[0], halls[1]), 1):
        await in_database(Message.objects.create)(pk=pk, room=hall, text="x")
    async with Client(demultiplexer) as client:
        await client.subscribe("message")
        cursor = client.cursors["message"]
    await in_database(Hall.objects.filter(name="a").update)(name="c")
    async with Client(demultiplexer) as client:
        assert await client.subscribe("message", cursor=cursor)
        assert client.rows["message"] == {1: {"hall": "c"}, 2: {"hall": "c"}}


@pytest.mark.parametrize("limit", [2, 1000])
async def test_one_key_for_many_rows(limit, bind):
    """However many rows show it, one change is one key; more than KEY_LIMIT are read as a whole."""
    with override_settings(DATABINDING={"KEY_LIMIT": limit, "BATCH_LIMIT": limit}):
        demultiplexer = await in_database(bind)(message=with_hall())
        hall = await in_database(Hall.objects.create)(name="a")
        await in_database(Message.objects.bulk_create)(
            Message(pk=pk, room=hall, text="x") for pk in range(1, 6)
        )
        async with Client(demultiplexer) as client:
            await client.subscribe("message")
            cursor = client.cursors["message"]
            await in_database(JournalEntry.objects.all().delete)()
            await in_database(Hall.objects.update)(name="b")
            await client.until("message", {pk: {"hall": "b"} for pk in range(1, 6)})
            assert await in_database(JournalEntry.objects.count)() == 1
        async with Client(demultiplexer) as client:
            assert not await client.subscribe("message", cursor=cursor)


async def test_a_path_that_can_not_be_asked_reads_all(bind, monkeypatch):
    """If it can't be found out which rows depend on a change, all that pages show are read."""
    demultiplexer = await in_database(bind)(message=with_hall())
    hall = await in_database(Hall.objects.create)(name="a")
    await in_database(Message.objects.create)(pk=1, room=hall, text="x")
    async with Client(demultiplexer) as client:
        await client.subscribe("message")
        monkeypatch.setattr(watching, "_owners", lambda *arguments: 1 / 0)
        await in_database(Hall.objects.update)(name="b")
        await client.until("message", {1: {"hall": "b"}})


async def test_groups_by_another_table(bind):
    """`group_names` may look at a watched row: who may see its rows changes with it."""
    message = binding_of(
        Message,
        "text",
        watch=["room__name"],
        group_names=classmethod(lambda cls, instance: [instance.room.name]),
    )
    await in_database(bind)(message=message)
    hall = await in_database(Hall.objects.create)(name="a")
    await in_database(Message.objects.create)(pk=1, room=hall, text="x")
    async with (
        Client(named({"message": message}, ["a"])) as one,
        Client(named({"message": message}, ["b"])) as other,
    ):
        await one.subscribe("message")
        await other.subscribe("message")
        assert one.rows["message"] == {1: {"text": "x"}}
        await in_database(Hall.objects.update)(name="b")
        await one.until("message", {})
        await other.until("message", {1: {"text": "x"}})


@pytest.mark.sqlite
def test_tables_that_others_depend_on_can_be_remade(bind, tables):
    """No trigger names another table than its own: migrations may remake each of them."""
    bind(
        note=binding_of(Note, watch=["room__site", "tags"]),
        site=binding_of(Site, watch=["rooms__notes"]),
    )
    for model in (Note, Room, Site, Tag):
        new = models.CharField(max_length=50)
        new.set_attributes_from_name("name")
        new.model = model
        with connection.schema_editor() as editor:
            editor.alter_field(model, model._meta.get_field("name"), new)
    assert triggers.drift("default").missing
    triggers.install("default")
    assert not triggers.drift("default")
