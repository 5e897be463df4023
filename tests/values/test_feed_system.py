"""`manage.py feed_system`, on the real machine and a real database."""

import platform
import signal
import sqlite3
from datetime import timedelta

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.servers import PATIENCE, command, wait_until
from values.machine import COUNTERS, GAUGES, Machine
from values.models import BooleanValue, FloatValue, IntegerValue, TextValue


def test_it_writes_what_the_machine_does(database):
    """Every gauge and counter of this machine is a value; what stood there before is left alone."""
    IntegerValue.objects.create(name="other", value=7)
    call_command("feed_system", count=2, interval=0.05, prefix="here.")
    values = {row.name: row.value for row in IntegerValue.objects.all()}
    assert values.pop("other") == 7
    assert set(values) <= {f"here.{name}" for name in GAUGES | COUNTERS}
    assert {f"here.{name}" for name in GAUGES} <= set(values)
    assert 0 < values["here.memory.used_mib"] < psutil.virtual_memory().total / 2**20
    assert 0 <= values["here.cpu.percent"] <= 100


def test_it_writes_every_kind(database):
    """Decimals and texts of this machine are there, told how to be shown, and when reported."""
    call_command("feed_system", count=1, interval=0.05)
    busy = FloatValue.objects.get(name="cpu.busy")
    assert 0 <= busy.value <= 100
    assert (busy.unit, busy.decimals, busy.maximum, busy.critical_high) == ("%", 1, 100, 95)
    assert TextValue.objects.get(name="system.kernel").value == platform.release()
    assert TextValue.objects.get(name="cpu.top_process").value
    assert busy.expected_interval == 0.05
    assert timezone.now() - busy.reported_at < timedelta(minutes=1)


def test_it_says_that_it_runs(database):
    """The value feed.alive is yes while the feed runs and no, which is critical, once it ended."""
    with command(database, "feed_system", "--interval", "0.05") as feed:
        wait_until(BooleanValue.objects.filter(name="feed.alive", value=True).exists)
        feed.terminate()
        feed.communicate(timeout=PATIENCE)
    alive = BooleanValue.objects.get(name="feed.alive")
    assert (alive.value, alive.critical_on) == (False, "no")


def test_it_leaves_descriptions_alone(database):
    """What somebody said of a value stays; what nobody ever described is described once."""
    IntegerValue.objects.create(name="memory.percent", unit="per cent")
    IntegerValue.objects.create(name="cpu.percent")
    call_command("feed_system", count=1, interval=0.05)
    IntegerValue.objects.filter(name="cpu.percent").update(critical_high=None)
    call_command("feed_system", count=1, interval=0.05)
    rows = {row.name: row for row in IntegerValue.objects.all()}
    assert (rows["memory.percent"].unit, rows["memory.percent"].maximum) == ("per cent", None)
    assert (rows["cpu.percent"].unit, rows["cpu.percent"].critical_high) == ("%", None)


def test_a_row_keeps_its_identity(database):
    """A later reading updates the rows of the earlier one; a deleted row comes back."""
    call_command("feed_system", count=1, interval=0.05)
    before = dict(IntegerValue.objects.values_list("name", "pk"))
    IntegerValue.objects.filter(name="processes").delete()
    IntegerValue.objects.update(value=-1)
    call_command("feed_system", count=1, interval=0.05)
    after = dict(IntegerValue.objects.values_list("name", "pk"))
    assert before.pop("processes") != after.pop("processes")
    assert before == after
    assert not IntegerValue.objects.filter(value=-1).exists()


def test_a_missing_counter_is_left_out(monkeypatch):
    """What psutil can't tell here is no value, and the rest is read all the same."""
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    values = Machine().read().integers
    assert not {"disk.read_kb_s", "disk.written_kb_s"} & set(values)
    assert set(GAUGES) <= set(values)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told(database, stop):
    """A running feed ends at once and without complaint on Ctrl-C and on SIGTERM."""
    # On PostgreSQL a check warns of a missing Redis, which is no complaint of the feed's.
    with command(database, "feed_system", "--skip-checks", "--interval", "0.05") as feed:
        wait_until(IntegerValue.objects.exists)
        feed.send_signal(stop)
        printed, errors = feed.communicate(timeout=PATIENCE)
    assert (feed.returncode, printed, errors) == (0, "", "")


def test_it_is_told_more_than_once(database):
    """A terminal tells it, and so does whoever started it: it still writes that it has ended."""
    with command(database, "feed_system", "--skip-checks", "--interval", "0.05") as feed:
        wait_until(BooleanValue.objects.filter(name="feed.alive", value=True).exists)
        feed.send_signal(signal.SIGINT)
        feed.send_signal(signal.SIGTERM)
        printed, errors = feed.communicate(timeout=PATIENCE)
    assert (feed.returncode, printed, errors) == (0, "", "")
    assert BooleanValue.objects.filter(name="feed.alive", value=False).exists()


@pytest.mark.sqlite
def test_it_survives_a_locked_database(database):
    """While another process holds the write lock for long, the feed says so and goes on after."""
    with (
        command(f"{database}?timeout=1", "feed_system", "--interval", "0.05") as feed,
        sqlite3.connect(database, isolation_level=None) as other,
    ):
        wait_until(IntegerValue.objects.exists)
        other.execute("BEGIN IMMEDIATE")
        line = feed.stderr.readline()  # after the connection's own time-out
        other.execute("UPDATE values_integervalue SET value = -1")
        other.execute("COMMIT")
        wait_until(lambda: not IntegerValue.objects.filter(value=-1).exists())
        feed.terminate()
        feed.communicate(timeout=PATIENCE)
    other.close()
    assert "trying again: database is locked" in line
    assert feed.returncode == 0


def test_an_impossible_interval_is_refused(db):
    """An interval of zero is an error, not a busy loop."""
    with pytest.raises(CommandError, match="--interval"):
        call_command("feed_system", interval=0)
