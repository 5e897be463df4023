"""Faults for the oracle to see: each takes apart what one sentence of architecture.md says.

Those of a server are planted into its process by `plant(name)` (environment: ORACLE_FAULT); those
that an in-process program shows as well are given a `monkeypatch`.
"""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from databinding import journal, protocol, triggers
from databinding.audience import Audience, Frames
from databinding.difference import Members, difference
from databinding.form import Form
from databinding.holdings import Holdings
from databinding.journal.postgresql import PostgreSQLJournal
from databinding.passes import Pass
from databinding.reading import Change, Found, Reader
from databinding.relay import _Life
from databinding.subscription import Subscription
from databinding.vigil import Vigil
from tests.shapes import writes
from tests.shapes.bindings import AccountBinding


def _keys(condition, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT model, key FROM databinding_journal WHERE {condition}", parameters)
        keys = {}
        for label, key in cursor.fetchall():
            keys.setdefault(label, set()).add(key)
        return keys


# In a server's process


def position_by_id():
    """Ids are handed out before the commit."""
    PostgreSQLJournal.keys_since = lambda self, position, limit: _keys("id > %s", position.id)


def running_transactions_ignored():
    """What was running when the position was taken commits later."""

    def keys_since(self, position, limit):
        return _keys("xid >= %s::xid8", position.snapshot.split(":")[1])

    PostgreSQLJournal.keys_since = keys_since


def rows_before_keys():
    """Two snapshots: what commits in between is named, but was read as it was before."""
    early = {}
    make_pass = _Life._pass

    def read_early(self):
        reader = Reader(self.journal, {})
        with self.journal.snapshot():
            for form, rows in self.relay.holdings.rows.items():
                found = reader.all(form, rows.held())
                early[form] = {row.key: row for row in found}
        time.sleep(0.005)
        make_pass(self)

    def keys(self, form, texts):
        wanted = [form.binding.key_from_text(text) for text in texts]
        there = early.get(form, {})
        rows = [there[key] for key in wanted if key in there]
        return Change(Found(rows), [key for key in wanted if key not in there])

    _Life._pass = read_early
    Reader.keys = keys


#: Seconds; a transaction of `overdue` takes longer.
RETENTION = 0.3
#: What pruning by timestamp needs, and its undoing.
TIMESTAMP = "ALTER TABLE databinding_journal ADD COLUMN written timestamptz DEFAULT now()"
NO_TIMESTAMP = "ALTER TABLE databinding_journal DROP COLUMN written"


def pruned_by_timestamp():
    """A late commit carries an early time."""
    settings.DATABINDING = {"RETENTION": RETENTION}

    def prune(self, retention, **options):
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM databinding_journal WHERE written < now() - %s * interval '1 second'",
                [retention],
            )
            return cursor.rowcount

    PostgreSQLJournal.prune = prune
    # The design goes with it: whatever is younger than the retention is taken to be there.
    PostgreSQLJournal.honours = lambda self, position, state: True


def rights_never_looked_up():
    """Whoever is let in stays, with what he saw then."""

    async def look(self):
        pass

    Vigil._look = look


def rights_of_the_handshake():
    """Whoever is let in is asked for as he was then, and nobody is looked up again."""
    rights_never_looked_up()
    Form.represent = lambda self, users, rights: True


PLANTED = {
    plant.__name__: plant
    for plant in (
        position_by_id,
        running_transactions_ignored,
        rows_before_keys,
        pruned_by_timestamp,
        rights_never_looked_up,
        rights_of_the_handshake,
    )
}


def plant(name):
    PLANTED[name]()


# In a writer's process: writes that show them


def journalled_late(chance):
    """A transfer whose keys come after its commit, without triggers."""
    keys = writes.two_accounts(chance)
    amount = chance.randint(1, 9)
    with transaction.atomic():
        for pk, change in zip(keys, (amount, -amount), strict=True):
            writes.pay(pk, change)
    time.sleep(chance.uniform(0, 0.02))
    label = AccountBinding.concrete_label()
    journal.append("default", [(label, str(pk)) for pk in keys])


def overdue(chance):
    """A transfer that commits when its keys are older than the retention."""
    with transaction.atomic():
        writes.transfer(chance)
        time.sleep(RETENTION * chance.uniform(1, 2))


def late_transfer(chance):
    with transaction.atomic():
        writes.transfer(chance)
        time.sleep(chance.uniform(0, 0.05))


# In the database: triggers that do less than they should


class Less(NamedTuple):
    """A fault of triggers, the stream that shows it, and writes that bring it about."""

    plant: Callable[[], None]
    stream: str
    writes: list[Callable[..., None]]
    only: str | None = None


def _made(part, operation=""):
    """Names and SQL of the triggers that should be there, of those with this in their SQL."""
    return {
        name: trigger.sql
        for name, trigger in triggers.wanted("default").items()
        if part in trigger.sql and ("displace" in name) == (operation == "displace")
        if f"_{operation}" in name
    }


def _without(names):
    dialect = triggers._DIALECTS[connection.vendor]
    dialect.replace(connection, drop=list(names), create=[])


def _instead(found, pattern, replacement):
    """Make them otherwise."""
    _without(found)
    with connection.cursor() as cursor:
        for sql in found.values():
            otherwise, times = re.subn(pattern, replacement, sql)
            assert times, sql
            cursor.execute(otherwise)


def dependents_named_by_the_writer():
    """Who renames a room names the messages that it sees then, not those about to be committed."""
    _instead(
        _made("shapes.message:room__pk", "update"),
        r"'shapes.message:room__pk', touched.key(.*?)AS touched \(key\)",
        r"'shapes.message', message.id::text\1AS touched (key) "
        "JOIN public.shapes_message AS message ON message.room_id::text = touched.key",
    )


def rename_slowly(chance):
    """Long enough for a message to come, and to be shown, before it is over."""
    with transaction.atomic():
        writes.rename_room(chance)
        time.sleep(chance.uniform(0.1, 0.4))


def only_where_it_is():
    """A message that moves touches the room it comes to, not the one it leaves."""
    # Of an update of many rows, and of one.
    pattern = r" UNION SELECT.*?databinding_old| UNION ALL SELECT.*?(?=\) AS touched)"
    if connection.vendor == "sqlite":
        pattern = r'INSERT INTO [^;]*OLD."room_id", random[^;]*;'
    found = _made("'shapes.room'", "update")
    _instead({name: sql for name, sql in found.items() if "room_id" in sql}, pattern, "")


def the_table_in_between_unwatched():
    """Rows of a many-to-many's table come and go between two that nobody touched."""
    _without(_made("'shapes.room:message__pk'"))


def the_parents_table_unwatched():
    """Half of a multi-table child's row is in another table."""
    _without(_made("databinding_shapes_base_"))


def the_displaced_unseen():
    """REPLACE tells no trigger of the rows that it removes."""
    _without(_made("databinding_shapes_slot_", "displace"))


def what_goes_with_a_room_unseen():
    """ON DELETE CASCADE is the database's own affair."""
    _without(_made("databinding_shapes_entry_", "delete"))


def an_emptied_partition_unseen():
    """TRUNCATE of a partition is none of its table."""
    names = triggers.wanted("default")
    _without(name for name in names if re.search(r"_shapes_entry_t\d+_", name))


LESS = [
    Less(
        *(dependents_named_by_the_writer, "titled", [rename_slowly, writes.create]),
        only="postgresql",
    ),
    Less(only_where_it_is, "room", [writes.move]),
    Less(the_table_in_between_unwatched, "room", [writes.tag, writes.untag_some]),
    Less(the_parents_table_unwatched, "tall", [writes.parent_change]),
    Less(what_goes_with_a_room_unseen, "entry", [writes.entries_come, writes.replace_room]),
    Less(
        *(an_emptied_partition_unseen, "entry", [writes.entries_come, writes.truncate_part]),
        only="postgresql",
    ),
    Less(the_displaced_unseen, "slot", [writes.slot_take, writes.slot_move], only="sqlite"),
]


# In this process


def a_resume_that_skips_a_pass(monkeypatch):
    """Whoever resumes from the state before the newest is taken to have seen that."""
    advance, resume = Holdings.advance, Pass._resume
    before = {}

    def remember(self, changes, standing, *trusted):
        before[self] = self.standing
        return advance(self, changes, standing, *trusted)

    def skip(self, audience, stream, cursor):
        position = audience.position_of(stream, cursor, self.state.epoch)
        standing = before.get(self.holdings)
        if standing is not None and position == standing.position:
            self._since[position] = {}
        return resume(self, audience, stream, cursor)

    monkeypatch.setattr(Holdings, "advance", remember)
    monkeypatch.setattr(Pass, "_resume", skip)


def a_batch_split_in_two(monkeypatch):
    """What committed together arrives in two frames."""

    def make_frames(self, stream, classic, since, standing):
        events = difference(self.rows, self.groups, since)
        if events is None:
            return None
        cursor = self.cursor(stream, standing)
        half = (len(events) + 1) // 2
        parts = [part for part in (events[:half], events[half:]) if part]
        texts = (protocol.batch(stream, part, cursor) for part in parts)
        return Frames(tuple(texts), self.number, len(events))

    monkeypatch.setattr(Audience, "_make_frames", make_frames)


def a_member_forgotten(monkeypatch):
    """Who leaves a group isn't remembered, so nobody is told."""

    def leave(self, key, number, fragment):
        self.present.pop(key, None)
        self.changed = number

    monkeypatch.setattr(Members, "leave", leave)


def a_window_ignored(monkeypatch):
    """Frames are sent whatever is acknowledged."""
    make = Subscription.__init__

    def without_window(self, *arguments, window=None, **options):
        make(self, *arguments, window=None, **options)

    monkeypatch.setattr(Subscription, "__init__", without_window)


IN_PROCESS = [
    a_resume_that_skips_a_pass,
    a_batch_split_in_two,
    a_member_forgotten,
    a_window_ignored,
]
