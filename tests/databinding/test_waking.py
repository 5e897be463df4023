"""SQLite's file wakes the relay: nobody has to look for other processes' commits."""

import os
import sqlite3

import pytest
from django.db import connection
from django.test import override_settings

from databinding.alarm import FileAlarm
from databinding.relay import Relay, _Life
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]

#: Longer than any test lasts.
NEVER = 3_600


@pytest.fixture
def life(monkeypatch):
    """A relay's, in this thread, which isn't due to look at anything for an hour."""
    monkeypatch.setattr(_Life, "NAP", NEVER)
    IntegerValue.objects.create(name="a")
    life = _Life(Relay("default"))
    life._pass()
    life.journal.grown()
    yield life
    life.relay.alarm.close()


def commit_elsewhere():
    """As another program does, past Django."""
    other = sqlite3.connect(connection.settings_dict["NAME"])
    with other:
        other.execute("UPDATE talk_integervalue SET value = value + 1")
    other.close()


def nap(life, **polls):
    with override_settings(DATABINDING={"POLL_BUSY": NEVER, "POLL_REST": NEVER} | polls):
        life._nap()


def test_a_commit_wakes_it(life):
    """Though the next look is an hour away; and again after that."""
    for _ in range(3):
        life.relay.alarm.watch(life.journal.files())
        commit_elsewhere()
        nap(life)
        assert life.grown
        life.grown = False
    assert life.unannounced == 0


def test_whoever_wants_something_wakes_it(life):
    """It sleeps on one thing: files and callers."""
    life.relay.alarm.set()
    nap(life)
    assert not life.grown


def test_a_commit_that_came_with_a_call(life):
    """What was written when it was called for something else is looked for at once, too."""
    life.relay.alarm.watch(life.journal.files())
    commit_elsewhere()
    life.relay.alarm.set()
    nap(life)
    assert not life.grown
    nap(life)
    assert life.grown


def test_the_files_are_those_that_sqlite_writes_to(life, tmp_path, monkeypatch):
    """Whatever leads to the database: a link, say."""
    link = tmp_path / "link.sqlite3"
    link.symlink_to(connection.settings_dict["NAME"])
    name, log = life.journal.files()
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(link))
    assert life.journal.files() == (name, log)
    assert os.path.exists(log)
    connection.close()


def test_files_that_tell_nothing_are_not_relied_on(life, monkeypatch):
    """Where commits come that no file told of, it looks as often as without."""
    monkeypatch.setattr(FileAlarm, "written", lambda self: False)
    for _ in range(life.DISTRUST):
        commit_elsewhere()
        nap(life, POLL_REST=0.01)
        assert life.grown
        life.grown = False
    assert life.unannounced == life.DISTRUST
    commit_elsewhere()
    nap(life, POLL_BUSY=0.01)
    assert life.grown


def test_one_that_tells_is_trusted_again(life):
    """What a single commit was not told by is forgotten with the next that is."""
    life.unannounced = life.DISTRUST - 1
    life.relay.alarm.watch(life.journal.files())
    commit_elsewhere()
    nap(life)
    assert life.unannounced == 0
