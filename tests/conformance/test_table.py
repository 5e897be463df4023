"""The conformance table: which kind of write is seen, and how."""

import asyncio
import os

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import override_settings

from databinding import capture, journal, triggers
from databinding.binding import registry
from databinding.refreshes import Refreshes
from databinding.relay import relay_for, stop_relays
from databinding.testing import rows_of
from tests.conformance import streams, table
from tests.conformance.models import MODELS
from tests.conformance.writes import DEPENDENT, WRITES, begin
from tests.databinding.clients import PATIENCE, Client, named

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bindings(transactional_db):
    """Tables and bindings of the models, for the time of a test."""
    before = list(registry)
    declared = streams.declare()
    capture.connect()
    with connection.schema_editor() as editor:
        for model in MODELS:
            if hasattr(model, "ddl"):
                for statement in model.ddl.split(";"):
                    editor.execute(statement)
            else:
                editor.create_model(model)
    yield declared
    stop_relays()
    registry[:] = before
    capture.connect()
    with connection.schema_editor() as editor:
        for model in reversed(MODELS):
            editor.delete_model(model)
        if connection.vendor == "postgresql":
            editor.execute("DROP SCHEMA elsewhere")
    triggers.install("default")


async def settled():
    """Return when a pass has been made that began after this was called."""
    await asyncio.wrap_future(relay_for("default").submit(lambda this: None))


class Page:
    """A page of all streams."""

    def __init__(self, bindings):
        self.bindings = bindings
        self.client = Client(named(bindings, streams.GROUPS))

    async def load(self):
        for stream in self.bindings:
            await self.client.subscribe(stream)

    async def shown(self, names):
        """What it shows once all that comes by itself has come."""
        await settled()
        # A reply queues behind the batches that were sent by then.
        await self.client.ask("note", "no such action")
        return {name: self.client.rows[name] for name in names}

    @sync_to_async
    def truth(self, names):
        everybody = frozenset(streams.GROUPS)
        return {name: rows_of(self.bindings[name])(everybody) for name in names}

    @sync_to_async
    def begin_anew(self, names):
        """Any row may have changed."""
        labels = {self.bindings[name].concrete_label() for name in names}
        journal.append("default", [(label, None) for label in labels])

    async def is_healed(self, names, after):
        """Do the rows become these by `refresh_every`?"""
        bindings = [self.bindings[name] for name in names]
        for binding in bindings:
            binding.refresh_every = 0.001
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.shown(names) != after:
                    pass
        except TimeoutError:
            return False
        else:
            return True
        finally:
            for binding in bindings:
                binding.refresh_every = None


async def outcome(page, write):
    """What becomes of one write on a page that was current before it."""
    if write.only not in (None, connection.vendor):
        return table.NONE
    names = streams.DEPENDENT if write.section == DEPENDENT else streams.PLAIN
    rows = await sync_to_async(begin)()
    await page.begin_anew(names)
    before = await page.shown(names)
    assert before == await page.truth(names), f"{write.name}: it was not even current before."
    await sync_to_async(write.do)(rows)
    after = await page.truth(names)
    assert after != before, f"{write.name} changes nothing that is shown."
    if await page.shown(names) == after:
        return table.AT_ONCE
    return table.REFRESH if await page.is_healed(names, after) else table.UNSEEN


@pytest.mark.parametrize("how", table.CAPTURES)
async def test_what_is_seen_of_each_kind_of_write(how, bindings, monkeypatch):
    """Each kind of write is seen, under this capture on this database, as the reference says."""
    monkeypatch.setattr(Refreshes, "LOOK", 0)
    monkeypatch.setattr(Refreshes, "SHARE", 1)
    found = {}
    with override_settings(DATABINDING={"CAPTURE": how, "PASS_PAUSE": 0.001}):
        await sync_to_async(triggers.install)("default")
        page = Page(bindings)
        async with page.client:
            await page.load()
            for write in WRITES:
                found[write.name, (how, connection.vendor)] = await outcome(page, write)
    if os.environ.get("CONFORMANCE") == "write":
        table.write(found)
    said = table.read()
    assert {cell: said.get(cell) for cell in found} == found, (
        "docs/reference/writes.md says something else; python -m tests.conformance writes it anew"
    )


def test_the_table_has_no_row_too_many():
    """The reference has a row for each kind of write, under every capture and database."""
    assert len({write.name for write in WRITES}) == len(WRITES)
    assert set(table.read()) == {
        (write.name, column) for write in WRITES for column in table.COLUMNS
    }
