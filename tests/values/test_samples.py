"""Every change of a value is a sample, whatever wrote it; who did it is known where it can be."""

import math
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from dashboard.consumers import Demultiplexer
from databinding import triggers
from databinding.acting import acting
from tests.databinding.clients import Client
from tests.values.forms import hidden
from values.models import (
    BooleanValue,
    Description,
    FloatValue,
    IntegerValue,
    Sample,
    TextValue,
)
from values.samples.kinds import KINDS
from values.samples.recording import catch_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_past")]


def past(row, kind="intval"):
    """The samples of a value in their order: numbers or texts; None: from then on not known."""
    rows = Sample.objects.filter(kind=kind, key=row.pk).order_by("time", "id")
    return [sample.number if sample.text is None else sample.text for sample in rows]


def authors(row, kind="intval"):
    rows = Sample.objects.filter(kind=kind, key=row.pk).order_by("time", "id")
    return [sample.who for sample in rows]


@pytest.fixture
def row(db):
    Sample.objects.all().delete()  # The values of the test before were deleted after theirs.
    return IntegerValue.objects.create(name="pump", value=1)


@pytest.mark.parametrize(
    ("kind", "first", "second", "kept"),
    [
        ("intval", 1, 2, [1, 2]),
        ("floatval", 0.1, -1e300, [0.1, -1e300]),
        ("boolval", True, False, [1, 0]),
        ("textval", "", "it's", ["", "it's"]),
    ],
)
def test_every_kind_has_a_past(kind, first, second, kept):
    """What is created and saved is there, exactly; saving the same again adds nothing."""
    row = KINDS[kind].objects.create(name="pump", value=first)
    row.value = second
    row.save()
    row.save()
    assert past(row, kind) == kept


def test_bulk_and_raw_writes_count(row):
    """update(), bulk_update(), bulk_create() and SQL are changes like any other."""
    IntegerValue.objects.update(value=2)
    row.value = 3
    IntegerValue.objects.bulk_update([row], ["value"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE values_integervalue SET value = value + 1")
    others = IntegerValue.objects.bulk_create(
        IntegerValue(name=f"other {number}", value=number) for number in range(3)
    )
    assert past(row) == [1, 2, 3, 4]
    found = IntegerValue.objects.filter(name__startswith="other").order_by("name")
    assert [past(other) for other in found] == [[0], [1], [2]]
    assert len(others) == 3


def test_values_in_between_count(row):
    """Each of several changes within one transaction is kept, and none of one undone."""
    with transaction.atomic():
        for value in (2, 3, 4):
            IntegerValue.objects.update(value=value)
        try:
            with transaction.atomic():
                IntegerValue.objects.update(value=99)
                raise RuntimeError
        except RuntimeError:
            pass
    assert past(row) == [1, 2, 3, 4]


def test_other_fields_are_no_changes(row):
    """A new name, limit or report of the same value is no sample."""
    IntegerValue.objects.update(name="valve", maximum=3, reported_at=timezone.now())
    IntegerValue.objects.update(value=1)
    assert past(row) == [1]


def test_nothing_is_known_of_what_was_deleted(row):
    """A deletion ends what is known, by delete() of a row and of many."""
    other = TextValue.objects.create(name="other", value="a")
    keys = row.pk, other.pk
    row.delete()
    TextValue.objects.all().delete()
    row.pk, other.pk = keys
    assert (past(row), past(other, "textval")) == ([1, None], ["a", None])


def test_another_key_is_another_value(row):
    """Of a row whose key changed the old key's past ends and the new one's begins."""
    other = IntegerValue(pk=row.pk + 1)
    IntegerValue.objects.filter(pk=row.pk).update(id=other.pk)
    assert (past(row), past(other)) == ([1, None], [1])


@pytest.mark.postgresql
def test_nothing_is_known_after_truncate(row):
    """TRUNCATE ends the past of each value that there was, once."""
    gone = IntegerValue.objects.create(name="gone", value=5)
    key = gone.pk
    gone.delete()
    gone.pk = key
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE values_integervalue")
    assert (past(row), past(gone)) == ([1, None], [5, None])


def test_a_silence_is_kept(row):
    """Where reports were missing, nothing is known from when one was due until the next came."""
    before = timezone.now() - timedelta(hours=1)
    row = IntegerValue.objects.create(name="silent", value=1, expected_interval=2)
    Sample.objects.filter(key=row.pk).update(time=before)
    IntegerValue.objects.filter(pk=row.pk).update(reported_at=before)
    IntegerValue.objects.filter(pk=row.pk).update(reported_at=before + timedelta(seconds=5))
    assert past(row) == [1]
    IntegerValue.objects.filter(pk=row.pk).update(reported_at=before + timedelta(seconds=12))
    assert past(row) == [1, None, 1]
    silent = Sample.objects.get(key=row.pk, number=None)
    assert abs(silent.time - before - timedelta(seconds=7)) < timedelta(milliseconds=2)


def gone_silent(name="silent", **fields):
    """A value whose source reported an hour ago, every 5 s until then."""
    hour = timezone.now() - timedelta(hours=1)
    row = IntegerValue.objects.create(name=name, value=1, expected_interval=5, **fields)
    Sample.objects.filter(key=row.pk).update(time=hour)
    IntegerValue.objects.filter(pk=row.pk).update(reported_at=hour)
    row.refresh_from_db()
    return row


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"value": 3}, [1, None, 3]),
        ({"expected_interval": None}, [1, None, 1]),
        ({"expected_interval": 7200}, [1, None, 1]),
        ({"expected_interval": 6}, [1, None]),
        ({"reported_at": None}, [1, None, 1]),
        ({"name": "still silent"}, [1, None]),
    ],
)
def test_a_silence_is_kept_before_the_row_forgets_it(row, fields, kept):
    """Whatever is written while a source is silent, it was not known since its report was due."""
    row = gone_silent()
    IntegerValue.objects.filter(pk=row.pk).update(**fields)
    assert past(row) == kept
    silent = Sample.objects.get(key=row.pk, number=None)
    due = row.reported_at + timedelta(seconds=5)
    assert abs(silent.time - due) < timedelta(milliseconds=2)
    catch_up(sender=None, using="default")
    assert past(row) == kept


def test_what_was_deleted_had_been_silent(row):
    """Of a value that was deleted nothing is known since its source fell silent."""
    row = gone_silent()
    IntegerValue.objects.filter(pk=row.pk).delete()
    assert past(row) == [1, None, None]
    first, last = Sample.objects.filter(key=row.pk, number=None).order_by("time")
    assert last.time - first.time > timedelta(minutes=59)


def test_a_silence_is_told_once(row):
    """What somebody sets while a source is silent is known, and the silence ends there."""
    row = gone_silent()
    rows = IntegerValue.objects.filter(pk=row.pk)
    for value in (3, 4):
        rows.update(value=value)
    rows.update(reported_at=timezone.now())
    rows.delete()
    assert past(row) == [1, None, 3, 4, 4, None]


def test_nobody_is_the_author_of_a_silence(row):
    """Who sets a value whose source was silent has done that alone."""
    row = gone_silent()
    with acting(User(username="ana")):
        IntegerValue.objects.filter(pk=row.pk).update(value=3)
    assert (past(row), authors(row)) == ([1, None, 3], ["", "", "ana"])


@pytest.mark.parametrize("number", [math.inf, -math.inf, 1e300])
def test_an_interval_may_be_any_number(row, number):
    """A value whose reports are expected after ages, or never, can be written."""
    row = gone_silent()
    rows = IntegerValue.objects.filter(pk=row.pk)
    rows.update(expected_interval=number)
    rows.update(value=2)
    rows.update(reported_at=timezone.now())
    rows.delete()
    assert past(row) == [1, None, 1, 2, None]


# Numbers that are none


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_nothing_is_known_of_what_is_not_finite(row, number):
    """An infinity, which JSON can't say, is written like any other value, and isn't known."""
    row = FloatValue.objects.create(name="pump", value=number)
    FloatValue.objects.update(value=1)
    FloatValue.objects.update(value=number)
    assert past(row, "floatval") == [None, 1, None]
    catch_up(sender=None, using="default")
    assert past(row, "floatval") == [None, 1, None]
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        call_command("migrate", verbosity=0)
        for row.value in (2, number):
            row.save()
    call_command("migrate", verbosity=0)
    assert past(row, "floatval") == [None, 1, None, 2, None]


@pytest.mark.postgresql
def test_nothing_is_known_of_nan(row):
    """NaN, which SQLite doesn't store, is as little known."""
    row = FloatValue.objects.create(name="pump", value=math.nan, maximum=math.nan)
    FloatValue.objects.update(value=1)
    FloatValue.objects.update(value=math.nan)
    catch_up(sender=None, using="default")
    assert past(row, "floatval") == [None, 1, None]
    assert "maximum" not in Description.objects.get(kind="floatval", key=row.pk).about


# Who


def test_the_admin_says_who(admin_client, admin_user, row):
    """What is changed, added and deleted in the admin is its user's."""
    url = reverse("admin:values_integervalue_change", args=[row.pk])
    form = hidden(admin_client, url) | {"name": "pump", "value": 5}
    assert admin_client.post(url, form).status_code == 302
    assert (past(row), authors(row)) == ([1, 5], ["", "admin"])
    admin_client.post(reverse("admin:values_booleanvalue_add"), {"name": "on", "value": "on"})
    assert authors(BooleanValue.objects.get(), "boolval") == ["admin"]
    url = reverse("admin:values_integervalue_delete", args=[row.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert authors(row) == ["", "admin", "admin"]


async def test_a_websocket_says_who(row):
    """What is written by a websocket is its user's."""
    user = await User.objects.acreate_user("ana", is_staff=True)
    permissions = Permission.objects.filter(content_type__app_label="values")
    await user.user_permissions.aset([one async for one in permissions])
    async with Client(Demultiplexer, user=user) as client:
        await client.ask("intval", "update", pk=row.pk, data={"value": 5})
    assert await sync_to_async(authors)(row) == ["", "ana"]


def test_who_is_told_where_nobody_began_a_transaction(row):
    """A statement by itself has its author, too; what comes after it from nobody has none."""
    user = User(username="ana")
    with acting(user):
        IntegerValue.objects.update(value=2)
        row.value = 3
        row.save()
    IntegerValue.objects.update(value=4)
    with acting(AnonymousUser()):
        IntegerValue.objects.update(value=5)
    assert authors(row) == ["", "ana", "ana", "", ""]


def test_each_of_two_in_one_transaction_has_their_own(row):
    """In one transaction, too, each change has the author who acts."""
    with transaction.atomic():
        for name in ("ana", "ben"):
            with acting(User(username=name)):
                IntegerValue.objects.update(value=len(name) + ord(name[0]))
    assert authors(row) == ["", "ana", "ben"]


# Without triggers


def test_migrate_makes_good_what_was_missed(row):
    """Without triggers changes are missed; the next migrate adds what has come of them."""
    triggers.uninstall("default")
    IntegerValue.objects.update(value=2)
    IntegerValue.objects.create(name="new", value=7)
    assert past(row) == [1]
    call_command("migrate", verbosity=0)
    assert past(row) == [1, 2]
    assert past(IntegerValue.objects.get(name="new")) == [7]
    catch_up(sender=None, using="default")
    assert Sample.objects.count() == 3


def test_signals_write_samples_where_triggers_may_not(row):
    """With CAPTURE = "signals" what sends a signal is kept, with who did it."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        call_command("migrate", verbosity=0)
        row.value = 2
        with acting(User(username="ana")):
            row.save()
        row.save()
        number = FloatValue.objects.create(name="a", value=0.5)
        key = row.pk
        row.delete()
        row.pk = key
    call_command("migrate", verbosity=0)
    assert (past(row), authors(row)) == ([1, 2, None], ["", "ana", ""])
    assert past(number, "floatval") == [0.5]


def test_signals_keep_a_silence(row):
    """With CAPTURE = "signals" a silence is kept, too, before the row forgets it."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        call_command("migrate", verbosity=0)
        # By the interval until when reports were expected, what is written, and what is known then.
        kept = {"value": [1, None, 3], "interval": [1, None, 1], "name": [1, None]}
        rows = {what: gone_silent(what) for what in (*kept, "report", "deletion")}
        rows["value"].value = 3
        rows["interval"].expected_interval = None
        rows["name"].name = "renamed"
        rows["report"].reported_at = timezone.now()
        for what in (*kept, "report"):
            rows[what].save()
        key = rows["deletion"].pk
        rows["deletion"].delete()
        rows["deletion"].pk = key
    call_command("migrate", verbosity=0)
    kept |= {"report": [1, None, 1], "deletion": [1, None, None]}
    assert {what: past(row) for what, row in rows.items()} == kept
