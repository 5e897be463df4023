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
from django.db import connection, connections
from django.db.models import F

from databinding import journal as journals
from databinding import triggers
from databinding.models import JournalEntry, Mark
from databinding.relay import stop_relays
from tests.databinding.clients import Client
from tests.databinding.programs import connect, other_program
from tests.postgresql import PostgreSQL
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
            found = self.journal.keys_since(self.position, 10_000)
        self.position = state.position
        keys = found.get("m", set())
        self.seen.update(keys)
        return keys


# Commits in any order


class Writer(threading.Thread):
    """Writes in two transactions at a time that end in any order, a third of them undone."""

    def __init__(self, name, begin):
        super().__init__()
        self.name = name
        self.begin = begin
        self.committed = set()
        self.error = None

    def run(self):
        try:
            chance = random.Random(self.name)
            with closing(connect()) as one, closing(connect()) as other:
                self.begin.wait()
                for number in range(100):
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
    begin = threading.Barrier(7)
    writers = [Writer(f"w{number}", begin) for number in range(6)]
    reading = Reading(journal)
    reads = 0
    with closing(connect()) as long:
        long.execute(INSERT, ["long"])
        for writer in writers:
            writer.start()
        begin.wait()
        while any(writer.is_alive() for writer in writers):
            reads += bool(reading.go_on())
        for writer in writers:
            writer.join()
        reading.go_on()
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


def test_keys_are_found_by_the_index(journal):
    """What came since a position is found by two conditions of the index, limits in place."""
    with closing(connect(autocommit=True)) as other:
        other.execute(
            """
            DO $$ BEGIN
                FOR n IN 1..2000 LOOP
                    INSERT INTO databinding_journal (model, key, tag)
                    SELECT 'm', i, i FROM generate_series(1, 10) AS i;
                    COMMIT;
                END LOOP;
            END $$
            """
        )
        other.execute("ANALYZE databinding_journal")
    with connection.cursor() as cursor:
        cursor.execute("SELECT xid::text FROM databinding_journal ORDER BY id DESC")
        xids = [xid for (xid,) in cursor.fetchall()]
    assert len(xids) == 20_000
    running = ",".join([xids[900], xids[700], xids[500]])
    position = state_of(journal).position._replace(snapshot=f"{xids[900]}:{xids[200]}:{running}")
    plans = []

    def explain(execute, sql, params, many, context):
        if "databinding_journal" in sql:
            execute(f"EXPLAIN (FORMAT JSON) {sql}", params, many, context)
            plans.append(context["cursor"].fetchone()[0])
        return execute(sql, params, many, context)

    with journal.snapshot(), connection.execute_wrapper(explain):
        keys = journal.keys_since(position, 10_000)
    assert len(keys["m"]) == 10
    (plan,) = plans
    nodes = list(walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    assert sum(node["Node Type"] == "Limit" for node in nodes) == 2
    assert not any(node["Node Type"] == "Seq Scan" for node in nodes)
    conditions = [node["Index Cond"] for node in nodes if "Index Cond" in node]
    assert len(conditions) == 2
    assert any(">=" in condition for condition in conditions)
    assert any("ANY" in condition for condition in conditions)


def walk(node):
    yield node
    for inner in node.get("Plans", ()):
        yield from walk(inner)


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
        "CREATE OR REPLACE TRIGGER {name} AFTER UPDATE ON talk_integervalue "
        "REFERENCING OLD TABLE AS databinding_old NEW TABLE AS databinding_new "
        "FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION {name}()",
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


@pytest.fixture
def cluster(transactional_db, monkeypatch):
    """A PostgreSQL of the test's own, migrated, in the place of the test database."""
    with PostgreSQL() as postgresql:
        connections.close_all()
        monkeypatch.setitem(connection.settings_dict, "HOST", str(postgresql.socket))
        monkeypatch.setitem(connection.settings_dict, "NAME", "app")
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield postgresql
        stop_relays()
        connections.close_all()


def crash(cluster):
    cluster.crash()
    connections.close_all()
    cluster.start()


def test_a_crash_ends_the_epoch(cluster):
    """After a crash transaction ids may be given again: no position from before is valid."""
    journal = journals.open_journal("default")
    journal.new_epoch()
    journals.append("default", [("m", "1")])
    before = state_of(journal)
    with closing(connect()) as undone:
        for _ in range(20):
            undone.execute("SELECT pg_current_xact_id()")
            undone.rollback()
    crash(cluster)
    assert state_of(journal) is None
    journal.new_epoch()
    after = state_of(journal)
    assert after.epoch != before.epoch
    assert after.position[:2] == before.position[:2]  # Committed keys have survived.


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


def age(seconds):
    """Let it be later: the marks recorded so far are that much older."""
    Mark.objects.update(recorded_at=F("recorded_at") - timedelta(seconds=seconds))


def kept():
    return sorted(JournalEntry.objects.values_list("key", flat=True))


def test_a_long_transaction_holds_pruning_back(journal):
    """What was written since a still open transaction began stays, until that has ended."""
    other_program(INSERT % "'old'")
    with closing(connect()) as long:
        long.execute(INSERT, ["long"])
        reading = Reading(journal)
        other_program(INSERT % "'during'")
        journal.prune(100)
        age(100)
        assert journal.prune(100) == 1
        assert kept() == ["during"]
        age(100)
        other_program(INSERT % "'newest'")
        assert journal.prune(100) == 0
        long.commit()
    assert kept() == ["during", "long", "newest"]
    # Its witness is gone, so it is not honoured, though its keys are there: safe, not sorry.
    with journal.snapshot():
        assert not journal.honours(reading.position, journal.state())
        assert journal.keys_since(reading.position, 10) == {"m": {"during", "long", "newest"}}
    age(100)
    journal.prune(100)
    age(100)
    assert journal.prune(100) == 2
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
