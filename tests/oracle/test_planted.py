"""The oracle can fail: each planted fault is seen."""

import asyncio
import time
from itertools import count
from random import Random

import pytest
from django.db import connection
from django.test import override_settings

from databinding import triggers
from databinding.testing.program import make_program
from tests.databinding.test_convergence import CLIENTS, WRITES, run
from tests.oracle import faults
from tests.oracle.shapes import PERSONAL, STREAMS, USERS, shapes_oracle
from tests.shapes import writes

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = [stream for stream in STREAMS if stream.name == "account"]
#: Seconds in which a fault must have been seen, on a busy machine.
BUDGET = 150
#: Seconds in which clients become equal where nothing is planted, on a busy machine.
PATIENCE = 4


#: What is said of half a transaction, and of rows that aren't what they should be.
HALF_SHOWN = ("adds up to", " at once.", "shown twice")
WRONG_ROWS = (" is not ", "never given", *HALF_SHOWN)


# In this process


def in_process(seed):
    """A program for `tests.databinding.test_convergence`."""
    for step in make_program(seed, 60, writes=list(WRITES), writers=1, clients=len(CLIENTS)):
        match step.do:
            case "write":
                yield "write", step.what, step.number
            case "client" if step.what in ("leave", "drop"):
                yield "drop", step.who
                if step.what == "drop":
                    yield ("settle",)
                    yield "connect", step.who
            case "client":
                yield step.what, step.who
            case "pause":
                yield ("settle",)


def violation(patience=PATIENCE):
    """What the programs see first."""
    began = time.monotonic()
    for seed in count():
        assert time.monotonic() < began + BUDGET, "Nothing was seen."
        window = Random(seed).choice([None, 1, 1, 3])
        try:
            asyncio.run(run(in_process(seed), window, patience))
        except AssertionError as error:
            return str(error)


@pytest.mark.parametrize("plant", faults.IN_PROCESS, ids=lambda plant: plant.__name__)
def test_a_fault_is_seen_in_process(plant, monkeypatch):
    """Programs against a faulty relay end in a violation."""
    plant(monkeypatch)
    said = {
        faults.a_resume_that_skips_a_pass: WRONG_ROWS,
        faults.a_batch_split_in_two: HALF_SHOWN,
        faults.a_member_forgotten: WRONG_ROWS,
        faults.a_window_ignored: ("unacknowledged, in a window of",),
    }
    # Where clients end equal nothing but what is planted is seen, however slowly they do.
    found = violation(PATIENCE if said[plant] is WRONG_ROWS else 10 * PATIENCE)
    assert any(part in found for part in said[plant]), found


@pytest.fixture
def no_triggers(transactional_db):
    triggers.uninstall("default")
    yield
    triggers.install("default")


def test_uncaptured_bulk_statements_are_seen(no_triggers):
    """Where signals capture, what sends none is missed, and that is seen."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        found = violation()
    assert any(part in found for part in WRONG_ROWS), found


# In servers and writers


def seen(servers, **options):
    """What the oracle finds within the budget."""
    oracle = shapes_oracle(
        [server.websocket_url for server in servers],
        **{"streams": ACCOUNT, "stamp": None, "kill_writers": False, "patience": PATIENCE}
        | options,
    )
    report = oracle.run(seconds=BUDGET, steps=150)
    assert report.violations, f"Nothing was seen.\n{report}"
    return report.violations[0].what


MISSED = ("adds up to", "did not become equal", "shrank", "never given", "at once", "twice")


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("fault", "write"),
    [
        ("position_by_id", faults.late_transfer),
        ("running_transactions_ignored", faults.late_transfer),
        ("pruned_by_timestamp", faults.overdue),
    ],
)
def test_a_faulty_journal_is_seen(fault, write, start_servers):
    """A server whose reads of the journal miss a late commit is found out."""
    with connection.cursor() as cursor:
        cursor.execute(faults.TIMESTAMP)
    try:
        servers = start_servers(ORACLE_FAULT=fault)
        found = seen(servers, writes=[write, faults.late_transfer])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(faults.NO_TIMESTAMP)
    assert any(part in found for part in MISSED), found


def test_rows_read_before_their_keys_are_seen(start_servers):
    """A server that reads keys and rows in two snapshots is found out."""
    servers = start_servers(ORACLE_FAULT="rows_before_keys")
    found = seen(servers, writes=[faults.writes.transfer])
    assert any(part in found for part in MISSED), found


@pytest.mark.parametrize("fault", ["rights_never_looked_up", "rights_of_the_handshake"])
def test_rights_that_outlive_their_end_are_seen(fault, start_servers):
    """A server that goes on showing what a user might once see is found out."""
    servers = start_servers(ORACLE_FAULT=fault)
    found = seen(
        servers,
        visitors=USERS,
        streams=PERSONAL,
        writes=[*writes.NOTE_WRITES, writes.promoted, writes.team_changed],
    )
    assert any(part in found for part in ("did not become equal", "Some rows have")), found


def test_keys_journalled_after_the_commit_are_seen(no_triggers, start_servers):
    """Writers whose keys come in a transaction of their own are found out."""
    servers = start_servers()
    found = seen(servers, writes=[faults.journalled_late])
    assert any(part in found for part in MISSED), found


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            id=fault.plant.__name__,
            marks=[getattr(pytest.mark, fault.only)] if fault.only else [],
        )
        for fault in faults.LESS
    ],
)
def test_triggers_that_do_less_are_seen(fault, start_servers):
    """Whatever a trigger leaves out is found out by the writes that it is for."""
    servers = start_servers()
    fault.plant()
    try:
        streams = [stream for stream in STREAMS if stream.name == fault.stream]
        found = seen(servers, streams=streams, writes=fault.writes)
    finally:
        triggers.install("default")
    assert any(part in found for part in MISSED), found
