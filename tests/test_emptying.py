"""That nothing of a test is left for the next one, and nothing else is touched."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from django.db import connection
from django.test import TransactionTestCase

from databinding.models import JournalEntry
from tests import emptying
from tests.servers import CHECKOUT, PATIENCE, environment
from values.models import Description, FloatValue, Sample

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("by_flush", [True, False])
def test_nothing_is_left(by_flush):
    """Nor what triggers write down of what goes, whichever way it is emptied."""
    FloatValue.objects.create(name="a value")
    if by_flush:
        emptying.held.clear()
    emptying.empty_all(TransactionTestCase())
    for model in (FloatValue, Sample, Description, JournalEntry):
        assert not model.objects.exists(), model


@pytest.mark.postgresql
def test_rows_that_are_gone_take_no_space():
    """A table that was large is as small as a new one, whoever reads in it next."""
    FloatValue.objects.bulk_create(FloatValue(name=f"value {number}") for number in range(5000))
    emptying.empty_all(TransactionTestCase())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('values_floatvalue')")
        assert cursor.fetchone() == (0,)


@pytest.mark.sqlite
def test_the_projects_own_database_is_no_test_database(tmp_path):
    """Where no test asks for a database, what the project's holds stays."""
    file = tmp_path / "own.sqlite3"
    with closing(sqlite3.connect(file)) as own:
        own.execute("CREATE TABLE values_integervalue (name)")
        own.execute("INSERT INTO values_integervalue VALUES ('mine')")
        own.commit()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/databinding/test_parts.py"],
            cwd=CHECKOUT,
            env=environment(str(file), "tests.settings"),
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert own.execute("SELECT name FROM values_integervalue").fetchall() == [("mine",)]
