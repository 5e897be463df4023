"""That nothing of a test is left for the next one."""

import pytest
from django.db import connection
from django.test import TransactionTestCase

from databinding.models import JournalEntry
from tests import emptying
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
