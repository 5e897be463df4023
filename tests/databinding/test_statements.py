"""Rows by their keys with statements that are kept: the same as Django reads them."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.db import connection, models
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from databinding.statements import Statements
from tests.shapes.models import Child, Message, Named, Paper, Room, Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def statements():
    return Statements("default")


def values_of(instance):
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.fields}


def same(statements, queryset, keys):
    """The rows as both read them."""
    found = {one.pk: values_of(one) for one in statements.rows(queryset, keys)}
    assert found == {one.pk: values_of(one) for one in queryset.filter(pk__in=keys)}
    return found


def test_values_of_every_kind(statements):
    """Every value is what Django makes of it; keys are taken as the wire has them."""
    papers = [
        Paper.objects.create(
            amount=Decimal("1.50"),
            written=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            day=datetime.date(2026, 1, 2),
            took=datetime.timedelta(seconds=number),
            ratio=0.5,
            blob=b"\0",
            extra={"a": [number]},
        )
        for number in range(3)
    ]
    keys = [str(paper.pk) for paper in papers]
    assert len(same(statements, Paper.objects.all(), [*keys, str(uuid.uuid4())])) == 3
    (one,) = statements.rows(Paper.objects.all(), keys[:1])
    assert one._state.db == "default"
    assert not one._state.adding


def test_the_same_statement_for_other_keys(statements):
    """It is made once for as many keys; what is there now is read, one query each time."""
    rows = [Named.objects.create(code=f"n{number}", value=number) for number in range(4)]
    assert same(statements, Named.objects.all(), ["n0", "n1"])["n1"]["value"] == 1
    Named.objects.filter(code="n3").update(value=7)
    with CaptureQueriesContext(connection) as asked:
        found = list(statements.rows(Named.objects.all(), ["n3", "gone"]))
    assert [one.value for one in found] == [7]
    assert len(asked) == 1
    assert len(statements._made) == 1
    many = [row.code for row in rows] * statements.most_keys
    assert statements.rows(Named.objects.all(), many) is None


def test_a_key_that_comes_twice(statements):
    """It is left to Django, then and later; nothing is read for the wrong number of keys."""
    Named.objects.create(code="a")
    assert statements.rows(Named.objects.all(), ["a", "a"]) is None
    assert statements.rows(Named.objects.all(), ["a", "b"]) is None


class Hiding(models.QuerySet):
    def filter(self, *arguments, **conditions):
        return super().filter(*arguments, **conditions).exclude(name="hidden")


@pytest.mark.parametrize(
    "queryset",
    [
        Room.objects.filter(name="a"),
        Room.objects.exclude(name="a"),
        Room.objects.none(),
        Room.objects.all()[:5],
        Room.objects.distinct(),
        Room.objects.only("name"),
        Room.objects.defer("name"),
        Room.objects.values("name"),
        Room.objects.annotate(loud=Upper("name")),
        Room.objects.alias(loud=Upper("name")),
        Room.objects.extra(select={"one": "1"}),
        Room.objects.extra(tables=["shapes_tag"]),
        Room.objects.union(Room.objects.all()),
        Room.objects.select_for_update(),
        Room.objects.prefetch_related("message_set"),
        Message.objects.select_related("room"),
        Child.objects.all(),
        Hiding(Room),
    ],
    ids=lambda queryset: None,
)
def test_whatever_else_is_asked_as_it_stands(statements, queryset):
    """Any other queryset is left to Django."""
    assert statements.rows(queryset, [1]) is None


def test_an_order_and_a_manager_make_no_difference(statements):
    """Rows by their keys need no order; a journaling queryset reads as any other does."""
    room = Room.objects.create(name="a")
    assert same(statements, Room.objects.order_by("-name"), [room.pk])
    task = Task.objects.create()
    assert same(statements, Task.objects.all(), [task.pk])
