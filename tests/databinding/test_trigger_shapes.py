"""Triggers on tables of every shape: what the database does by itself is seen as well."""

import uuid
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test.utils import isolate_apps

from databinding import capture, triggers
from databinding.binding import registry
from databinding.checks import check_triggers
from databinding.models import JournalEntry
from databinding.relay import stop_relays
from databinding.serializers import key_said
from databinding.triggers.sqlite import parts_of_index
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, named
from tests.databinding.programs import connect, other_program
from tests.databinding.test_writes import actions

pytestmark = pytest.mark.django_db(transaction=True)


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def bind(bound, **attributes):
    """Have triggers on a model's table."""
    type("SomeBinding", (WebsocketBinding,), {"model": bound, "fields": "__all__"} | attributes)
    triggers.install("default")
    JournalEntry.objects.all().delete()


def keys():
    """The keys journalled since this was last asked, as a set."""
    found = set(JournalEntry.objects.values_list("key", flat=True))
    JournalEntry.objects.all().delete()
    return found


def model_of(table, key=models.AutoField, **more):
    """A model of a table that is there."""
    with isolate_apps("tests.shapes"):
        meta = type("Meta", (), {"app_label": "shapes", "db_table": table, "managed": False})
        body = {"__module__": __name__, "Meta": meta, "id": key(primary_key=True)} | more
        return type("Thing", (models.Model,), body)


@pytest.fixture(autouse=True)
def as_it_was(transactional_db):
    """Bindings, tables and schemas that a test makes are gone after it."""
    before = list(registry)
    made = []
    yield made
    registry[:] = before
    capture.connect()
    execute(*made[::-1])
    triggers.install("default")


@pytest.fixture
def make(as_it_was):
    """A function that makes a table, which is dropped after the test."""

    def make(name, columns, *more):
        execute(f"CREATE TABLE {name} ({columns})", *more)
        as_it_was.append(f"DROP TABLE {name}")

    return make


# What the database does by itself


ACTIONS = {
    "CASCADE": "gone",
    "SET NULL": "changed",
    "SET DEFAULT": "changed",
}


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_of_foreign_keys_are_seen(action, make):
    """What ON DELETE and ON UPDATE do to a bound table journals its rows."""
    make("owner", "id integer PRIMARY KEY")
    make(
        "thing",
        "id integer PRIMARY KEY, owner integer DEFAULT NULL "
        f"REFERENCES owner ON DELETE {action} ON UPDATE CASCADE",
    )
    bind(model_of("thing"))
    execute("INSERT INTO owner VALUES (1), (2)")
    execute("INSERT INTO thing VALUES (1, 1), (2, 1), (3, 2), (4, NULL)")
    assert keys() == {"1", "2", "3", "4"}
    with transaction.atomic():
        execute("DELETE FROM owner WHERE id = 1")
    assert keys() == {"1", "2"}
    with transaction.atomic():
        execute("UPDATE owner SET id = 5 WHERE id = 2")
    assert keys() == {"3"}


def owned_by(action):
    """Two models of which one refers to the other, by a constraint with this action."""
    on_delete = getattr(models, f"DB_{action.replace(' ', '_')}", None)
    by_django = on_delete is not None  # 6.1 and newer make such constraints by themselves.
    options = {"db_default": None} if by_django and action == "SET DEFAULT" else {}
    with isolate_apps("tests.shapes"):

        class Owner(models.Model):
            class Meta:
                app_label = "shapes"
                db_table = "owner"

            def __str__(self):
                return str(self.pk)

        class Thing(models.Model):
            owner = models.ForeignKey(
                Owner, on_delete if by_django else models.DO_NOTHING, null=True, **options
            )

            class Meta:
                app_label = "shapes"
                db_table = "thing"

            def __str__(self):
                return str(self.pk)

    return Owner, Thing, by_django


@pytest.mark.parametrize("action", ACTIONS)
def test_deletion_that_a_model_leaves_to_the_database(action, make, as_it_was):
    """`on_delete=DB_CASCADE` and its like, or by hand before Django had them: the rows are seen."""
    owner, thing, by_django = owned_by(action)
    if by_django:
        for model in (owner, thing):
            with connection.schema_editor() as editor:
                editor.create_model(model)
            as_it_was.append(f"DROP TABLE {model._meta.db_table}")
    else:
        make("owner", "id integer PRIMARY KEY")
        make(
            "thing",
            "id integer PRIMARY KEY, "
            f"owner_id integer DEFAULT NULL REFERENCES owner ON DELETE {action}",
        )
    bind(thing)
    owners = [owner.objects.create(pk=number) for number in (1, 2)]
    for number, one in enumerate([owners[0], owners[0], owners[1]], 1):
        thing.objects.create(pk=number, owner=one)
    assert keys() == {"1", "2", "3"}
    owners[0].delete()
    assert keys() == {"1", "2"}
    owner.objects.all().delete()
    assert keys() == {"3"}
    gone = thing.objects.count() == 0
    assert gone is (ACTIONS[action] == "gone")


def test_a_user_of_djangos_own(as_it_was):
    """A model of another app is bound without touching it, with its groups and permissions."""
    bind(User, fields=["username", "groups", "user_permissions"])
    user = User.objects.create_user("ann")
    assert keys() == {str(user.pk)}
    group = user.groups.create(name="staff")
    assert keys() == {str(user.pk)}
    group.delete()
    assert keys() == {str(user.pk)}
    User.objects.update(last_name="Lee")
    assert keys() == {str(user.pk)}


class Prefixed(models.UUIDField):
    """A key that Python knows by another form than the database."""

    def from_db_value(self, value, expression, connection):
        return value and f"thing-{super().to_python(value)}"

    def to_python(self, value):
        if isinstance(value, str) and not value.startswith("thing-"):
            raise ValueError(value)
        return value

    def get_db_prep_value(self, value, connection, prepared=False):
        return super().get_db_prep_value(
            models.UUIDField.to_python(self, str(value).removeprefix("thing-")), connection
        )


def test_a_key_of_a_field_of_ones_own(make):
    """A key that a field converts is journalled as the database has it, and read as Python does."""
    native = connection.features.has_native_uuid_field
    make("thing", f"id {'uuid' if native else 'char(32)'} PRIMARY KEY")
    bind(model_of("thing", Prefixed))
    execute("INSERT INTO thing VALUES ('0123456789abcdef0123456789abcdef')")
    (key,) = keys()
    binding = registry[-1]
    (thing,) = binding.model._base_manager.all()
    assert binding.key(thing) == "thing-01234567-89ab-cdef-0123-456789abcdef"
    assert binding.key_from_text(key) == binding.key(thing)
    assert binding.text_from_key(binding.key(thing)) == (str(uuid.UUID(key)) if native else key)


def test_a_create_by_a_key_of_a_field_of_ones_own(make):
    """What was created under an idempotency key is found by it, whatever form its own key has."""
    native = connection.features.has_native_uuid_field
    make("thing", f"id {'uuid' if native else 'char(32)'} PRIMARY KEY, name varchar(9)")
    made = "thing-01234567-89ab-cdef-0123-456789abcdef"
    key = partial(Prefixed, default=lambda: made)
    bound = model_of("thing", key, name=models.CharField(max_length=9))
    bind(
        bound,
        fields=["name"],
        group_names=classmethod(lambda cls, instance: ["halls"]),
        has_permission=lambda self, user, action, pk: True,
    )
    door = actions(registry[-1])
    first, again = (door.create({"name": "a"}, "k" * 20) for _ in range(2))
    assert first == again == (made, {"name": "a"})
    assert bound._base_manager.count() == 1


#: A field for each kind of key, and keys that a database writes otherwise than Python does.
KINDS = {
    "address": (models.GenericIPAddressField, ["10.0.0.1", "::1", "2001:db8::ff"]),
    "date": (models.DateField, [date(2026, 2, 1)]),
    "number": (
        partial(models.DecimalField, max_digits=6, decimal_places=2),
        [Decimal("1.50"), Decimal("2.00"), Decimal("-0.10")],
    ),
    "text": (partial(models.CharField, max_length=9), ["a ", "5", "ü", "'"]),
    "time": (
        models.DateTimeField,
        [datetime(2026, 2, 1, 3, 4, 5, microsecond, tzinfo=UTC) for microsecond in (0, 120)],
    ),
    "time of day": (models.TimeField, [time(3, 4, 5), time(3, 4, 5, 120)]),
    "uuid": (models.UUIDField, [uuid.UUID(int=7)]),
    "whole number": (models.BigIntegerField, [2**62, -5]),
}


@pytest.mark.parametrize(
    "partitions",
    [
        [],
        pytest.param(
            ["CREATE TABLE thing_1 PARTITION OF thing FOR VALUES WITH (MODULUS 1, REMAINDER 0)"],
            marks=pytest.mark.postgresql,
        ),
    ],
    ids=["one table", "partitions"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_kind(kind, partitions, as_it_was):
    """A key is read from the journal as rows have it, in whatever style its writer's dates are:
    else nobody would be told that a row is gone."""
    field, values = KINDS[kind]
    bound = model_of("thing", field, value=models.IntegerField(default=0))
    columns = f"id {bound._meta.pk.db_type(connection)} PRIMARY KEY, value integer"
    hashed = " PARTITION BY HASH (id)" if partitions else ""
    execute(f"CREATE TABLE thing ({columns}){hashed}", *partitions)
    as_it_was.append("DROP TABLE thing")
    bind(bound)
    binding = registry[-1]
    for value in values:
        row = bound._base_manager.create(id=value)
        row.refresh_from_db()
        (key,) = keys()
        assert binding.key_from_text(key) == binding.key(row)
        assert binding.key_from_text(binding.text_from_key(binding.key(row))) == binding.key(row)
        there = bound._base_manager.filter(pk__in=[binding.key(row)])
        assert [binding.key(one) for one in there] == [binding.key(row)]
        with closing(connect()) as other:
            if connection.vendor == "postgresql":
                other.execute("SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'")
            for statement in ("UPDATE thing SET value = value + 1", "DELETE FROM thing"):
                other.execute(statement)
                other.commit()
                (key,) = keys()
                assert binding.key_from_text(key) == binding.key(row)


@pytest.mark.parametrize(
    ("field", "spelt", "key"),
    [
        (KINDS["number"][0], ["1", "1.0", "01.00"], "1.00"),
        (models.DateTimeField, ["2020-01-01T02:00:00+02:00"], "2020-01-01 00:00:00+00:00"),
        (
            models.UUIDField,
            [str(uuid.UUID(int=7)).upper(), uuid.UUID(int=7).hex],
            str(uuid.UUID(int=7)),
        ),
    ],
)
def test_a_key_is_the_row_s_however_it_is_spelt(field, spelt, key):
    """Who decides by a key may compare it: there are no two spellings of one."""
    bound = model_of("thing", field)
    assert {str(key_said(bound, one)) for one in spelt} == {key}


async def test_keys_that_a_browser_can_not_hold(make):
    """Whole numbers that JavaScript takes for others are strings; rows are found by these."""
    least = 2**53
    bound = model_of("thing", models.BigIntegerField, value=models.IntegerField(default=0))
    permitted = set()

    def has_permission(self, user, action, pk):
        permitted.add(pk)
        return True

    def prepare():
        bind(
            bound,
            fields=["value"],
            group_names=classmethod(lambda cls, instance: ["all"]),
            has_permission=has_permission,
        )
        for pk in (least + 1, least - 1, least, 7, -least):
            bound._base_manager.create(id=pk)

    await database_sync_to_async(make)("thing", "id bigint PRIMARY KEY, value integer")
    await database_sync_to_async(prepare)()
    keys = [7, least - 1, str(-least), str(least), str(least + 1)]
    async with Client(named({"thing": registry[-1]}, ["all"])) as client:
        await client.subscribe("thing")
        assert list(client.rows["thing"]) == keys
        for number, pk in enumerate(keys):
            row = bound._base_manager.filter(pk=int(pk))
            await database_sync_to_async(row.update)(value=number)
            reply = await client.ask("thing", "retrieve", pk=pk)
            assert (reply["pk"], reply["data"]) == (pk, {"value": number})
        reply = await client.ask("thing", "delete", pk=keys[-1])
        assert (reply["pk"], keys.pop()) == (str(least + 1), str(least + 1))
        await database_sync_to_async(bound._base_manager.filter(pk=least).delete)()
        rows = {pk: {"value": number} for number, pk in enumerate(keys) if pk != str(least)}
        await client.until("thing", rows)
        listed = await client.ask("thing", "list", after=str(-least), limit=2)
        assert [row["pk"] for row in listed["data"]] == [7, least - 1]
    stop_relays()
    # Code of the project has them as its rows do.
    assert permitted == {None, 7, least - 1, -least, least, least + 1}


NAMES = ["Upper Case", "schlüssel_ü_日本", "x" * 70, 'with "quotes"', "it's"]


@pytest.mark.parametrize("name", NAMES)
def test_a_tables_name(name, make):
    """Whatever a table is called, its rows are journalled."""
    if '"' in name:
        # Django takes such a name for one that is quoted already.
        name = '"with ""quotes"""'
    bound = model_of(name)
    make(connection.ops.quote_name(name), "id integer PRIMARY KEY")
    bind(bound)
    bound.objects.create(pk=1)
    assert keys() == {"1"}
    assert not triggers.drift("default")


def test_a_view_has_no_triggers(make, as_it_was):
    """databinding.E012: a view may be bound only with the tables that it shows in `watch`."""
    make("thing", "id integer PRIMARY KEY")
    execute("CREATE VIEW things AS SELECT id FROM thing")
    as_it_was.append("DROP VIEW things")
    bind(model_of("things"))
    (error,) = check_triggers(databases=["default"])
    assert error.id == "databinding.E012"
    assert "things isn't a table" in error.msg
    registry.pop()
    bind(model_of("things"), watch=[model_of("thing")])
    assert check_triggers(databases=["default"]) == []
    execute("INSERT INTO thing VALUES (1)")
    assert keys() == {None}


# REPLACE on SQLite

#: Indexes by which a new row ('A', 1) displaces another of these columns.
UNIQUE = {
    "name": "a column",
    "name, number DESC": "columns",
    "name COLLATE NOCASE": "a column, by another collation",
    "lower(name) DESC": "an expression",
    "substr(name || ',)''', 1, 1)": "an expression with a quoted parenthesis",
    "number) WHERE (number > 0": "a column of some rows",
    "twice": "a generated column",
}


@pytest.mark.sqlite
@pytest.mark.parametrize("unique", UNIQUE)
def test_what_a_replace_removes_is_seen(unique, make):
    """REPLACE tells no trigger of the rows that it removes; they are journalled all the same."""
    make(
        "thing",
        "id integer PRIMARY KEY, name text, number integer, "
        "twice integer GENERATED ALWAYS AS (number * 2) VIRTUAL",
        f"CREATE UNIQUE INDEX one ON thing ({unique})",
    )
    bind(model_of("thing"))
    execute("INSERT INTO thing (id, name, number) VALUES (1, 'A', 1), (2, 'b', 2), (3, 'c', 0)")
    assert keys() == {"1", "2", "3"}
    name = "a" if "lower" in unique or "NOCASE" in unique else "A"
    other_program(f"REPLACE INTO thing (id, name, number) VALUES (4, '{name}', 1)")
    assert keys() == {"1", "4"}
    other_program("UPDATE OR REPLACE thing SET name = 'A', number = 1 WHERE id = 2")
    assert keys() == {"4", "2"}
    other_program("UPDATE thing SET id = 9 WHERE id = 2")
    assert keys() == {"2", "9"}


@pytest.mark.sqlite
def test_a_constraint_that_replaces(make):
    """A table may say by itself that rows displace each other."""
    make("thing", "id integer PRIMARY KEY, name text UNIQUE ON CONFLICT REPLACE")
    bind(model_of("thing"))
    execute("INSERT INTO thing VALUES (1, 'a')")
    keys()
    execute("INSERT INTO thing VALUES (2, 'a')")
    assert keys() == {"1", "2"}


@pytest.mark.sqlite
def test_what_a_replace_removes_of_other_tables(make):
    """Rows that go with a replaced one, by ON DELETE CASCADE, are seen."""
    make("owner", "id integer PRIMARY KEY, name text UNIQUE")
    make("thing", "id integer PRIMARY KEY, owner integer REFERENCES owner ON DELETE CASCADE")
    bind(model_of("thing"))
    execute("INSERT INTO owner VALUES (1, 'a')", "INSERT INTO thing VALUES (7, 1)")
    keys()
    execute("REPLACE INTO owner VALUES (2, 'a')")
    assert keys() == {"7"}


@pytest.mark.sqlite
def test_a_key_that_differs_in_its_case_alone(make):
    """Of a key that the column's collation takes for the same, both forms are journalled."""
    make("thing", "id text PRIMARY KEY COLLATE NOCASE")
    bind(model_of("thing", models.TextField))
    execute("INSERT INTO thing VALUES ('a')")
    assert keys() == {"a"}
    execute("UPDATE thing SET id = 'A'")
    assert keys() == {"a", "A"}
    execute("REPLACE INTO thing VALUES ('a')")
    assert keys() == {"a", "A"}


@pytest.mark.parametrize(
    ("sql", "terms", "where"),
    [
        ("CREATE UNIQUE INDEX i ON t (a)", ["a"], ""),
        ('CREATE UNIQUE INDEX "i(" ON "t)" ("a,", b DESC)', ['"a,"', "b"], ""),
        (
            "CREATE UNIQUE INDEX i ON t (f(a, b) asc, c)\n where a > '('",
            ["f(a, b)", "c"],
            "a > '('",
        ),
        ("CREATE UNIQUE INDEX [i (] ON t (a -- (\n, b /* , */)", ["a -- (", "b /* , */"], ""),
    ],
)
def test_parts_of_an_index(sql, terms, where):
    """The terms of an index and its condition are found, whatever is quoted in them."""
    assert parts_of_index(sql) == (terms, where)


# Partitions and schemas on PostgreSQL


PARTITIONED = "id integer, place integer, PRIMARY KEY (id, place)"


@pytest.fixture
def partitioned(as_it_was):
    """A table in two partitions, of which one is partitioned, too."""
    execute(
        f"CREATE TABLE thing ({PARTITIONED}) PARTITION BY LIST (place)",
        "CREATE TABLE thing_1 PARTITION OF thing FOR VALUES IN (1)",
        "CREATE TABLE thing_2 PARTITION OF thing FOR VALUES IN (2) PARTITION BY RANGE (id)",
        "CREATE TABLE thing_2_low PARTITION OF thing_2 FOR VALUES FROM (0) TO (100)",
    )
    as_it_was.append("DROP TABLE thing")
    bind(model_of("thing", place=models.IntegerField()))


@pytest.mark.postgresql
def test_writes_to_a_partitioned_table(partitioned):
    """Each row is seen, whether a statement names the table or a partition, or moves the row."""
    execute("INSERT INTO thing VALUES (1, 1), (2, 2)", "INSERT INTO thing_1 VALUES (3, 1)")
    execute("INSERT INTO thing_2_low VALUES (4, 2)")
    assert keys() == {"1", "2", "3", "4"}
    execute("UPDATE thing SET place = 2 WHERE id = 1")
    assert keys() == {"1"}
    execute("UPDATE thing_2 SET id = 5 WHERE id = 4")
    assert keys() == {"4", "5"}
    execute("DELETE FROM thing_2_low WHERE id = 2")
    assert keys() == {"2"}
    execute("TRUNCATE thing_2")
    assert keys() == {None}
    execute("TRUNCATE thing")
    assert keys() == {None}


@pytest.mark.postgresql
def test_partitions_that_come_and_go(partitioned):
    """A partition that is attached later is watched at once, but for TRUNCATE, until `migrate`."""
    execute("CREATE TABLE thing_3 PARTITION OF thing FOR VALUES IN (3)")
    execute("INSERT INTO thing_3 VALUES (1, 3)")
    assert keys() == {"1"}
    execute(f"CREATE TABLE thing_4 ({PARTITIONED})", "INSERT INTO thing_4 VALUES (2, 4)")
    execute("ALTER TABLE thing ATTACH PARTITION thing_4 FOR VALUES IN (4)")
    execute("UPDATE thing_4 SET id = 3")
    assert keys() == {"2", "3"}
    (warning,) = check_triggers(databases=["default"])
    assert warning.id == "databinding.W003"
    call_command("migrate", verbosity=0)
    assert check_triggers(databases=["default"]) == []
    # What was attached, and what nobody saw, is read.
    assert keys() == {None}
    execute("TRUNCATE thing_4")
    assert keys() == {None}
    execute("ALTER TABLE thing DETACH PARTITION thing_4")
    call_command("migrate", verbosity=0)
    assert check_triggers(databases=["default"]) == []
    assert keys() == {None}
    execute("DROP TABLE thing_4")


@pytest.fixture
def heirs(as_it_was):
    """A table with children, and theirs, by PostgreSQL's own inheritance."""
    execute(
        "CREATE TABLE thing (id integer PRIMARY KEY, name text)",
        "CREATE TABLE child (more text) INHERITS (thing)",
        "CREATE TABLE grandchild () INHERITS (child)",
    )
    as_it_was.append("DROP TABLE IF EXISTS thing CASCADE")
    bind(model_of("thing"))


@pytest.mark.postgresql
def test_writes_to_tables_that_inherit(heirs):
    """Rows of tables that inherit are those of their parent, whichever a statement names."""
    execute("INSERT INTO thing VALUES (1)", "INSERT INTO child VALUES (2)")
    execute("INSERT INTO grandchild VALUES (3)")
    assert keys() == {"1", "2", "3"}
    assert set(registry[-1].model.objects.values_list("pk", flat=True)) == {1, 2, 3}
    execute("UPDATE thing SET name = 'a'")
    assert keys() == {"1", "2", "3"}
    execute("UPDATE ONLY thing SET name = 'b'")
    assert keys() == {"1"}
    execute("UPDATE child SET id = id + 10")
    assert keys() == {"2", "3", "12", "13"}
    execute("DELETE FROM grandchild")
    assert keys() == {"13"}
    execute("DELETE FROM thing WHERE id = 12")
    assert keys() == {"12"}
    execute("TRUNCATE child")
    assert keys() == {None}


@pytest.mark.postgresql
def test_heirs_that_come_and_go(heirs):
    """A table that comes to inherit is watched from the next `migrate` on, which has it read."""
    execute("CREATE TABLE late (LIKE thing)", "INSERT INTO late VALUES (1)")
    execute("ALTER TABLE late INHERIT thing")
    assert keys() == set()
    (warning,) = check_triggers(databases=["default"])
    assert warning.id == "databinding.W003"
    call_command("migrate", verbosity=0)
    assert keys() == {None}
    execute("UPDATE late SET id = 2")
    assert keys() == {"1", "2"}
    execute("ALTER TABLE late NO INHERIT thing")
    call_command("migrate", verbosity=0)
    assert keys() == {None}
    execute("INSERT INTO late VALUES (3)", "DROP TABLE late")
    assert keys() == set()
    assert check_triggers(databases=["default"]) == []


@pytest.mark.postgresql
def test_a_table_in_another_schema(as_it_was):
    """A table that is named with its schema is watched; its triggers write to our journal."""
    execute("CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.thing (id integer PRIMARY KEY)")
    as_it_was.append("DROP SCHEMA elsewhere CASCADE")
    bound = model_of('elsewhere"."thing')
    bind(bound)
    bound.objects.create(pk=1)
    other_program("SET search_path = elsewhere", "INSERT INTO thing VALUES (2)")
    assert keys() == {"1", "2"}
    assert not triggers.drift("default")


@pytest.mark.postgresql
def test_a_search_path_of_several_schemas(as_it_was):
    """Tables are found along the search path, wherever the journal is on it."""
    execute("CREATE SCHEMA first", "CREATE TABLE first.thing (id integer PRIMARY KEY)")
    as_it_was.append("DROP SCHEMA first CASCADE")
    as_it_was.append("RESET search_path")
    execute("SET search_path = first, public")
    bound = model_of("thing")
    bind(bound)
    bound.objects.create(pk=1)
    assert keys() == {"1"}
    assert not triggers.drift("default")


@pytest.mark.postgresql
def test_a_type_whose_operators_are_out_of_reach(as_it_was, make):
    """What a watched column holds needn't have operators that a trigger's function finds."""
    execute("CREATE TYPE public.mood AS ENUM ('fair', 'foul')")
    as_it_was.append("DROP TYPE public.mood")
    make("thing", "id integer PRIMARY KEY")
    make("detail", "id integer PRIMARY KEY, thing_id integer, mood public.mood, extra json")
    # Declared together, so that the path finds its way.
    with isolate_apps("tests.shapes"):
        meta = {"app_label": "shapes", "managed": False}

        class Thing(models.Model):
            Meta = type("Meta", (), meta | {"db_table": "thing"})

            def __str__(self):
                return str(self.pk)

        class Detail(models.Model):
            thing = models.ForeignKey(Thing, models.CASCADE, related_name="details", null=True)
            mood = models.CharField(max_length=4)
            extra = models.JSONField()
            Meta = type("Meta", (), meta | {"db_table": "detail"})

            def __str__(self):
                return str(self.pk)

        bind(Thing, watch=["details__mood", "details__extra"])
    execute("INSERT INTO thing VALUES (1), (2)")
    execute("INSERT INTO detail VALUES (1, 1, 'fair', '{}'), (2, 1, 'fair', '{}')")
    assert keys() == {"1", "2"}
    execute("UPDATE detail SET extra = '{ }' WHERE id = 1")
    assert keys() == {"1"}
    execute("UPDATE detail SET mood = 'foul', thing_id = 2 WHERE id = 1")
    assert keys() == {"1", "2"}
    execute("UPDATE detail SET mood = 'fair' WHERE id = 2")
    assert keys() == set()


@pytest.mark.postgresql
def test_no_function_outlives_its_table(make):
    """What a table's triggers did stays behind when it is dropped, until `migrate`."""

    def functions():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'databinding_%thing%'")
            return cursor.fetchone()[0]

    make("thing", "id integer PRIMARY KEY")
    bind(model_of("thing"))
    assert functions() == 4
    execute("DROP TABLE thing", "CREATE TABLE thing (id integer)")
    registry.pop()
    assert functions() == 4
    call_command("migrate", verbosity=0)
    assert functions() == 0


# Rights


@pytest.mark.postgresql
def test_who_may_not_make_triggers_is_told(make, as_it_was):
    """`migrate` ends in a sentence that says on which tables whoever runs it lacks the right."""
    make("thing", "id integer PRIMARY KEY")
    execute("CREATE ROLE servant", "GRANT ALL ON ALL TABLES IN SCHEMA public TO servant")
    execute("REVOKE TRIGGER ON thing FROM servant", "GRANT CREATE ON SCHEMA public TO servant")
    as_it_was += ["DROP ROLE servant", "DROP OWNED BY servant"]
    type("SomeBinding", (WebsocketBinding,), {"model": model_of("thing"), "fields": "__all__"})
    execute("SET ROLE servant")
    try:
        with pytest.raises(CommandError, match=r"can't be made on 'default'.*\n.*of thing\."):
            triggers.install_after_migrate(None, using="default")
        found = {error.id: error for error in check_triggers(databases=["default"])}
    finally:
        execute("RESET ROLE")
    assert "triggers of thing on 'default'" in found["databinding.E007"].msg


@pytest.mark.postgresql
def test_what_is_locked_ends_migrate_with_a_sentence(make, settings):
    """`migrate` gives up where somebody keeps a table busy, and says so; nothing is half done."""
    make("thing", "id integer PRIMARY KEY")
    settings.DATABINDING = {"DATABASE_TIMEOUT": 0.2}
    type("SomeBinding", (WebsocketBinding,), {"model": model_of("thing"), "fields": "__all__"})
    with closing(connect()) as other:
        other.execute("LOCK TABLE thing")
        with pytest.raises(CommandError, match="lock timeout"):
            triggers.install_after_migrate(None, using="default")
        other.rollback()
    assert len(triggers.drift("default").missing) == 4
    triggers.install_after_migrate(None, using="default", verbosity=0)
    assert not triggers.drift("default")


@pytest.mark.postgresql
def test_a_heir_on_which_this_role_makes_no_triggers(heirs):
    """It is named, whoever the parent belongs to."""
    triggers.uninstall("default")
    execute("CREATE ROLE servant", "GRANT ALL ON ALL TABLES IN SCHEMA public TO servant")
    execute("REVOKE TRIGGER ON child FROM servant", "GRANT CREATE ON SCHEMA public TO servant")
    try:
        execute("SET ROLE servant")
        assert triggers.refused("default") == ["public.child"]
    finally:
        execute("RESET ROLE", "DROP OWNED BY servant", "DROP ROLE servant")
        triggers.install("default")
