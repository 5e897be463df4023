"""What clients may write at the edges of numbers and of the calendar is told back as it is."""

import sys
import time
from html import unescape

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient
from django.urls import reverse

from dashboard.consumers import Demultiplexer
from tests.databinding.clients import Client
from tests.values.forms import hidden
from tests.values.past import HOUR, kept
from values.models import Description, FloatValue, IntegerValue
from values.samples.history import at
from values.samples.recording import catch_up
from values.samples.summaries import keep_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_past")]

LARGEST = sys.float_info.max
#: What no database and no client can say is refused.
REFUSED = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-12:00",
    "10000-01-01T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "infinity",
]
TOLD = [
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "9000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
]


def pages(pk):
    """Whatever tells of a value."""
    return [
        "/",
        "/api/floatval/",
        f"/api/floatval/{pk}/",
        "/api/values/",
        "/api/values/?after=a/0",
        "/api/values/?at=-2000000000",
        f"/api/values/floatval/history/?pk={pk}",
        f"/api/values/floatval/{pk}/history/?from=-2000000000&to=10000000000",
        f"/api/values/floatval/{pk}/changes/",
        "/admin/values/floatvalue/",
        f"/admin/values/floatvalue/{pk}/change/",
    ]


@pytest.fixture
def staff(transactional_db):
    return User.objects.create_superuser("ana")


async def everything_answers(staff, pk):
    """All pages, a subscription, and the job that summarises."""
    client = AsyncClient()
    await client.aforce_login(staff)
    for page in pages(pk):
        response = await client.get(page)
        assert response.status_code == 200, (page, response.content)
    async with Client(Demultiplexer) as subscriber:
        await subscriber.subscribe("floatval")
        assert pk in subscriber.rows["floatval"]
    await sync_to_async(keep_up)()


@pytest.mark.parametrize("number", [LARGEST, -LARGEST, 5e-324, 0.1 + 0.2, 2.0**53 - 1])
async def test_limits_may_be_any_number(staff, number):
    """Limits of all sizes stand to their last digit, now and in the past."""
    async with Client(Demultiplexer, user=staff) as client:
        data = {"name": "pump", "value": number, "critical_low": number}
        reply = await client.ask("floatval", "create", data=data)
        assert reply["response_status"] == 201, reply
    pk = (await FloatValue.objects.aget()).pk
    (told,) = (await AsyncClient().get("/api/values/")).json()["values"]
    assert (told["data"]["value"], told["data"]["critical_low"]) == (number, number)
    await everything_answers(staff, pk)
    await sync_to_async(catch_up)(sender=None, using="default")
    assert await Description.objects.acount() == 1


def test_integers_limits_may_be_any_number(client, staff):
    """The limits of integers are numbers of the same sizes."""
    row = IntegerValue.objects.create(name="pump", value=1)
    client.force_login(staff)
    data = {"maximum": LARGEST, "expected_interval": LARGEST}
    response = client.patch(f"/api/intlimits/{row.pk}/", data, content_type="application/json")
    assert response.status_code == 200, response.content
    (told,) = client.get("/api/values/").json()["values"]
    assert told["data"] == {"name": "pump", "value": 1, **data}


@pytest.mark.sqlite
def test_descriptions_that_json_cannot_say_leave_it_open(client):
    """A limit that a description of old made infinite isn't told, and all else is."""
    row = FloatValue.objects.create(name="pump", warn_low=1)
    Description.objects.filter(key=row.pk).delete()
    about = '{"warn_high":1.79769313486232e+308,"warn_low":1}'
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO values_description (kind, key, time, name, about) "
            "VALUES ('floatval', %s, %s, 'pump', %s)",
            [row.pk, at(time.time() - HOUR), about],
        )
    (told,) = client.get("/api/values/").json()["values"]
    assert told["data"] == {"name": "pump", "value": 0, "warn_low": 1}


async def test_values_of_all_sizes_add_up(staff):
    """Summaries of the largest numbers of both signs are made, and told."""
    begin = (time.time() - 600) // 60 * 60
    past = [(begin + second, number) for second, number in enumerate([LARGEST, -LARGEST] * 3)]
    row = await sync_to_async(kept)(FloatValue, past)
    made, _ = await sync_to_async(keep_up)()
    assert made
    await everything_answers(staff, row.pk)


@pytest.mark.parametrize("moment", REFUSED)
async def test_reports_beyond_the_calendar_are_refused(staff, moment):
    """A report at a time that isn't in the years 1 to 9999 of UTC is refused at both doors."""
    data = {"name": "pump", "reported_at": moment}
    client = AsyncClient()
    await client.aforce_login(staff)
    response = await client.post("/api/floatval/", data, content_type="application/json")
    assert (response.status_code, [*response.json()]) == (400, ["reported_at"])
    async with Client(Demultiplexer, user=staff) as client:
        reply = await client.ask("floatval", "create", data=data)
        assert reply["response_status"] == 400
        assert "reported_at" in str(reply["errors"])


@pytest.mark.parametrize("moment", TOLD)
async def test_reports_at_the_edges_of_the_calendar_are_told(staff, moment):
    """A report at any other time is told as it is, and so is the silence after it."""
    async with Client(Demultiplexer, user=staff) as client:
        data = {"name": "pump", "reported_at": moment, "expected_interval": 1}
        reply = await client.ask("floatval", "create", data=data)
        assert reply["response_status"] == 201, reply
        pk = (await FloatValue.objects.aget()).pk
        assert reply["data"]["reported_at"] == moment
        for value, other in enumerate([TOLD[0], TOLD[-1], moment]):
            changes = {"value": value, "reported_at": other}
            reply = await client.ask("floatval", "update", pk=pk, data=changes)
            assert reply["response_status"] == 200, reply
        await everything_answers(staff, pk)


SPOILT = [
    *(
        pytest.param(moment, marks=pytest.mark.postgresql)
        for moment in ("infinity", "-infinity", "20000-01-01Z", "0044-03-15Z BC")
    ),
    *(
        pytest.param(moment, marks=pytest.mark.sqlite)
        for moment in ("2026-13-45 00:00:00", "0000-01-01 00:00:00", "2026-01-01 00:00:00+99:00")
    ),
]


@pytest.mark.parametrize("moment", SPOILT)
def test_a_report_that_python_cannot_say_hinders_no_others(client, staff, moment):
    """What SQL dates beyond the calendar leaves all other values on every page, and the past of
    all; the admin says which is left out and can delete it, and SQL can mend it."""
    client.force_login(staff)
    pump, valve = (
        FloatValue.objects.create(name=name, expected_interval=1, reported_at=at(0)).pk
        for name in ("pump", "valve")
    )
    statements = [
        ("UPDATE values_floatvalue SET reported_at = %s WHERE id = %s", [moment, pump]),
        ("UPDATE values_floatvalue SET value = 2 WHERE id = %s", [pump]),
    ]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(*statement)
    found = client.get("/api/values/").json()["values"]
    assert [one["data"]["name"] for one in found] == ["pump", "valve"]
    keep_up()
    catch_up(sender=None, using="default")
    for page in [*pages(valve), f"/api/values/floatval/{pump}/history/", "/elements/"]:
        assert client.get(page).status_code == 200, page
    assert [row["pk"] for row in client.get("/api/floatval/").json()["results"]] == [valve]
    assert client.get(f"/api/floatval/{pump}/").status_code == 422
    changes = client.get(f"/api/values/floatval/{pump}/changes/").json()["changes"]
    assert changes[0]["value"] == 2

    admin = reverse("admin:values_floatvalue_changelist")
    text = client.get(admin).content.decode()
    assert f'and are left out here: <a href="{admin}{pump}/delete/">{pump}</a>.' in unescape(text)
    assert (">valve</a>" in text, ">pump</a>" in text) == (True, False)
    asked = {"pks": [str(pump), str(valve)]}
    live = client.post(f"{admin}live/", asked, content_type="application/json").json()
    assert (live["pks"], live["page"], live["left"]) == ([str(valve)], [str(valve)], [str(pump)])
    assert "pump" in client.get(f"{admin}{pump}/delete/").content.decode()
    answer = client.get(f"{admin}{pump}/change/", follow=True)
    assert answer.redirect_chain == [(admin, 302)]
    assert "something in this row that can&#x27;t be read" in answer.content.decode()
    assert "pump" in client.get(f"{admin}{pump}/history/").content.decode()
    form = hidden(client, admin) | {"form-0-value": 7, "_save": "Save"}
    assert client.post(admin, form).status_code == 302
    assert client.get(f"/api/floatval/{valve}/").json()["value"] == 7

    FloatValue.objects.filter(pk=pump).update(reported_at=at(time.time()), value=3)
    assert client.get(f"/api/floatval/{pump}/").json()["value"] == 3
    FloatValue.objects.all().delete()
    assert client.get("/api/values/").json()["values"] == []
