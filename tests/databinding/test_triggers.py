"""Triggers: made from the bindings, kept in step by migrate, in force for every program."""

import sqlite3
from contextlib import closing

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations import Migration
from django.test.utils import isolate_apps

from databinding import triggers
from databinding.binding import registry
from databinding.checks import check_triggers
from databinding.models import JournalEntry
from databinding.watching import watches, watches_of
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client
from tests.databinding.programs import other_program
from tests.servers import PATIENCE, command
from tests.shapes.models import Base, Child, Message, Named, Paper, Room, Tag
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

#: How many triggers stand on a watched table.
EACH = 4 if connection.vendor == "postgresql" else 3
#: How many more, on SQLite, for what a REPLACE removes there.
DISPLACING = dict.fromkeys(
    ["talk_integervalue", "shapes_message_tags", "shapes_task"],
    2 if connection.vendor == "sqlite" else 0,
)

#: Of the tests' own apps.
APPS = ("shapes", "talk")
TABLES = {
    ("talk_integervalue", "id", "talk.integervalue"),
    ("shapes_message", "id", "shapes.message"),
    ("shapes_message_tags", "message_id", "shapes.message"),
    ("shapes_paper", "id", "shapes.paper"),
    ("shapes_child", "base_ptr_id", "shapes.child"),
    ("shapes_base", "id", "shapes.child"),
    ("shapes_named", "code", "shapes.named"),
    ("shapes_account", "id", "shapes.account"),
    ("shapes_task", "id", "shapes.task"),
    ("shapes_note", "id", "shapes.note"),
    ("auth_user", "id", "shapes.note:owner__pk"),
}


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def there():
    """Table and name of each trigger."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE NOT tgisinternal ORDER BY pg_trigger.oid"
            )
        else:
            cursor.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'")
        return cursor.fetchall()


@pytest.fixture
def keys():
    """A function that returns the keys journalled since it was last asked."""
    seen = 0

    def since():
        nonlocal seen
        found = list(JournalEntry.objects.filter(id__gt=seen).order_by("id"))
        seen = found[-1].id if found else seen
        return [(one.model, one.key) for one in found]

    since()
    return since


# Where they are


def test_each_bound_table_is_watched():
    """Tables of models, their parents and their many-to-many are watched, each once."""
    found = [
        (watch.table, watch.column, watch.label)
        for watch in watches("default")
        if watch.bound.startswith(APPS)
    ]
    assert sorted(found) == sorted(TABLES)


def test_migrate_installed_them():
    """The test database was made by `migrate`: a trigger for each kind of statement is there."""
    found = [table for table, name in there() if table.startswith(APPS)]
    tables = [table for table, _, _ in TABLES if table.startswith(APPS)]
    each = [(table, EACH + DISPLACING.get(table, 0)) for table in tables]
    assert sorted(found) == sorted(table for table, number in each for _ in range(number))
    assert not triggers.drift("default")


def test_installing_again_changes_nothing(keys):
    """Where all is in step, nothing is made anew and nothing is journalled."""
    before = there()
    assert not triggers.install("default")
    call_command("migrate", verbosity=0)
    assert there() == before
    assert keys() == []


# What they see


def test_statements_journal_their_keys(keys):
    """Insert, update and delete journal the keys of the rows that they touch."""
    one, two = [IntegerValue.objects.create(name=name).pk for name in "ab"]
    label = "talk.integervalue"
    assert keys() == [(label, str(one)), (label, str(two))]
    IntegerValue.objects.update(value=1)
    assert sorted(keys()) == sorted([(label, str(one)), (label, str(two))])
    IntegerValue.objects.filter(pk=one).delete()
    assert keys() == [(label, str(one))]
    IntegerValue.objects.filter(name="none").update(value=2)
    assert keys() == []


def test_a_changed_key_journals_both(keys):
    """An update of the primary key touches the row that is gone and the one that came."""
    Named.objects.create(code="old")
    keys()
    Named.objects.filter(code="old").update(code="new")
    assert sorted(keys()) == [("shapes.named", "new"), ("shapes.named", "old")]


def test_keys_are_journalled_as_the_database_holds_them(keys):
    """A UUID's key is journalled, and read back as the wire has it."""
    from tests.shapes.bindings import PaperBinding

    paper = Paper.objects.create(amount=1)
    ((label, key),) = keys()
    assert label == "shapes.paper"
    assert PaperBinding.key_from_text(key) == str(paper.pk)


def test_many_to_many_journals_the_owner(keys):
    """Rows of a many-to-many's table journal the key of the bound side, from either end."""
    message = Message.objects.create(room=Room.objects.create(name="r"), text="x")
    tag = Tag.objects.create(name="t")
    owner = ("shapes.message", str(message.pk))
    keys()
    message.tags.add(tag)
    assert keys() == [owner]
    tag.message_set.clear()
    assert keys() == [owner]
    message.tags.set([tag])
    tag.delete()
    assert keys() == [owner, owner]


def test_a_parents_row_journals_its_child(keys):
    """A write to a multi-table child's parent is a change of the child."""
    child = Child.objects.create(title="t")
    assert set(keys()) == {("shapes.child", str(child.pk))}
    Base.objects.filter(pk=child.pk).update(title="u")
    assert keys() == [("shapes.child", str(child.pk))]


def test_other_programs_are_seen(keys):
    """What writes to the database without Django is journalled as well."""
    other_program("INSERT INTO talk_integervalue (id, name, value) VALUES (7, 'a', 1)")
    assert keys() == [("talk.integervalue", "7")]


def test_what_is_rolled_back_is_not_journalled(keys):
    """Key and row become visible together, or neither does."""
    with transaction.atomic():
        kept = IntegerValue.objects.create(name="kept")
        with transaction.atomic():
            IntegerValue.objects.create(name="undone")
            transaction.set_rollback(True)
    with transaction.atomic():
        IntegerValue.objects.create(name="undone too")
        transaction.set_rollback(True)
    assert keys() == [("talk.integervalue", str(kept.pk))]


def test_tags_are_random():
    """Each journalled key has a tag of its own, by which another journal is told."""
    IntegerValue.objects.bulk_create(IntegerValue(name=f"n{i}") for i in range(50))
    tags = JournalEntry.objects.values_list("tag", flat=True)
    assert len(set(tags)) == len(tags) >= 50


#: PostgreSQL's adapter in Django takes no percent sign in a table's name.
ODD_NAMES = [
    "odd table's name" if connection.vendor == "postgresql" else "odd table's 100% name",
    "a_table_whose_name_is_as_long_as_ever_a_name_may_be_on_a_server",
    "a_table_whose_name_is_as_long_" + "ü" * 15,
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_table_with_an_odd_name(name, registry_as_it_was, keys):
    """Quotes, blanks and percent signs in a table's name are no matter, nor is its length."""
    with isolate_apps("tests.shapes"):

        class Odd(models.Model):
            class Meta:
                app_label = "shapes"
                db_table = name

            def __str__(self):
                return str(self.pk)

    class OddBinding(WebsocketBinding):
        model = Odd
        fields = "__all__"

    with connection.schema_editor() as editor:
        editor.create_model(Odd)
    try:
        assert len(triggers.install("default").missing) == EACH
        assert not triggers.drift("default")
        keys()
        odd = Odd.objects.create()
        assert keys() == [("shapes.odd", str(odd.pk))]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Odd)
    assert not triggers.drift("default")


# Out of step

NAME = "talk_integervalue_update"


def first_trigger():
    return next(name for _, name in there() if NAME in name)


def drop_trigger(name):
    if connection.vendor == "postgresql":
        execute(f"DROP FUNCTION {name} CASCADE")
    else:
        execute(f"DROP TRIGGER {name}")


def make_trigger(name):
    """One that does nothing."""
    if connection.vendor == "postgresql":
        execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        what = f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    else:
        what = "BEGIN SELECT 1; END"
    execute(f"CREATE TRIGGER {name} AFTER UPDATE ON talk_integervalue {what}")


def drop():
    name = first_trigger()
    drop_trigger(name)
    return "missing", name


def alter():
    name = first_trigger()
    drop_trigger(name)
    make_trigger(name)
    return "differing", name


def leave_over():
    name = "databinding_of_a_binding_that_is_gone"
    make_trigger(name)
    return "stale", name


@pytest.mark.parametrize("meddle", [drop, alter, leave_over])
def test_drift_is_named_and_migrate_ends_it(meddle, capsys, keys):
    """A missing, differing or stale trigger is an error of check, and migrate puts it right."""
    before = sorted(there())
    assert check_triggers(databases=["default"]) == []
    kind, name = meddle()
    (error,) = check_triggers(databases=["default"])
    assert error.id == "databinding.W003"
    assert f"{kind}: {name}" in error.msg
    assert check_triggers(databases=None) == []
    call_command("migrate")
    made = 0 if kind == "stale" else 1
    expected = f"Live data binding: {made} triggers made, {1 - made} dropped on default"
    assert expected in capsys.readouterr().out
    assert sorted(there()) == before
    assert not triggers.drift("default")
    assert check_triggers(databases=["default"]) == []
    # Where one wasn't as it should be, anything may have changed.
    assert keys() == ([] if kind == "stale" else [("talk.integervalue", None)])


def test_migrate_runs_where_triggers_have_drifted(transactional_db):
    """What migrate puts right doesn't keep it from running: as a command, with its checks."""
    drop()
    database = connection.settings_dict["NAME"]
    with command(database, "migrate", settings="tests.settings") as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "databinding.W003" in errors
    assert "Live data binding: 1 triggers made" in printed
    assert not triggers.drift("default")


def test_a_parent_beside_the_primary_key_is_followed(registry_as_it_was):
    """A second parent's rows have keys of their own, by which its children are found."""

    with isolate_apps("tests.shapes"):

        class Twofold(Base, Room):
            class Meta:
                app_label = "shapes"

    class TwofoldBinding(WebsocketBinding):
        model = Twofold
        fields = ["title", "name"]

    label = "shapes.twofold"
    found = [(watch.table, watch.column, watch.label) for watch in watches_of(TwofoldBinding)]
    assert found == [
        ("shapes_twofold", "base_ptr_id", label),
        ("shapes_base", "id", label),
        ("shapes_room", "id", f"{label}:room_ptr__pk"),
    ]


def remake(length):
    """As a migration does on SQLite: a new table, the rows copied, the old one dropped."""
    new = models.CharField(max_length=length, unique=True)
    new.set_attributes_from_name("name")
    new.model = IntegerValue
    with connection.schema_editor() as editor:
        editor.alter_field(IntegerValue, IntegerValue._meta.get_field("name"), new)


@pytest.mark.sqlite
async def test_a_remade_table_gets_its_triggers_back_and_pages_what_they_missed():
    """SQLite drops a remade table's triggers; once they are back, pages are refreshed."""

    @in_database
    def lose_triggers():
        remake(length=120)
        (error,) = check_triggers(databases=["default"])
        assert len(triggers.drift("default").missing) == 5
        assert error.id == "databinding.W003"
        IntegerValue.objects.update(value=5)

    pk = (await in_database(IntegerValue.objects.create)(name="a")).pk
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await lose_triggers()
        assert await client.nothing_comes()
        await in_database(triggers.install)("default")
        await client.until("intval", {pk: {"name": "a", "value": 5}})


def test_uninstall_leaves_none():
    """All triggers of ours can be dropped, and no others are."""
    before = there()
    make_trigger("mine")
    try:
        triggers.uninstall("default")
        assert there() == [("talk_integervalue", "mine")]
    finally:
        drop_trigger("mine")
    assert len(triggers.install("default").missing) == len(before)


# By migrate, on a database of its own


def manage(database, *arguments):
    with command(database, *arguments) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return printed


@pytest.mark.sqlite
def test_migrating_away_and_back(tmp_path):
    """Apps may be migrated in any order, away and back; writes work at every step."""
    database = tmp_path / "db.sqlite3"

    def watched():
        with closing(sqlite3.connect(database)) as db:
            return db.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
            ).fetchone()

    def write(name):
        with closing(sqlite3.connect(database)) as db, db:
            db.execute("INSERT INTO values_integervalue (name, value) VALUES (?, 1)", [name])

    manage(database, "migrate", "databinding")
    assert watched() == (0,)
    made = "triggers made, 0 dropped on default"
    assert made in manage(database, "migrate", "values")
    installed = watched()
    assert installed > (0,)
    write("a")
    manage(database, "migrate", "databinding", "zero")
    assert watched() == (0,)
    write("b")
    assert f"{installed[0]} {made}" in manage(database, "migrate", "databinding")
    write("c")
    with closing(sqlite3.connect(database)) as db:
        journal = db.execute(
            "SELECT key FROM databinding_journal WHERE model = 'values.integervalue'"
        ).fetchall()
    assert journal == [(None,), ("3",)]
    manage(database, "migrate", "values", "zero")
    assert watched() == (0,)


def migrating(app):
    """As `migrate` announces that it begins with this plan."""
    plan = [(Migration("0002", app), False)]
    triggers.loosen_before_migrate(None, using="default", plan=plan)


@pytest.mark.parametrize("how", ["renamed", "dropped"])
def test_migrations_that_write_are_not_in_the_way_of_triggers(how, registry_as_it_was, keys):
    """While an app is migrated, columns that triggers name may go, and rows are written on."""
    with isolate_apps("tests.shapes"):

        class Lot(models.Model):
            code = models.CharField(max_length=10, unique=True)
            name = models.CharField(max_length=10)

            class Meta:
                app_label = "shapes"

            def __str__(self):
                return self.code

        class Bid(models.Model):
            lot = models.ForeignKey(Lot, models.CASCADE)

            class Meta:
                app_label = "shapes"

            def __str__(self):
                return str(self.lot)

    class BidBinding(WebsocketBinding):
        model = Bid
        fields = "__all__"
        watch = ["lot__name", "lot__code"]

    def made():
        return {name for _, name in there() if "_shapes_lot_" in name}

    with connection.schema_editor() as editor:
        editor.create_model(Lot)
        editor.create_model(Bid)
    try:
        triggers.install("default")
        bid = Bid.objects.create(lot=Lot.objects.create(code="a", name="b"))
        keys()
        migrating("elsewhere")
        assert not triggers.drift("default")
        migrating("shapes")
        with connection.schema_editor() as editor:
            old = Lot._meta.get_field("name")
            if how == "renamed":
                new = models.CharField(max_length=10)
                new.set_attributes_from_name("title")
                new.model = Lot
                editor.alter_field(Lot, old, new)
            else:
                editor.remove_field(Lot, old)
        execute("UPDATE shapes_lot SET code = 'c'")
        execute(f"UPDATE shapes_bid SET lot_id = lot_id WHERE id = {bid.pk}")
        assert set(keys()) == {("shapes.bid", None)}
        assert triggers.drift("default")
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Bid)
            editor.delete_model(Lot)
    registry.pop()
    triggers.install("default")
    assert not triggers.drift("default")
    assert not made()
