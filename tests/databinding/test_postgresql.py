"""PostgreSQL's own: commits out of order, statement-level triggers, crashes, two-phase commits."""

import json
import random
import threading
from collections import Counter
from contextlib import closing
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.management import call_command
from django.db import InternalError, connection, connections, transaction
from django.db.models import F
from django.test import override_settings

from databinding import journal as journals
from databinding import metrics, triggers
from databinding.models import JournalEntry, Mark
from databinding.positions import Position, Snapshot
from databinding.relay import relay_for
from tests.databinding.clients import PATIENCE, Client, eventually
from tests.databinding.programs import connect, other_program
from tests.shapes.models import Message, Named, Room
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

INSERT = "INSERT INTO databinding_journal (model, key, tag) VALUES ('m', %s, 5)"
LABEL = "talk.integervalue"


@pytest.fixture
def journal(transactional_db):
    opened = journals.open_journal("default")
    JournalEntry.objects.all().delete()  # what emptying the tables has journalled
    opened.new_epoch()
    return opened


def state_of(journal):
    with journal.snapshot():
        return journal.state()


class Reading:
    """What a relay does: from position to position, what came in between."""

    def __init__(self, journal):
        self.journal = journal
        self.position = state_of(journal).position
        self.seen = Counter()

    def go_on(self):
        """Read up to now; return the keys that are new."""
        with self.journal.snapshot():
            state = self.journal.state()
            assert self.journal.honours(self.position, state)
            found = self.journal.keys_since(self.position, 100_000)
        self.position = state.position
        keys = found.get("m", set())
        self.seen.update(keys)
        return keys


# Commits in any order


class Writer(threading.Thread):
    """Writes in two transactions at a time that end in any order, a third of them undone; in the
    midst of it, it waits until somebody has read."""

    def __init__(self, name, begin, read):
        super().__init__()
        self.name = name
        self.begin = begin
        self.read = read
        self.committed = set()
        self.error = None

    def run(self):
        try:
            chance = random.Random(self.name)
            with closing(connect()) as one, closing(connect()) as other:
                self.begin.wait()
                for number in range(100):
                    if number == 50:
                        assert self.read.wait(PATIENCE)
                    # Both have their transaction ids before either ends; each ends in its turn.
                    for which, writing in enumerate((one, other)):
                        for part in range(chance.randint(1, 3)):
                            writing.execute(INSERT, [f"{self.name}-{number}-{which}-{part}"])
                    for which, writing in chance.sample([(0, one), (1, other)], 2):
                        keys = f"{self.name}-{number}-{which}-"
                        if chance.random() < 1 / 3:
                            writing.rollback()
                        else:
                            writing.commit()
                            self.committed.add(keys)
        except BaseException as error:
            self.error = error
            self.begin.abort()


def test_every_committed_key_is_seen_once(journal):
    """However late and in whatever order six writers commit, each key is read in one read."""
    begin, read = threading.Barrier(7), threading.Event()
    writers = [Writer(f"w{number}", begin, read) for number in range(6)]
    reading = Reading(journal)
    reads = 0
    with closing(connect()) as long:
        long.execute(INSERT, ["long"])
        for writer in writers:
            writer.start()
        begin.wait()
        while any(writer.is_alive() for writer in writers):
            reads += bool(reading.go_on())
            if reads:
                read.set()
        for writer in writers:
            writer.join()
        reads += bool(reading.go_on())
        assert [writer.error for writer in writers] == [None] * 6
        assert "long" not in reading.seen
        # Nor does the open transaction make reads grow.
        assert reading.go_on() == set()
        long.commit()
    assert reading.go_on() == {"long"}
    assert reads > 1
    committed = set().union(*(writer.committed for writer in writers))
    assert {key.rpartition("-")[0] + "-" for key in reading.seen if key != "long"} == committed
    stored = set(JournalEntry.objects.filter(model="m").values_list("key", flat=True))
    assert reading.seen == Counter(stored)


def test_a_transaction_that_commits_late_is_told_then(journal):
    """A key with an older id and an older transaction than what was read is told all the same."""
    reading = Reading(journal)
    with closing(connect()) as late, closing(connect()) as undone:
        late.execute(INSERT, ["late"])
        undone.execute(INSERT, ["undone"])
        other_program(INSERT % "'early'")
        assert reading.go_on() == {"early"}
        undone.rollback()
        assert reading.go_on() == set()
        late.commit()
    assert reading.go_on() == {"late"}
    assert reading.go_on() == set()


def test_a_prepared_transaction_is_told_when_it_commits(journal):
    """Two-phase commits are told once, after their second phase, whichever session makes it."""
    reading = Reading(journal)
    with closing(connect()) as first:
        first.execute(INSERT, ["prepared"])
        first.execute("PREPARE TRANSACTION 'databinding'")
        first.commit()
    with closing(connect(autocommit=True)) as second:
        try:
            other_program(INSERT % "'other'")
            assert reading.go_on() == {"other"}
        except BaseException:
            second.execute("ROLLBACK PREPARED 'databinding'")
            raise
        second.execute("COMMIT PREPARED 'databinding'")
    assert reading.go_on() == {"prepared"}
    assert reading.go_on() == set()


# What reading costs

#: Transactions in a journal of some size, and keys of each.
TRANSACTIONS, KEYS = 10_000, 12


def write_transactions(number, keys=KEYS):
    """Another program commits so many transactions, each with so many keys."""
    with closing(connect(autocommit=True)) as other:
        other.execute(
            f"""
            DO $$ BEGIN
                FOR n IN 1..{number} LOOP
                    INSERT INTO databinding_journal (model, key, tag)
                    SELECT 'm', n || '-' || i, i FROM generate_series(1, {keys}) AS i;
                    COMMIT;
                END LOOP;
            END $$
            """
        )


class Explained:
    """What the journal's statements did to its table, as PostgreSQL tells afterwards."""

    def __init__(self):
        self.scans = []
        self.conditions = []
        self.blocks = 0

    def __call__(self, execute, sql, params, many, context):
        if " databinding_journal" in sql:
            execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params, many, context)
            (plan,) = context["cursor"].fetchone()
            root = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
            self.blocks += root["Shared Hit Blocks"] + root["Shared Read Blocks"]
            for node in walk(root):
                if node.get("Relation Name") == "databinding_journal":
                    self.scans.append(node)
                if "Index Cond" in node:
                    self.conditions.append(node["Index Cond"])
        return execute(sql, params, many, context)

    def kinds(self):
        return {scan["Node Type"] for scan in self.scans}

    def rows(self):
        """Rows that were looked at."""
        return sum(
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
            for scan in self.scans
        )


def walk(node):
    yield node
    for inner in node.get("Plans", ()):
        yield from walk(inner)


@pytest.fixture
def xids(journal):
    """A large journal, analysed; the ids of its transactions, in their order."""
    write_transactions(TRANSACTIONS)
    other_program("ANALYZE databinding_journal")
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT xid::text::bigint FROM databinding_journal ORDER BY 1")
        return [xid for (xid,) in cursor.fetchall()]


def read(journal, snapshot, limit=10_000):
    """Read what came since a snapshot; return the keys, and how they were found."""
    explained = Explained()
    with journal.snapshot(), connection.execute_wrapper(explained):
        keys = journal.keys_since(Position(0, 0, snapshot), limit)
    return keys, explained


def scatter():
    """Let rows lie in any order, as in a table whose space was reused again and again."""
    other_program(
        "CREATE TEMPORARY TABLE shuffled AS SELECT * FROM databinding_journal ORDER BY random()",
        "TRUNCATE databinding_journal",
        "INSERT INTO databinding_journal (id, model, key, tag, xid) "
        "OVERRIDING SYSTEM VALUE SELECT id, model, key, tag, xid FROM shuffled",
        "ANALYZE databinding_journal",
    )


@pytest.mark.parametrize("order", ["as written", "scattered"])
def test_keys_are_found_by_the_index(order, journal, xids):
    """What came since a position is found by two conditions of the index, limits in place."""
    assert JournalEntry.objects.count() >= 100_000
    if order == "scattered":
        scatter()
    # A hundred transactions since, and of those that ran then every second one of four hundred.
    running = xids[-500:-100:2]
    snapshot = f"{running[0]}:{xids[-100]}:{','.join(map(str, running))}"
    keys, explained = read(journal, snapshot)
    assert len(keys["m"]) == (100 + len(running)) * KEYS
    assert "Seq Scan" not in explained.kinds()
    late, since = sorted(explained.conditions, key=lambda condition: ">=" in condition)
    assert "ANY" in late
    assert ">=" in since
    assert "<" in since
    assert explained.rows() == len(keys["m"])


@pytest.mark.parametrize("order", ["as written", "scattered"])
def test_no_more_keys_than_the_limit_are_looked_at(order, journal, xids):
    """However far behind a position is, a read that comes to nothing ends at the limit."""
    if order == "scattered":
        scatter()
    running = ",".join(map(str, xids[100:4_000]))
    keys, explained = read(journal, f"{xids[100]}:{xids[5_000]}:{running}", limit=1_000)
    assert keys is None
    assert explained.kinds() == {"Index Scan"}
    assert explained.rows() == 2 * 1_001


def test_a_long_transaction_makes_no_read_grow(journal):
    """Beside a transaction that has written much and stays open, each pass reads what is new."""
    write_transactions(100)
    with closing(connect()) as long:
        long.execute(
            "INSERT INTO databinding_journal (model, key, tag) "
            "SELECT 'm', 'long', n FROM generate_series(1, 50000) AS n"
        )
        reading = Reading(journal)
        for _ in range(20):
            write_transactions(100, keys=1)
            explained = Explained()
            with connection.execute_wrapper(explained):
                assert len(reading.go_on()) == 100
            # The state's witness and whether there is a foreign key, then the keys.
            assert explained.rows() <= 100 + 3
            assert explained.blocks < 300
        # A client that comes back from before it began needn't wade through it either.
        with journal.snapshot(), connection.execute_wrapper(explained := Explained()):
            state = journal.state()
            before = Position(0, 0, f"{state.position.snapshot.split(':')[0]}:" * 2)
            assert len(journal.keys_since(before, 10_000)["m"]) == 100
        assert explained.blocks < 300
        long.commit()
    assert reading.go_on() == {"long"}


# Where a position comes from


def test_positions_come_from_transactions_that_only_read(journal):
    """In a snapshot nothing can be written, whatever a binding's code tries; outside of one there
    is no position."""
    with pytest.raises(InternalError, match="read-only transaction"), journal.snapshot():
        journals.append("default", [("m", "1")])
    with (
        pytest.raises(InternalError, match="must be set before any query"),
        journal.snapshot(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SET TRANSACTION READ WRITE")
    with transaction.atomic():
        journals.append("default", [("m", "1")])
        with pytest.raises(RuntimeError, match="a transaction that only reads"):
            journal.state()
    with pytest.raises(RuntimeError, match="a transaction that only reads"):
        journal.keys_since(Position(0, 0, "3:3:"), 10)


@pytest.mark.parametrize("level", ["serializable", "read uncommitted"])
def test_the_databases_isolation_level_is_no_matter(level, journal):
    """Whatever isolation the database is set to, a snapshot is one state that goes on."""
    with connection.cursor() as cursor:
        name = connection.ops.quote_name(connection.settings_dict["NAME"])
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    connection.close()
    try:
        reading = Reading(journal)
        with journal.snapshot(), connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("repeatable read",)
            other_program(INSERT % "'during'")
            assert journal.keys_since(reading.position, 10) == {}
        assert reading.go_on() == {"during"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
        connection.close()


# Statements


def journalled(*statements):
    """The keys that another program's statements journal, sorted, each as often as it is."""
    JournalEntry.objects.all().delete()
    other_program(*statements)
    found = JournalEntry.objects.values_list("model", "key")
    return sorted(found, key=lambda one: (one[0], one[1] or ""))


def values(count):
    made = [IntegerValue.objects.create(name=f"n{number}") for number in range(count)]
    return [str(row.pk) for row in made]


def test_a_statement_journals_each_row_once():
    """However many rows a statement writes, each is journalled once."""
    assert journalled(
        "INSERT INTO talk_integervalue (id, name, value) "
        "OVERRIDING SYSTEM VALUE SELECT n, n, 0 FROM generate_series(1, 9) AS n"
    ) == [(LABEL, str(number)) for number in range(1, 10)]
    assert len(journalled("UPDATE talk_integervalue SET value = 1 WHERE id < 4")) == 3
    assert journalled("DELETE FROM talk_integervalue WHERE id IN (5, 6)") == [
        (LABEL, "5"),
        (LABEL, "6"),
    ]
    assert journalled("UPDATE talk_integervalue SET value = 1 WHERE id > 100") == []


def test_changed_keys_journal_what_went_and_what_came():
    """A statement that moves keys along touches each of them once."""
    Named.objects.bulk_create(Named(code=code) for code in "ac")
    found = journalled("UPDATE shapes_named SET code = chr(ascii(code) + 1)")
    assert [key for _, key in found] == ["a", "b", "c", "d"]


def test_truncate_may_be_any_row():
    """TRUNCATE says of no row that it is gone: it may be any."""
    values(2)
    assert journalled("TRUNCATE talk_integervalue") == [(LABEL, None)]


def test_on_conflict_journals_what_was_written():
    """Rows that ON CONFLICT leaves alone aren't journalled, those that it updates are, once."""
    (there,) = values(1)
    insert = "INSERT INTO talk_integervalue (name, value) VALUES ('n0', 5), ('new', 5) ON CONFLICT"
    found = journalled(f"{insert} DO NOTHING")
    new = str(IntegerValue.objects.get(name="new").pk)
    assert found == [(LABEL, new)]
    IntegerValue.objects.get(name="new").delete()
    found = journalled(f"{insert} (name) DO UPDATE SET value = EXCLUDED.value")
    new = str(IntegerValue.objects.get(name="new").pk)
    assert found == sorted([(LABEL, there), (LABEL, new)])


def test_copy_is_journalled():
    """Rows that COPY brings are journalled."""
    JournalEntry.objects.all().delete()
    with closing(connect()) as other:
        with other.cursor().copy("COPY talk_integervalue (name, value) FROM STDIN") as copy:
            copy.write_row(("a", 1))
            copy.write_row(("b", 2))
        other.commit()
    pks = IntegerValue.objects.values_list("pk", flat=True)
    assert sorted(JournalEntry.objects.values_list("key", flat=True)) == sorted(map(str, pks))


def test_what_the_database_cascades_is_journalled():
    """Rows that a foreign key's ON DELETE CASCADE takes are journalled, which Django never sees."""
    room = Room.objects.create(name="r")
    rows = [Message.objects.create(room=room, text=text) for text in "ab"]
    other_program(
        "ALTER TABLE shapes_message ADD CONSTRAINT by_the_database "
        "FOREIGN KEY (room_id) REFERENCES shapes_room ON DELETE CASCADE"
    )
    try:
        found = journalled(f"DELETE FROM shapes_room WHERE id = {room.pk}")
    finally:
        other_program("ALTER TABLE shapes_message DROP CONSTRAINT by_the_database")
    assert found == sorted(("shapes.message", str(row.pk)) for row in rows)


@pytest.fixture
def writer():
    """A role that may write a bound table and nothing else, with a schema of its own."""
    other_program(
        "CREATE ROLE databinding_writer",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON talk_integervalue TO databinding_writer",
        "CREATE SCHEMA AUTHORIZATION databinding_writer",
    )
    yield "SET LOCAL ROLE databinding_writer"
    other_program("DROP OWNED BY databinding_writer CASCADE", "DROP ROLE databinding_writer")


def test_who_may_not_write_the_journal_may_write_a_bound_table(writer):
    """The triggers need no rights of the writer's, whatever its search path."""
    with closing(connect()) as other:
        other.execute(writer)
        granted = other.execute("SELECT has_table_privilege('databinding_journal', 'INSERT')")
        assert granted.fetchone() == (False,)
    found = journalled(
        writer,
        "SET LOCAL search_path = databinding_writer, pg_catalog",
        "INSERT INTO public.talk_integervalue (name, value) VALUES ('a', 1)",
        "UPDATE public.talk_integervalue SET value = 2",
    )
    pk = str(IntegerValue.objects.get(value=2).pk)
    assert found == [(LABEL, pk), (LABEL, pk)]
    assert journalled(writer, "TRUNCATE talk_integervalue") == [(LABEL, None)]


def test_a_writer_can_not_slip_code_into_the_triggers(writer):
    """Operators of the writer's own schema aren't run with the rights of the triggers' owner."""
    found = journalled(
        writer,
        "CREATE FUNCTION databinding_writer.slipped(float8, int8) RETURNS float8 LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''run as %'', current_user; END'",
        "CREATE OPERATOR databinding_writer.* "
        "(LEFTARG = float8, RIGHTARG = int8, FUNCTION = databinding_writer.slipped)",
        "SET LOCAL search_path = databinding_writer, pg_catalog",
        "INSERT INTO public.talk_integervalue (name, value) VALUES ('a', 1)",
    )
    assert len(found) == 1


# Drift


@pytest.mark.parametrize("how", ["DISABLE", "ENABLE REPLICA"])
def test_a_trigger_that_is_off_is_drift(how):
    """A trigger that doesn't fire is named, and made anew; any row may have changed meanwhile."""
    name = next(name for name in triggers.wanted("default") if "talk_integervalue_update" in name)
    other_program(f"ALTER TABLE talk_integervalue {how} TRIGGER {name}")
    assert triggers.drift("default") == ((), (name,), ())
    JournalEntry.objects.all().delete()
    triggers.install("default")
    assert not triggers.drift("default")
    assert list(JournalEntry.objects.values_list("model", "key")) == [(LABEL, None)]


@pytest.mark.parametrize(
    "alter",
    [
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        "AS 'BEGIN RETURN NULL; END'",
        "ALTER FUNCTION {name}() SECURITY INVOKER",
        "ALTER FUNCTION {name}() RESET search_path",
        "ALTER FUNCTION {name}() SET search_path = public",
        "CREATE OR REPLACE TRIGGER {name} AFTER UPDATE ON talk_integervalue "
        "REFERENCING OLD TABLE AS databinding_old NEW TABLE AS databinding_new "
        "FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION {name}()",
        "CREATE OR REPLACE TRIGGER {name} AFTER INSERT ON talk_integervalue "
        "REFERENCING NEW TABLE AS databinding_new "
        "FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
        "CREATE OR REPLACE TRIGGER {name} BEFORE UPDATE ON talk_integervalue "
        "FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
        "CREATE OR REPLACE TRIGGER {name} AFTER UPDATE OF name ON talk_integervalue "
        "FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    ],
)
def test_an_altered_trigger_is_drift(alter):
    """A trigger or function that isn't as it was made is named, and made anew."""
    name = next(name for name in triggers.wanted("default") if "talk_integervalue_update" in name)
    other_program(alter.format(name=name))
    try:
        assert triggers.drift("default") == ((), (name,), ())
    finally:
        triggers.uninstall("default")
        triggers.install("default")
    assert not triggers.drift("default")


def test_a_trigger_moved_to_another_table_is_drift():
    """A trigger of the right name and function on another table is made anew on its own."""
    name = next(name for name in triggers.wanted("default") if "talk_integervalue_update" in name)
    other_program(
        f"DROP TRIGGER {name} ON talk_integervalue",
        f"CREATE TRIGGER {name} AFTER UPDATE ON values_integervalue "
        "REFERENCING OLD TABLE AS databinding_old NEW TABLE AS databinding_new "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    )
    assert triggers.drift("default") == ((), (name,), ())
    triggers.install("default")
    assert not triggers.drift("default")
    (pk,) = values(1)
    assert journalled("UPDATE talk_integervalue SET value = 1") == [(LABEL, pk)]


def test_tables_of_another_schema():
    """Tables, journal and triggers live in the schema that migrate works in, whichever that is."""
    quote = connection.ops.quote_name
    other_program('CREATE SCHEMA "an odd one"')
    options = connection.settings_dict["OPTIONS"]
    connection.close()
    connection.settings_dict["OPTIONS"] = options | {
        "options": f"-c search_path={quote('an odd one').replace(' ', chr(92) + ' ')}"
    }
    try:
        call_command("migrate", run_syncdb=True, verbosity=0)
        assert not triggers.drift("default")
        journal = journals.open_journal("default")
        journal.new_epoch()
        reading = Reading(journal)
        pk = IntegerValue.objects.create(name="there").pk
        other_program(f'UPDATE "an odd one".talk_integervalue SET value = 7 WHERE id = {pk}')
        with journal.snapshot():
            keys = journal.keys_since(reading.position, 10)
        assert keys == {LABEL: {str(pk)}}
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = options
        other_program('DROP SCHEMA "an odd one" CASCADE')


# Epochs


def test_a_foreign_journal_is_told_and_cleaned(journal):
    """Keys of transactions that this cluster hasn't had yet void the epoch, and go with it."""
    other_program(INSERT % "'ours'")
    before = state_of(journal)
    other_program(
        "INSERT INTO databinding_journal (model, key, tag, xid) VALUES ('m', 'theirs', 5, "
        "((pg_snapshot_xmax(pg_current_snapshot()))::text::bigint + 1000000)::text::xid8)"
    )
    assert state_of(journal) is None
    journal.new_epoch()
    after = state_of(journal)
    assert after.epoch != before.epoch
    assert list(JournalEntry.objects.values_list("key", flat=True)) == ["ours"]
    reading = Reading(journal)
    other_program(INSERT % "'next'")
    assert reading.go_on() == {"next"}


COPIED = ("databinding_journal", "databinding_epoch", "databinding_mark", "databinding_life")


def copy_out():
    """The rows of the journal's tables, as PostgreSQL copies them."""
    with closing(connect()) as other:
        found = {}
        for table in COPIED:
            with other.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                found[table] = b"".join(copy)
        return found


def copy_in(found):
    """Have these rows in the journal's tables, instead of those that are there."""
    with closing(connect()) as other:
        for table, rows in found.items():
            other.execute(f"DELETE FROM {table}")
            with other.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows)
        other.commit()


def test_a_journal_of_another_cluster_is_recognised(journal, request):
    """Rows copied from a cluster that has had more transactions are told and go; what is written
    from then on is told, though the copied positions were ahead of it."""
    write_transactions(5_000, keys=1)
    journals.append("default", [("m", "theirs")])
    theirs, copied = state_of(journal), copy_out()
    request.getfixturevalue("cluster")
    copy_in(copied)
    journal = journals.open_journal("default")
    assert state_of(journal) is None
    journal.new_epoch()
    assert state_of(journal).epoch != theirs.epoch
    assert not JournalEntry.objects.filter(key="theirs").exists()
    with journal.snapshot():
        assert not journal.honours(theirs.position, journal.state())
    reading = Reading(journal)
    other_program(INSERT % "'ours'")
    assert reading.go_on() == {"ours"}


def crash(cluster):
    cluster.crash()
    connections.close_all()
    cluster.start()


def xid_of(key):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT xid::text FROM {JournalEntry._meta.db_table} WHERE key = %s", [key])
        return int(cursor.fetchone()[0])


def test_a_crash_hands_transaction_ids_out_again(cluster):
    """Ids of lost and of aborted transactions come again after a crash, below a position's; so no
    position from before is valid."""
    journal = journals.open_journal("default")
    journal.new_epoch()
    journals.append("default", [("m", "1")])
    # What is not waited for gets to the disk before long, unless the crash is faster.
    for _ in range(20):
        with closing(connect()) as other:
            other.execute("SET synchronous_commit = off")
            other.execute(INSERT, ["lost"])
            other.commit()
            for _ in range(20):
                other.execute("SELECT pg_current_xact_id()")
                other.rollback()
        before = state_of(journal)
        crash(cluster)
        assert state_of(journal) is None
        journal.new_epoch()
        assert state_of(journal).epoch != before.epoch
        journals.append("default", [("m", "missed")])
        # An id that the position takes for ended: what has it the position would never tell.
        if xid_of("missed") < Snapshot.parse(before.position.snapshot).xmax:
            break
        JournalEntry.objects.filter(key="missed").delete()
    else:
        raise AssertionError("No transaction id came again.")
    with journal.snapshot():
        assert journal.state().epoch != before.epoch
        assert "missed" not in journal.keys_since(before.position, 1_000).get("m", set())
        assert not journal.honours(before.position, journal.state())


def test_an_orderly_restart_keeps_the_epoch(cluster):
    """Positions stay valid over a restart that isn't a crash."""
    journal = journals.open_journal("default")
    journal.new_epoch()
    journals.append("default", [("m", "1")])
    before = state_of(journal)
    reading = Reading(journal)
    connections.close_all()
    cluster.stop()
    cluster.start()
    assert state_of(journal).epoch == before.epoch
    journals.append("default", [("m", "2")])
    assert reading.go_on() == {"2"}


async def test_pages_survive_a_crash(cluster):
    """An open page follows what comes after a crash; a cursor from before gets a snapshot."""
    row = await in_database(IntegerValue.objects.create)(name="a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        held, cursor = dict(client.rows["intval"]), client.cursors["intval"]
        await in_database(crash)(cluster)
        await in_database(IntegerValue.objects.update)(value=1)
        await client.until("intval", {row.pk: {"name": "a", "value": 1}})
        async with Client(Demultiplexer) as resuming:
            resuming.copies["intval"].rows = held
            assert await resuming.subscribe("intval", cursor=cursor) is False
            assert resuming.rows["intval"] == client.rows["intval"]


# Pruning


async def test_a_database_that_hangs_is_away(cluster):
    """While PostgreSQL hangs, subscribing answers 503 and the relay is ever further behind."""
    with override_settings(DATABINDING={"DATABASE_TIMEOUT": 1.5}):
        async with Client(Demultiplexer) as page, Client(Demultiplexer) as second:
            await page.subscribe("intval")
            cluster.pause()
            try:
                reply = await second.ask("intval", "subscribe")
                assert reply["response_status"] == 503
                assert metrics.behind(relay_for("default")) > 1.5
            finally:
                cluster.resume()
            row = await in_database(IntegerValue.objects.create)(name="a")
            await page.until("intval", {row.pk: {"name": "a", "value": 0}})
            await second.subscribe("intval")
            assert second.rows == page.rows
        # Also the place that came too late is given back.
        await eventually(lambda: not relay_for("default").holdings.in_use())


def age(seconds):
    """Let it be later: the marks recorded so far are that much older."""
    Mark.objects.update(recorded_at=F("recorded_at") - timedelta(seconds=seconds))


def kept():
    return sorted(JournalEntry.objects.values_list("key", flat=True))


def test_a_long_transaction_holds_pruning_back(journal):
    """What was written since a still open transaction began stays, until that has ended."""
    other_program(INSERT % "'old'")
    other_program(INSERT % "'before'")
    with closing(connect()) as long:
        long.execute(INSERT, ["long"])
        reading = Reading(journal)
        other_program(INSERT % "'during'")
        journal.prune(100)
        age(100)
        # What had ended before it began goes; of that the newest stays, a witness.
        assert journal.prune(100) == 1
        assert kept() == ["before", "during"]
        age(100)
        other_program(INSERT % "'newest'")
        assert journal.prune(100) == 0
        long.commit()
    assert kept() == ["before", "during", "long", "newest"]
    assert reading.go_on() == {"during", "long", "newest"}
    journal.prune(100)
    age(100)
    assert journal.prune(100) == 3
    assert kept() == ["newest"]


def test_pruning_goes_on_beside_writers_and_readers(journal):
    """Neither a row that somebody has locked nor an open snapshot keeps pruning waiting."""
    for number in range(4):
        other_program(INSERT % f"'{number}'")
    journal.prune(100)
    age(100)
    with closing(connect()) as holding:
        holding.execute("SELECT * FROM databinding_journal WHERE key = '1' FOR UPDATE")
        assert journal.prune(100) == 2
        assert kept() == ["1", "3"]


def test_pruning_keeps_no_writer_waiting(journal):
    """While pruning holds all its locks, and a transaction from before it is open, others write."""
    for number in range(20):
        other_program(INSERT % f"'{number}'")
    journal.prune(100)
    age(100)
    with closing(connect()) as old:
        old.execute(INSERT, ["old"])
        other_program(INSERT % "'newest'")
        with transaction.atomic():
            assert journal.prune(100) == 19
            other_program("SET LOCAL lock_timeout = '1ms'", INSERT % "'beside'")
            old.execute("SET LOCAL lock_timeout = '1ms'")
            old.execute("INSERT INTO talk_integervalue (name, value) VALUES ('old', 1)")
            old.execute("UPDATE talk_integervalue SET value = 2")
            old.commit()
    assert kept() == sorted(["19", "beside", "newest", "old"] + 2 * [newest_pk()])


def newest_pk():
    return str(IntegerValue.objects.latest("pk").pk)
