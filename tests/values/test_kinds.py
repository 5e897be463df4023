"""The four kinds of values: what they are held to, by whichever door they are written."""

import math

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.db.models import FloatField
from django.urls import reverse

from dashboard.consumers import Demultiplexer
from tests.databinding.clients import Client
from tests.values.forms import hidden
from values.models import LIMITS, BooleanValue, FloatValue, IntegerValue, TextValue

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = {
    "intval": (IntegerValue, 7),
    "floatval": (FloatValue, 7.25),
    "boolval": (BooleanValue, True),
    "textval": (TextValue, "seven"),
}


@pytest.fixture
def staff(transactional_db):
    """Somebody who may write values of every kind, and isn't above every rule."""
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="values"))
    return user


def limits_of(row):
    """The fields that a row's own rules find fault with."""
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    return set(caught.value.message_dict)


@pytest.mark.parametrize("stream", KINDS)
async def test_each_kind_is_a_stream(staff, stream):
    """A value of each kind is created, seen and updated on its stream."""
    model, value = KINDS[stream]
    async with Client(Demultiplexer, user=staff) as client:
        await client.subscribe(stream)
        reply = await client.ask(stream, "create", data={"name": "pump"})
        pk = reply["pk"]
        assert client.rows[stream][pk]["value"] == model().value
        reply = await client.ask(stream, "update", pk=pk, data={"value": value})
        assert reply["data"] == client.rows[stream][pk]
        assert client.rows[stream][pk]["value"] == value
    assert (await model.objects.aget(pk=pk)).value == value


async def test_integers_stay_as_they_are_on_the_wire(staff):
    """The data of `intval` is name and value; what more there is comes by `intlimits`."""
    row = await IntegerValue.objects.acreate(name="pump", value=7, unit="rpm", warn_high=9)
    async with Client(Demultiplexer, user=staff) as client:
        await client.subscribe("intval")
        await client.subscribe("intlimits")
        assert client.rows["intval"] == {row.pk: {"name": "pump", "value": 7}}
        limits = client.rows["intlimits"][row.pk]
        assert (limits["unit"], limits["warn_high"], limits["maximum"]) == ("rpm", 9, None)
        assert "value" not in limits
        reply = await client.ask("intlimits", "update", pk=row.pk, data={"maximum": 8})
        assert reply["errors"] == [
            {"maximum": ["This must not be less than warn high (9)."]},
        ]
        reply = await client.ask("intlimits", "delete", pk=row.pk)
        assert reply["response_status"] == 403


async def test_a_client_that_just_connects_hears_of_integers_as_ever(transactional_db):
    """Limits come only to those who subscribe to them: classic clients get one frame a change."""
    async with Client(Demultiplexer, modern=False) as client:
        row = await IntegerValue.objects.acreate(name="pump", value=7)
        await TextValue.objects.acreate(name="last")
        while (await client.receive())["stream"] != "textval":
            pass
        heard = [frame["payload"] for frame in client.frames if frame["stream"] != "textval"]
        data = {"name": "pump", "value": 7}
        model = "values.integervalue"
        assert heard == [{"action": "create", "pk": row.pk, "data": data, "model": model}]


@pytest.mark.parametrize(
    ("stream", "fields", "value"),
    [
        ("intval", {"minimum": 0}, -1),
        ("intval", {"maximum": 10}, 11),
        ("floatval", {"minimum": 0.5}, 0.25),
        ("floatval", {"minimum": -1, "maximum": 1}, 1.5),
    ],
)
async def test_the_websocket_holds_to_the_range(staff, stream, fields, value):
    """A number out of its range is refused with an error of its field, and not written."""
    model, _ = KINDS[stream]
    row = await model.objects.acreate(name="pump", value=1, **fields)
    async with Client(Demultiplexer, user=staff) as client:
        reply = await client.ask(stream, "update", pk=row.pk, data={"value": value})
    assert reply["response_status"] == 400
    assert set(reply["errors"][0]) == {"value"}
    assert (await model.objects.aget(pk=row.pk)).value == 1


@pytest.mark.parametrize("value", ["nan", "-inf", "1e999"])
async def test_a_decimal_is_finite(staff, value):
    """What JSON can't say is no value, in whatever way it is written."""
    async with Client(Demultiplexer, user=staff) as client:
        reply = await client.ask("floatval", "create", data={"name": "pump", "value": value})
    assert reply["response_status"] == 400


@pytest.mark.parametrize("limit", ["minimum", "warn_high", "expected_interval"])
async def test_what_describes_it_is_finite(staff, limit):
    """So is each of its limits, and how often it reports."""
    row = await FloatValue.objects.acreate(name="pump")
    async with Client(Demultiplexer, user=staff) as client:
        reply = await client.ask("floatval", "update", pk=row.pk, data={limit: "inf"})
    assert reply["response_status"] == 400
    assert {*reply["errors"][0]} == {limit}


# SQLite stores no NaN.
NOT_FINITE = [math.inf, -math.inf, pytest.param(math.nan, marks=pytest.mark.postgresql)]


@pytest.mark.parametrize("number", NOT_FINITE)
async def test_nothing_is_known_of_what_json_cant_say(staff, number):
    """A number that a program made infinite is null, limits that it did are none; others are as
    ever, and who may sets it anew."""
    names = ("fine", "pump")
    fine, pump = [await FloatValue.objects.acreate(name=name, value=1) for name in names]
    whole = await IntegerValue.objects.acreate(name="whole", value=1)
    async with Client(Demultiplexer, user=staff) as client:
        await client.subscribe("floatval")
        await client.subscribe("intlimits")
        endless = {"maximum": math.inf, "expected_interval": math.inf}
        await FloatValue.objects.filter(pk=pump.pk).aupdate(value=number, **endless)
        await IntegerValue.objects.aupdate(**endless, unit="rpm")
        await FloatValue.objects.filter(pk=fine.pk).aupdate(value=2)
        while client.rows["floatval"][fine.pk]["value"] == 1:
            await client.receive()
        while client.rows["intlimits"][whole.pk]["unit"] == "":
            await client.receive()
        for row in (client.rows["floatval"][pump.pk], client.rows["intlimits"][whole.pk]):
            assert (row["maximum"], row["expected_interval"]) == (None, None)
        assert client.rows["floatval"][pump.pk]["value"] is None
        listed = (await client.ask("floatval", "list"))["data"]
        assert {one["data"]["name"]: one["data"]["value"] for one in listed} == {
            "fine": 2,
            "pump": None,
        }
        answers = {"data": {"value": 3}, "expect": {"value": None}}
        reply = await client.ask("floatval", "update", pk=pump.pk, **answers)
        assert (reply["response_status"], reply["data"]["value"]) == (200, 3)
        assert client.rows["floatval"][pump.pk]["value"] == 3


def test_the_description_says_that_a_number_may_not_be_known(client):
    """Every decimal number may be null in answers; whoever writes one has to say which."""
    schemas = client.get("/api/schema/", {"format": "json"}).json()["components"]["schemas"]
    answered = {
        f"{name}.{field.name}": schemas[name]["properties"][field.name].get("nullable")
        for name, model in (("FloatValue", FloatValue), ("IntegerLimits", IntegerValue))
        for field in model._meta.fields
        if isinstance(field, FloatField)
    }
    assert answered.keys() > {"FloatValue.value", "FloatValue.maximum", "IntegerLimits.warn_low"}
    assert set(answered.values()) == {True}
    assert "nullable" not in schemas["FloatValue"]["properties"]["decimals"]
    for name in ("FloatValueRequest", "PatchedFloatValueRequest"):
        assert "nullable" not in schemas[name]["properties"]["value"]


@pytest.mark.parametrize("number", NOT_FINITE)
def test_pages_of_what_json_cant_say(admin_client, number):
    """The pages and REST resources that show such a value show it and the others; in the admin it
    can be mended."""
    row = FloatValue.objects.create(name="pump", value=1)
    FloatValue.objects.create(name="fine", value=2)
    FloatValue.objects.filter(pk=row.pk).update(value=number, warn_high=math.inf)
    listed = admin_client.get("/api/floatval/").json()["results"]
    assert [(one["name"], one["value"], one["warn_high"]) for one in listed] == [
        ("pump", None, None),
        ("fine", 2, None),
    ]
    # In the order of these numbers, too, page by page.
    address, found = "/api/floatval/?ordering=value&limit=1", []
    while address is not None:
        page = admin_client.get(address).json()
        found += [one["name"] for one in page["results"]]
        address = page["next"]
    assert sorted(found) == ["fine", "pump"]
    one = admin_client.get(f"/api/floatval/{row.pk}/")
    assert (one.json()["value"], one.status_code) == (None, 200)
    assert admin_client.get(f"/api/floatval/{row.pk}/", {"format": "api"}).status_code == 200
    for address in ("changelist", "change"):
        keys = [row.pk] if address == "change" else []
        url = reverse(f"admin:values_floatvalue_{address}", args=keys)
        assert admin_client.get(url).status_code == 200
    form = hidden(admin_client, url) | {"name": "pump", "value": 5, "decimals": 2}
    assert admin_client.post(url, form).status_code == 302
    row.refresh_from_db()
    assert (row.value, row.warn_high) == (5, None)


def test_the_admin_holds_to_the_range(admin_client):
    """The change list and the form show an error beside the field, and write nothing."""
    row = IntegerValue.objects.create(name="pump", value=1, maximum=10)
    listed = {
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-id": row.pk,
        "form-0-value": 42,
        "_save": "Save",
    }
    url = reverse("admin:values_integervalue_changelist")
    response = admin_client.post(url, hidden(admin_client, url) | listed)
    assert response.context["cl"].formset.errors == [{"value": ["This must be 10 or less."]}]
    url = reverse("admin:values_integervalue_change", args=[row.pk])
    form = {"name": "pump", "value": 1, "warn_high": 20, "maximum": 10}
    errors = (
        admin_client.post(url, hidden(admin_client, url) | form).context["adminform"].form.errors
    )
    assert set(errors) == {"maximum"}
    row.refresh_from_db()
    assert (row.value, row.warn_high) == (1, None)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_admin(admin_client, kind):
    """A value of each kind is added by its form and found by name."""
    model, value = KINDS[kind]
    name = model._meta.model_name
    form = {"name": "pump", "value": value, "decimals": 3}
    assert admin_client.post(reverse(f"admin:values_{name}_add"), form).status_code == 302
    assert model.objects.get(name="pump").value == value
    listed = admin_client.get(reverse(f"admin:values_{name}_changelist"), {"q": "pum"})
    assert [row.name for row in listed.context["cl"].queryset] == ["pump"]


@pytest.mark.parametrize("model", [IntegerValue, FloatValue])
def test_limits_rise(model):
    """Of two limits the higher one is not below the lower, by form and in the database."""
    for at, low in enumerate(LIMITS):
        model(name=low, value=5, **{low: 5}).full_clean()
        for high in LIMITS[at + 1 :]:
            model(name="equal", value=5, **{low: 5, high: 5}).full_clean()
            row = model(name="falls", value=5, **{low: 5, high: 4})
            assert limits_of(row) == {high}
            with pytest.raises(IntegrityError):
                row.save()


def test_a_state_is_not_both_a_warning_and_critical():
    """Yes and no may each be a warning or critical, but neither both."""
    BooleanValue(name="a", warn_on="no", critical_on="yes").full_clean()
    row = BooleanValue(name="a", warn_on="yes", critical_on="yes")
    assert limits_of(row) == {"critical_on"}
    with pytest.raises(IntegrityError):
        row.save()


def test_a_program_may_report_what_is_out_of_range():
    """A reading beyond its range is a fact; only people and clients are held to it."""
    row = IntegerValue.objects.create(name="pump", maximum=10)
    IntegerValue.objects.update(value=11)
    row.refresh_from_db()
    assert row.value == 11


@pytest.mark.parametrize("kind", KINDS)
def test_other_programs_insert_name_and_value_alone(kind):
    """What was added beside name and value has its default in the database, too."""
    model, value = KINDS[kind]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} (name, value) VALUES ('pump', %s)", [value]
        )
    row = model.objects.get()
    row.full_clean()
    assert row.value == value


def test_a_state_reads_as_yes_or_no():
    """In lists and messages a state is named as its form names it."""
    assert str(BooleanValue(name="pump on", value=True)) == "pump on = yes"
    assert str(TextValue(name="kernel", value="6.1")) == "kernel = 6.1"
