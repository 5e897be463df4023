"""`databinding_status`: what people are told of how it is."""

import io
import json
import socket
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.test import override_settings

from databinding import triggers
from databinding.journal import open_journal
from databinding.models import JournalEntry
from tests.redis import Redis
from tests.servers import CHECKOUT, PATIENCE, environment
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("inspected_anew")]


def status(*arguments):
    """What is printed here, and the exit status."""
    printed = io.StringIO()
    try:
        call_command("databinding_status", *arguments, stdout=printed, no_color=True)
    except SystemExit as end:
        return printed.getvalue(), end.code
    return printed.getvalue(), 0


def status_of(database, *arguments, **variables):
    """The same of a process of its own."""
    process = subprocess.run(
        [sys.executable, "-W", "error", CHECKOUT / "manage.py", "databinding_status", *arguments],
        env=environment(database, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.stderr == ""
    return process.stdout, process.returncode


# PostgreSQL without a layer is a warning of its own (W005), and meant here.
@override_settings(DATABINDING={"DOORBELL": None})
def test_where_nothing_is_wrong_it_says_so():
    """All is well: one sentence, then each database, its journal, triggers and bindings; 0."""
    JournalEntry.objects.all().delete()
    open_journal("default").new_epoch()
    IntegerValue.objects.bulk_create(IntegerValue(name=name) for name in "abc")
    printed, code = status()
    assert code == 0
    assert printed.startswith("Nothing is wrong.\n\nDatabase default (")
    assert "  journal   3 keys, ids " in printed
    assert f"  triggers  {len(triggers.wanted('default'))}, in step\n" in printed
    assert (
        "  binding   tests.talk.bindings.IntegerValueBinding\n"
        "            talk.IntegerValue as stream 'intval': name, value\n"
        "            groups: every row in intval-updates\n"
    ) in printed
    assert "            groups: by row\n" in printed
    assert "            watches: owner\n" in printed
    assert "channel layer  none" in printed
    assert "  DOORBELL = None\n" in printed


def test_bindings_that_are_asked_anew(monkeypatch):
    """A binding's `refresh_every` is told with it."""
    monkeypatch.setattr(IntegerValueBinding, "refresh_every", 90)
    printed, _ = status()
    assert (
        "            groups: every row in intval-updates\n            asked anew every 90 s\n"
    ) in printed


@override_settings(DATABINDING={"DOORBELL": None})
def test_problems_come_first():
    """What is wrong comes first, with its id and what to do; the exit status is 1."""
    triggers.uninstall("default")
    try:
        printed, code = status()
    finally:
        triggers.install("default")
    assert code == 1
    first, hint = printed.splitlines()[:2]
    assert first.startswith("✗ Triggers on 'default' aren't in step with the bindings (missing: ")
    assert first.endswith(" (databinding.W003)")
    assert hint == "  Run manage.py migrate --database default."
    assert f"{len(triggers.wanted('default'))} missing" in printed


@override_settings(DATABINDING={"DOORBELL": None, "METRICS_TOKEN": "hush", "RETENTION": 60})
def test_the_same_for_programs():
    """With --json the same is plain data, and no secret is in it."""
    printed, code = status("--json")
    found = json.loads(printed)
    assert code == 0
    assert found["problems"] == []
    assert found["databases"]["default"]["condition"] == "ok"
    assert found["databases"]["default"]["triggers"]["missing"] == []
    assert found["settings"] == {"DOORBELL": None, "METRICS_TOKEN": "…", "RETENTION": 60}
    assert "hush" not in printed


def test_a_database_that_is_not_migrated(tmp_path):
    """Before migrate it says which command is to be run."""
    printed, code = status_of(tmp_path / "db.sqlite3")
    assert code == 1
    assert printed.splitlines()[:2] == [
        "✗ The database 'default' is not migrated: the journal's tables aren't there.",
        "  Run manage.py migrate --database default.",
    ]


def test_a_database_that_says_nothing(tmp_path):
    """While the database hangs it says so, in bounded time, and tells what can be told."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        printed, code = status_of(tmp_path / "unused", DATABASE_URL=url)
    assert code == 1
    assert printed.startswith("✗ The database 'default' is away: no answer within 2 s.\n")
    assert "  binding   values.bindings.IntegerValueBinding\n" in printed


@pytest.mark.alike
def test_the_channel_layer(database):
    """A layer that can be reached is told so; one that can't, or says nothing, is a problem."""
    with Redis() as redis:
        here = {"settings": "tests.settings", **redis.environment()}
        printed, code = status_of(database, **here)
        assert (code, printed.partition("\n")[0]) == (0, "Nothing is wrong.")
        assert "  channel layer  default: channels_redis.pubsub.RedisPubSubChannelLayer, reach" in (
            printed
        )
        redis.pause()
        try:
            printed, code = status_of(database, **here)
        finally:
            redis.resume()
        assert code == 1
        assert printed.startswith("✗ The channel layer 'default' can't be reached: no answer ")
        redis.crash()
        printed, code = status_of(database, **here)
        assert code == 1
        assert printed.startswith("✗ The channel layer 'default' can't be reached: Error ")
