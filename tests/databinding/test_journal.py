"""Journals: one suite for those of every database, then what is SQLite's own."""

import os
import secrets
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import F
from django.test import override_settings

from databinding import journal as journals
from databinding.journal.sqlite import SQLiteJournal
from databinding.models import Epoch, JournalEntry, Mark
from databinding.relay import _Life, relay_for
from tests.databinding.clients import Client, eventually
from tests.databinding.programs import connect, other_program
from tests.servers import PATIENCE, command
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

INSERT = "INSERT INTO databinding_journal (model, key, tag) VALUES ('m', '2', 5)"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["default"])
def alias(request):
    """Each database that has a journal; a database of another vendor joins here."""
    return request.param


@pytest.fixture
def journal(alias, settings):
    settings.DATABINDING = {"POLL_POSTGRESQL": 0}  # Whoever asks is told.
    opened = journals.open_journal(alias)
    JournalEntry.objects.using(alias).all().delete()  # what emptying the tables has journalled
    opened.new_epoch()
    return opened


def state_of(journal):
    with journal.snapshot():
        return journal.state()


def honours(journal, position):
    with journal.snapshot():
        return journal.honours(position, journal.state())


def keys_since(journal, position, limit=100):
    with journal.snapshot():
        return journal.keys_since(position, limit)


def test_in_a_snapshot_nothing_is_written(journal, alias):
    """Whatever a binding's code tries: of that nobody would be told. Afterwards it is, as ever."""
    with pytest.raises(DatabaseError, match=r"read-?only"), journal.snapshot():
        journals.append(alias, [("m", "1")])
    journals.append(alias, [("m", "2")])
    assert [entry.key for entry in JournalEntry.objects.using(alias)] == ["2"]


def append(journal, *keys, label="m"):
    journals.append(journal.alias, [(label, key) for key in keys])
    return state_of(journal).position


def age(seconds):
    """Let it be later: the marks recorded so far are that much older."""
    Mark.objects.update(recorded_at=F("recorded_at") - timedelta(seconds=seconds))


class TestJournal:
    """What the relay relies on, whatever the database."""

    def test_without_an_epoch_there_is_no_state(self, journal):
        """A journal that has lost its epoch has no state until it gets a new one."""
        Epoch.objects.all().delete()
        assert state_of(journal) is None
        journal.new_epoch()
        assert state_of(journal).epoch

    def test_epochs_differ(self, journal):
        """A new epoch is another one; the position stays."""
        append(journal, "1")
        before = state_of(journal)
        journal.new_epoch()
        after = state_of(journal)
        assert after.epoch != before.epoch
        assert honours(journal, before.position)
        assert keys_since(journal, before.position) == {}

    def test_the_position_is_the_newest_key(self, journal):
        """An empty journal is at the beginning; then each key moves the position."""
        assert state_of(journal).position[:2] == (0, 0)
        first = append(journal, "1")
        second = append(journal, "2")
        assert second.id > first.id > 0
        assert state_of(journal).position == second

    def test_keys_since_a_position(self, journal):
        """What came after a position is told by label, each key once, NULL as None."""
        start = append(journal, "0")
        append(journal, "1", "2", "1", None)
        middle = append(journal, "3", label="other")
        append(journal, "4")
        assert keys_since(journal, start) == {"m": {"1", "2", "4", None}, "other": {"3"}}
        assert keys_since(journal, middle) == {"m": {"4"}}
        assert keys_since(journal, state_of(journal).position) == {}

    def test_more_keys_than_the_limit_are_not_told(self, journal):
        """Up to the limit keys are told, beyond it none."""
        start = append(journal, "0")
        append(journal, *"12345")
        assert keys_since(journal, start, limit=5) == {"m": set("12345")}
        assert keys_since(journal, start, limit=4) is None

    def test_positions_of_its_own_are_honoured(self, journal):
        """A position that this journal was at is honoured, old or new."""
        start = state_of(journal).position
        old = append(journal, "1")
        new = append(journal, "2")
        assert [honours(journal, one) for one in (start, old, new)] == [True, True, True]

    def test_a_foreign_position_is_not_honoured(self, journal):
        """The witness must be there: this id with this tag."""
        position = append(journal, "1")
        assert not honours(journal, position._replace(tag=position.tag + 1))
        assert not honours(journal, position._replace(id=position.id + 1))
        assert not honours(journal, position._replace(id=position.id - 1))
        assert not honours(journal, position._replace(id=-1, tag=0))
        JournalEntry.objects.all().delete()
        assert not honours(journal, position)

    def test_a_position_ahead_is_not_honoured(self, journal):
        """A restored journal doesn't honour what it hasn't seen yet, nor its ids' next owners."""
        append(journal, "1")
        ahead = append(journal, "2")
        JournalEntry.objects.filter(id=ahead.id).delete()
        assert not honours(journal, ahead)
        JournalEntry.objects.create(id=ahead.id, model="m", key="x", tag=secrets.randbits(60))
        assert not honours(journal, ahead)

    def test_it_sees_one_state_inside_a_snapshot(self, journal):
        """What is committed meanwhile is neither in the state nor among the keys."""
        start = append(journal, "1")
        with journal.snapshot():
            assert journal.state().position == start
            other_program(INSERT)
            assert journal.state().position == start
            assert journal.keys_since(start, 10) == {}
        assert keys_since(journal, start) == {"m": {"2"}}

    def test_a_snapshot_is_not_part_of_a_transaction(self, journal):
        """A snapshot inside a caller's transaction is refused: that one's view may never commit."""
        with transaction.atomic(using=journal.alias), pytest.raises(RuntimeError, match="durable"):
            state_of(journal)

    def test_others_commits_make_it_grow(self, journal):
        """`grown` tells of other connections' commits, once."""
        journal.grown()
        assert not journal.grown()
        with closing(connect()) as other:
            other.execute(INSERT)
            assert not journal.grown()
            other.commit()
            assert journal.grown()
            assert not journal.grown()

    # Pruning

    def test_nothing_younger_than_the_retention_is_dropped(self, journal):
        """Only keys are dropped that had been committed when an old enough mark was recorded."""
        start = state_of(journal).position
        append(journal, "1")
        old = append(journal, "2")
        assert journal.prune(100) == 0
        age(50)
        append(journal, "3")
        young = append(journal, "4")
        assert journal.prune(100) == 0
        age(50)
        assert journal.prune(100) == 1
        assert not honours(journal, start)
        assert honours(journal, old)
        assert keys_since(journal, old) == {"m": {"3", "4"}}
        age(50)
        assert journal.prune(100) == 2
        assert not honours(journal, old)
        assert honours(journal, young)

    def test_the_newest_key_stays(self, journal):
        """The witness of the newest position is kept, whatever its age."""
        for key in "123":
            newest = append(journal, key)
        journal.prune(100)
        age(1000)
        assert journal.prune(100) == 2
        assert honours(journal, newest)
        assert journal.prune(100) == 0
        assert list(JournalEntry.objects.values_list("key", flat=True)) == ["3"]

    def test_marks_are_few(self, journal):
        """However often it is pruned, at most some ten marks are kept of one retention."""
        for _ in range(40):
            append(journal, "1")
            journal.prune(100)
            age(5)
        assert 5 <= Mark.objects.count() <= 15
        assert JournalEntry.objects.count() <= 25

    def test_where_nothing_happens_marks_stay_few(self, journal):
        """A journal at rest gets no more marks, however long it is pruned."""
        append(journal, "1")
        for _ in range(40):
            journal.prune(100)
            age(50)
        assert Mark.objects.count() <= 3

    def test_it_is_pruned_in_slices(self, journal, monkeypatch):
        """Many keys are dropped in several short transactions, so that writers get through."""
        monkeypatch.setattr(type(journal), "prune_slice", 10)
        for number in range(35):
            append(journal, str(number))
        journal.prune(100)
        age(100)
        inside = []

        def watch(execute, sql, params, many, context):
            if sql.strip().startswith("DELETE FROM databinding_journal"):
                inside.append(context["connection"].in_atomic_block)
            return execute(sql, params, many, context)

        with connections[journal.alias].execute_wrapper(watch):
            assert journal.prune(100) == 34
        assert inside == [False] * 4

    def test_what_is_left_is_dropped_the_next_time(self, journal, monkeypatch):
        """Pruning may stop after any slice, and goes on there."""
        monkeypatch.setattr(type(journal), "prune_slice", 10)
        for number in range(35):
            append(journal, str(number))
        journal.prune(100)
        age(100)
        assert [journal.prune(100, slices=1) for _ in range(5)] == [10, 10, 10, 4, 0]


async def test_a_relay_prunes_slice_by_slice(journal, monkeypatch):
    """However much is to be dropped, a relay has a turn for news after each slice."""
    kind = type(journal)
    monkeypatch.setattr(kind, "prune_slice", 10)
    dropped = []
    drop, turn = kind._drop, _Life.turn

    def fill():
        for number in range(35):
            journals.append("default", [("m", str(number))])
        journals.open_journal("default").prune(10)
        age(10)

    def watch_turn(self):
        dropped.append(0)
        turn(self)

    def watch_drop(self, upto):
        count = drop(self, upto)
        dropped[-1] += count
        return count

    await in_database(fill)()
    monkeypatch.setattr(_Life, "turn", watch_turn)
    monkeypatch.setattr(kind, "_drop", watch_drop)
    with override_settings(DATABINDING={"RETENTION": 10}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await eventually(lambda: sum(dropped) >= 34)
    assert [count for count in dropped if count] == [10, 10, 10, 4]


# SQLite's own


@pytest.mark.sqlite
def test_what_is_rolled_back_is_no_growth(database):
    """On SQLite a rollback isn't told; on PostgreSQL it may be, in vain."""
    journal = SQLiteJournal("default")
    journal.grown()
    with closing(connect()) as other:
        other.execute(INSERT)
        other.rollback()
        assert not journal.grown()


@pytest.mark.sqlite
def test_reading_leaves_the_write_lock_alone(database):
    """A pass neither waits for a writer nor keeps one waiting, as IMMEDIATE would."""
    journal = SQLiteJournal("default")
    journal.new_epoch()
    connection.close()
    with closing(sqlite3.connect(database, timeout=0)) as other:
        with journal.snapshot():
            journal.state()
            other.execute("BEGIN IMMEDIATE")
        with journal.snapshot():
            assert journal.state() is not None
    assert connection.transaction_mode == "IMMEDIATE"


@pytest.mark.sqlite
def test_pruning_gives_way_to_writers(database):
    """A pruning that meets a writer is left for the next time, and waits as ever afterwards."""
    journal = SQLiteJournal("default")
    journal.new_epoch()
    append(journal, "1", "2")
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert journal.prune(100) == 0
        assert not Mark.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20_000,)
    journal.prune(100)
    assert Mark.objects.count() == 1


@pytest.fixture
def elsewhere(tmp_path, database, monkeypatch):
    """The test database as a copy that can be replaced."""
    copy = tmp_path / "copy.sqlite3"
    backup(database, copy)
    connections.close_all()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(copy))
    yield copy
    connections.close_all()


def backup(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def restore(source, target):
    """As it is to be done: a write-ahead log belongs to the file that it was written for."""
    os.replace(source, target)
    for ending in ("-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)


@pytest.mark.sqlite
def test_a_replaced_file_is_noticed(elsewhere, tmp_path):
    """When another file takes the database's place, it is read from then on."""
    journal = SQLiteJournal("default")
    journal.new_epoch()
    append(journal, "1")
    restored = tmp_path / "restored.sqlite3"
    backup(elsewhere, restored)
    position = append(journal, "2")
    journal.grown()
    assert not journal.grown()
    restore(restored, elsewhere)
    assert journal.grown()
    assert not honours(journal, position)
    assert state_of(journal).position.id == position.id - 1
    assert journal.grown()  # the new connection's first count
    assert not journal.grown()


@pytest.mark.sqlite
async def test_pages_follow_a_restored_file(elsewhere, tmp_path):
    """A database restored from a copy under a running server is shown as it is now."""
    restored = tmp_path / "restored.sqlite3"

    @in_database
    def prepare():
        first = IntegerValue.objects.create(name="kept", value=1)
        backup(elsewhere, restored)
        IntegerValue.objects.create(name="lost")
        connection.close()
        return first.pk

    pk = await prepare()
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        assert len(client.rows["intval"]) == 2
        restore(restored, elsewhere)
        await client.until("intval", {pk: {"name": "kept", "value": 1}})
    await eventually(lambda: not relay_for("default").holdings.in_use())


# The command


def test_the_command_prunes(capsys, journal):
    """`databinding_prune` drops what is old by the setting, or by --retention."""
    for key in "123":
        append(journal, key)
    call_command("databinding_prune")
    age(1800)
    call_command("databinding_prune")
    call_command("databinding_prune", "--retention", "1000", "--database", "default")
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"default: {number} keys dropped." for number in (0, 0, 2)]


def test_the_command_names_its_errors(tmp_path):
    """An unknown database and one that isn't migrated are told in a sentence."""
    with pytest.raises(CommandError, match="No bound model is on 'other'; they are on"):
        call_command("databinding_prune", database="other")
    with command(tmp_path / "db.sqlite3", "databinding_prune") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors == "CommandError: 'default' has no journal yet: run migrate first.\n"


def test_a_database_without_a_journal_says_so(monkeypatch):
    """A vendor that has no journal is named."""
    monkeypatch.setattr(connection, "vendor", "oracle")
    with pytest.raises(ImproperlyConfigured, match="no journal for oracle"):
        journals.open_journal("default")
