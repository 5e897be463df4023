"""All values as they stood at a moment: `/api/values/?at=…`."""

import math
import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from databinding import triggers
from tests.values.past import HOUR, MINUTE, as_triggers_write, kept, on_the_hour
from values.bindings import (
    BooleanValueBinding,
    FloatValueBinding,
    IntegerValueBinding,
    TextValueBinding,
)
from values.models import (
    BooleanValue,
    Description,
    FloatValue,
    IntegerValue,
    Sample,
    Summary,
    TextValue,
)
from values.samples import recording
from values.samples.history import at
from values.samples.kinds import KINDS
from values.samples.moments import earliest
from values.samples.recording import catch_up
from values.samples.summaries import keep_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_past")]


@pytest.fixture(autouse=True)
def nothing_of_before(transactional_db):
    """What the tests before deleted has a past, too."""
    for model in (Sample, Description):
        model.objects.all().delete()


def ask(client, seconds=None, status=200, **query):
    if seconds is not None:
        query["at"] = seconds
    response = client.get("/api/values/", query)
    assert response.status_code == status, response.content
    assert response["Cache-Control"] == "private, no-store"
    return response.json()


def stood(client, seconds=None):
    """Names and values."""
    return {one["data"]["name"]: one["data"]["value"] for one in ask(client, seconds)["values"]}


def moment():
    """Now; what is written from here on is later, for SQLite's clock of milliseconds, too."""
    seconds = time.time()
    while time.time() < seconds + 0.002:
        pass
    return seconds


def since(row, seconds):
    """It has been there since then."""
    Description.objects.filter(key=row.pk).update(time=at(seconds))
    as_triggers_write(Description)
    return row


def test_all_kinds_as_they_stood(client):
    """Each value is what it was then, as its stream sent it, with since when it was so."""
    begin = on_the_hour() - 2 * HOUR
    rows = {
        "intval": kept(IntegerValue, [(begin, 1), (begin + 60, 2)]),
        "floatval": kept(FloatValue, [(begin + 5, 0.5), (begin + 60, 1.5)]),
        "boolval": kept(BooleanValue, [(begin, 1), (begin + 60, 0)]),
        "textval": kept(TextValue, [(begin, ""), (begin + 60, "b")]),
    }
    FloatValue.objects.update(unit="bar", warn_high=10)
    for row in rows.values():
        since(row, begin)
    found = {one["stream"]: one for one in ask(client, begin + 30)["values"]}
    assert {kind: one["data"]["value"] for kind, one in found.items()} == {
        "intval": 1,
        "floatval": 0.5,
        "boolval": True,
        "textval": "",
    }
    assert repr(found["intval"]["data"]["value"]) == "1"
    assert {kind: one["pk"] for kind, one in found.items()} == {
        kind: row.pk for kind, row in rows.items()
    }
    assert found["floatval"]["since"] == begin + 5
    assert found["floatval"]["data"] == {
        "name": FloatValue.objects.get().name,
        "value": 0.5,
        "unit": "bar",
        "warn_high": 10,
        "decimals": 2,
    }
    assert set(stood(client, begin + 60).values()) == {2, 1.5, False, "b"}


def test_what_was_deleted_is_shown_and_what_was_not_there_is_not(client):
    """A value stands from its creation to its deletion, whatever has become of it since."""
    FloatValue.objects.create(name="first", value=1)
    before = moment()
    second = FloatValue.objects.create(name="second", value=2)
    between = moment()
    FloatValue.objects.filter(name="first").delete()
    second.delete()
    assert stood(client, before) == {"first": 1}
    assert stood(client, between) == {"first": 1, "second": 2}
    assert stood(client) == {}
    gone = next(one for one in ask(client, between)["values"] if one["data"]["name"] == "second")
    for path in ("history", "changes"):
        response = client.get(f"/api/values/floatval/{gone['pk']}/{path}/")
        assert response.status_code == 200, path
    several = client.get("/api/values/floatval/history/", {"pk": gone["pk"]}).json()["histories"]
    assert [one["pk"] for one in several] == [gone["pk"]]


def test_names_and_thresholds_are_those_of_then(client):
    """Renamed, or with other limits since: it is shown as it was to be read then."""
    row = FloatValue.objects.create(name="pump", value=1, warn_high=5)
    then = moment()
    FloatValue.objects.update(name="valve", warn_high=None, unit="bar")
    (was,) = ask(client, then)["values"]
    (now,) = ask(client)["values"]
    assert (was["data"]["name"], was["data"]["warn_high"]) == ("pump", 5)
    assert (now["data"]["name"], now["data"]["unit"]) == ("valve", "bar")
    assert "warn_high" not in now["data"]
    row.refresh_from_db()
    row.value = 2
    row.reported_at = timezone.now()
    row.save()
    assert Description.objects.filter(key=row.pk).count() == 2


def test_every_write_is_described(client):
    """update(), bulk writes, SQL and other keys count; what was rolled back doesn't."""
    rows = IntegerValue.objects.bulk_create(
        IntegerValue(name=f"v{number}", value=number) for number in range(3)
    )
    assert len(rows) == 3
    with connection.cursor() as cursor:
        cursor.execute("UPDATE values_integervalue SET unit = 'rpm' WHERE name = 'v1'")
    key = IntegerValue.objects.get(name="v2").pk
    IntegerValue.objects.filter(pk=key).update(id=key + 100)
    found = {one["data"]["name"]: one for one in ask(client)["values"]}
    assert set(found) == {"v0", "v1", "v2"}
    assert found["v1"]["data"]["unit"] == "rpm"
    assert found["v2"]["pk"] == key + 100


@pytest.mark.postgresql
def test_nothing_stands_after_truncate(client):
    """TRUNCATE ends every value that there was."""
    IntegerValue.objects.create(name="pump", value=1)
    then = moment()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE values_integervalue")
    assert (stood(client, then), stood(client)) == ({"pump": 1}, {})


def test_a_silence_is_told(client):
    """Where its source said nothing a value is null, also as long as it is still silent."""
    begin = on_the_hour() - HOUR
    row = since(kept(FloatValue, [(begin, 1), (begin + 20, None), (begin + 50, 2)]), begin)
    FloatValue.objects.update(expected_interval=10, reported_at=at(begin + 60))
    since(row, begin)
    values = [
        (one["data"]["value"], one["since"])
        for second in (10, 30, 60, 69, 71)
        for one in ask(client, begin + second)["values"]
    ]
    assert values == [
        (1, begin),
        (None, begin + 20),
        (2, begin + 50),
        (2, begin + 50),
        (None, begin + 70),
    ]
    kept(row, [(begin + 80, 3)])  # by somebody's hand
    assert list(stood(client, begin + 75).values()) == [2]
    assert list(stood(client, begin + 90).values()) == [3]


@pytest.mark.parametrize(
    "fields", [{"value": 9}, {"expected_interval": None}, {"expected_interval": 600}, None]
)
def test_a_silence_stays_unknown(client, fields):
    """What a silent source didn't say isn't known later, whatever became of the value since."""
    begin = time.time() - HOUR
    row = since(kept(FloatValue, [(begin, 1)]), begin)
    rows = FloatValue.objects.filter(pk=row.pk)
    rows.update(expected_interval=5, reported_at=at(begin + 60))
    since(row, begin)
    if fields is None:
        rows.delete()
    else:
        rows.update(**fields)
    found = {
        second: (one["data"]["value"], one["since"])
        for second in (30, 300, 1800)
        for one in ask(client, begin + second)["values"]
    }
    unknown = (None, pytest.approx(begin + 65, abs=0.002))
    known = (1, pytest.approx(begin, abs=0.002))
    assert found == {30: known, 300: unknown, 1800: unknown}


def test_numbers_that_json_cannot_say_are_not_known(client):
    """An infinite value or limit is told as one that isn't known, and hinders no other's answer."""
    begin = on_the_hour() - HOUR
    row = since(kept(FloatValue, [(begin, math.inf), (begin + 60, 1)]), begin)
    FloatValue.objects.update(name="pump", maximum=math.inf, minimum=-math.inf, warn_high=5)
    assert list(stood(client, begin + 30).values()) == [None]
    (now,) = ask(client)["values"]
    assert {"maximum", "minimum"}.isdisjoint(now["data"])
    assert now["data"]["warn_high"] == 5
    query = {"from": begin, "to": begin + 120, "points": 3}
    past = client.get(f"/api/values/floatval/{row.pk}/history/", query).json()
    assert [past[name] for name in ("min", "max", "mean", "last")] == [
        [None, 1],
        [None, 1],
        [None, 1],
        [None, 1],
    ]
    changes = client.get(f"/api/values/floatval/{row.pk}/changes/").json()["changes"]
    assert [change["value"] for change in changes] == [1, None]


@pytest.mark.sqlite
def test_what_a_replace_removes_stands_no_longer(client):
    """A row that REPLACE removes for its name ends there, though no trigger is told of it."""
    with connection.cursor() as cursor:
        moments = []
        for sql in (
            "REPLACE INTO values_floatvalue (name, value) VALUES ('pump', 1)",
            "REPLACE INTO values_floatvalue (name, value) VALUES ('pump', 2)",
            "INSERT INTO values_floatvalue (name, value) VALUES ('valve', 3)",
            "UPDATE OR REPLACE values_floatvalue SET name = 'pump' WHERE name = 'valve'",
        ):
            cursor.execute(sql)
            moments.append(moment())
    found = [
        [(one["data"]["name"], one["data"]["value"]) for one in ask(client, then)["values"]]
        for then in moments
    ]
    assert found == [[("pump", 1)], [("pump", 2)], [("pump", 2), ("valve", 3)], [("pump", 3)]]
    ends = Sample.objects.filter(kind="floatval", number=None).count()
    assert (ends, Description.objects.filter(name=None).count()) == (2, 2)


@pytest.mark.sqlite
def test_a_replace_that_changes_nothing_is_not_described():
    """A REPLACE that keeps key, name and limits is no description, whoever wrote the last one."""
    row = FloatValue.objects.create(name="pump", maximum=0.5, unit="bar")

    def replace(maximum):
        with connection.cursor() as cursor:
            cursor.execute(
                "REPLACE INTO values_floatvalue (id, name, value, unit, maximum) "
                "VALUES (%s, 'pump', 1, 'bar', %s)",
                [row.pk, maximum],
            )
        return Description.objects.count()

    assert replace(0.5) == 1
    Description.objects.all().delete()
    catch_up(sender=None, using="default")
    assert [replace(maximum) for maximum in (0.5, 0.5, 0.75, 0.75)] == [1, 1, 2, 2]


def test_summaries_tell_where_samples_are_forgotten(client):
    """Of long ago a value is known to the minute or the hour, and the answer says so."""
    begin = on_the_hour() - 30 * HOUR
    changes = [(begin + MINUTE * number + 30, number) for number in range(180)]
    since(kept(FloatValue, changes), begin)
    query = begin + 90 * MINUTE + 45
    with override_settings(SAMPLES={"raw": 99 * HOUR, "minutes": 99 * HOUR, "hours": 99 * HOUR}):
        keep_up()
        answer = ask(client, query)
        assert (answer["source"], answer["values"][0]["data"]["value"]) == ("samples", 90)
    with override_settings(SAMPLES={"raw": HOUR, "minutes": 99 * HOUR, "hours": 99 * HOUR}):
        keep_up()
        answer = ask(client, query)
        assert (answer["source"], answer["values"][0]["data"]["value"]) == ("minutes", 89)
        assert answer["values"][0]["since"] == begin + 90 * MINUTE
    with override_settings(SAMPLES={"raw": HOUR, "minutes": 2 * HOUR, "hours": 99 * HOUR}):
        keep_up()
        answer = ask(client, query)
        assert (answer["source"], answer["values"][0]["data"]["value"]) == ("hours", 59)


def test_before_the_retention(client):
    """Of before what is kept there is nothing, and the answer says since when there is."""
    assert ask(client)["earliest"] is None
    begin = on_the_hour() - 20 * HOUR
    since(kept(FloatValue, [(begin, 1)]), begin)
    assert ask(client, begin + 1)["earliest"] == begin
    assert ask(client, begin - 1)["values"] == []
    with override_settings(SAMPLES={"raw": HOUR, "minutes": HOUR, "hours": 2 * HOUR}):
        keep_up()
        answer = ask(client, begin + 1)
        assert answer["values"] == []
        assert answer["earliest"] == pytest.approx(time.time() - 2 * HOUR, abs=10)
        assert list(stood(client, answer["earliest"] + 20).values()) == [1]


def test_descriptions_are_forgotten_with_the_rest():
    """What no moment of the retention asks for goes: former names, and what was deleted."""
    begin = on_the_hour() - 50 * HOUR
    row = FloatValue.objects.create(name="third")
    Description.objects.all().delete()
    for key, names in {row.pk: ["first", "second", "third"], row.pk + 1: ["gone", None]}.items():
        for number, name in enumerate(names):
            Description.objects.create(kind="floatval", key=key, time=at(begin + number), name=name)
    keep_up()
    assert Description.objects.count() == 5
    with override_settings(SAMPLES={"raw": HOUR, "minutes": HOUR, "hours": 2 * HOUR}):
        keep_up()
    assert [one.name for one in Description.objects.all()] == ["third"]


def test_the_future_is_not_known(client):
    """What is to come is asked as now."""
    FloatValue.objects.create(name="pump", value=1)
    answer = ask(client, time.time() + HOUR)
    assert answer["at"] <= time.time()
    assert answer["values"][0]["data"]["name"] == "pump"


def test_many_come_in_several_answers(client, django_assert_max_num_queries):
    """An answer is bounded, names where the next one goes on, and costs a few queries."""
    for model in KINDS.values():
        model.objects.bulk_create(model(name=f"v{number:03}") for number in range(60))
    found, after = [], {}
    while True:
        answer = ask(client, limit=100, **after)
        found += [(one["stream"], one["pk"]) for one in answer["values"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}
    assert len(found) == len(set(found)) == 240
    with django_assert_max_num_queries(20):
        assert len(ask(client)["values"]) == 240


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"at": "yesterday"}, "at"),
        ({"at": "1e300"}, "at"),
        ({"limit": 0}, "limit"),
        ({"limit": 5001}, "limit"),
        ({"after": "floatval"}, "after"),
        ({"after": "floatval/" + "9" * 30}, "after"),
        ({"time": 3}, "time"),
    ],
)
def test_a_wrong_question_is_told_so(client, query, field):
    """Each parameter that can't be understood is an error of its own, 400."""
    assert set(ask(client, status=400, **query)) == {field}


# Who may see it


def test_kinds_that_one_may_not_list_are_left_out(client, monkeypatch):
    """Kinds that one may not list are left out; who may list none is refused."""
    FloatValue.objects.create(name="secret")
    IntegerValue.objects.create(name="open")

    def refused(self, user, action, pk):
        return False

    monkeypatch.setattr(FloatValueBinding, "has_permission", refused)
    assert set(stood(client)) == {"open"}
    for binding in (IntegerValueBinding, BooleanValueBinding, TextValueBinding):
        monkeypatch.setattr(binding, "has_permission", refused)
    ask(client, status=401)


def test_groups_are_asked_of_what_is_there_and_of_what_was(client, monkeypatch):
    """A row is seen by the groups that it is in; one that was deleted, that it would be in."""

    def by_name(cls, instance):
        return ["floatval-updates"] if instance.name.startswith("open") else ["others"]

    monkeypatch.setattr(FloatValueBinding, "group_names", classmethod(by_name))
    for name in ("open 1", "open 2", "secret 1", "secret 2"):
        FloatValue.objects.create(name=name)
    then = moment()
    secret = FloatValue.objects.get(name="secret 2").pk
    FloatValue.objects.filter(name__endswith="2").delete()
    assert set(stood(client, then)) == {"open 1", "open 2"}
    for path in ("history", "changes"):
        assert client.get(f"/api/values/floatval/{secret}/{path}/").status_code == 404


def test_what_a_queryset_left_out_is_not_told_when_it_is_gone(client, monkeypatch):
    """Where a binding has a queryset of its own, what was deleted can't be asked of it."""

    def own(cls, user=None):
        return FloatValue.objects.filter(name__startswith="open")

    monkeypatch.setattr(FloatValueBinding, "get_queryset", classmethod(own))
    for name in ("open 1", "open 2", "secret 1"):
        FloatValue.objects.create(name=name)
    then = moment()
    FloatValue.objects.filter(name="open 2").delete()
    assert set(stood(client, then)) == {"open 1"}


def test_fields_that_are_not_read_are_not_told(client, monkeypatch):
    """What of a row isn't this user's to read isn't told of its past either."""
    FloatValue.objects.create(name="pump", unit="bar", warn_high=3)
    monkeypatch.setattr(
        FloatValueBinding, "readable_fields", classmethod(lambda cls, user: ["name"])
    )
    (one,) = ask(client)["values"]
    assert one["data"] == {"name": "pump"}


# Without triggers


def test_migrate_describes_what_was_missed(client):
    """Without triggers nothing is described; the next migrate adds what is there, ends the rest."""
    FloatValue.objects.create(name="stays")
    gone = FloatValue.objects.create(name="goes")
    triggers.uninstall("default")
    FloatValue.objects.filter(name="stays").update(unit="bar")
    gone.delete()
    FloatValue.objects.create(name="comes")
    call_command("migrate", verbosity=0)
    assert set(stood(client)) == {"stays", "comes"}
    count = Description.objects.count()
    catch_up(sender=None, using="default")
    assert Description.objects.count() == count == 5


def test_values_of_before_descriptions_have_been_there_since_their_first_sample(client):
    """What was sampled before there were descriptions stands from its first sample on."""
    begin = on_the_hour() - 5 * HOUR
    kept(FloatValue, [(begin, 1), (begin + HOUR, 2)])
    Description.objects.all().delete()
    catch_up(sender=None, using="default")
    assert list(stood(client, begin + 1).values()) == [1]
    assert stood(client, begin - 1) == {}


def test_values_of_before_descriptions_have_been_there_since_their_first_summary(client):
    """Where samples are forgotten it stands since its first minute or hour, asked for once."""
    begin = on_the_hour() - 5 * HOUR
    rows = [kept(FloatValue, [(begin + 2 * HOUR, 1)]) for _ in range(3)]
    for row, width, hours in ((rows[0], HOUR, 0), (rows[0], MINUTE, 1), (rows[1], MINUTE, 1)):
        of_row = {"kind": "floatval", "key": row.pk, "width": width}
        when = at(begin + hours * HOUR)
        Summary.objects.create(**of_row, time=when, number=1, known=1, count=1)
    Description.objects.all().delete()
    catch_up(sender=None, using="default")
    times = [Description.objects.get(key=row.pk).time for row in rows]
    assert times == [at(begin + hours * HOUR) for hours in (0, 1, 2)]
    with CaptureQueriesContext(connection) as queries:
        catch_up(sender=None, using="default")
    assert Description.objects.count() == 3
    asked = [query["sql"] for query in queries]
    assert any("values_description" in sql for sql in asked)
    assert not any("values_summary" in sql for sql in asked)


def test_migrate_makes_good_a_page_after_the_other(monkeypatch):
    """What was written without triggers is described and sampled, in transactions of a few rows;
    what differs in nothing is written nothing of."""
    monkeypatch.setattr(recording, "BATCH", 2)
    gone = [FloatValue.objects.create(name=f"gone {number}").pk for number in range(5)]
    triggers.uninstall("default")
    FloatValue.objects.all().delete()
    values = [*range(5), math.inf]
    there = [FloatValue.objects.create(name=f"pump {one}", value=one).pk for one in values]
    triggers.install("default")
    for _ in range(2):
        catch_up(sender=None, using="default")
        said = Description.objects.filter(kind="floatval")
        assert sorted(said.exclude(name=None).values_list("key", flat=True)) == [*gone, *there]
        assert sorted(said.filter(name=None).values_list("key", flat=True)) == gone
        samples = Sample.objects.filter(kind="floatval", key__in=there)
        assert sorted(samples.values_list("number", flat=True)) == [0, 1, 2, 3, 4]


@pytest.mark.sqlite
def test_the_earliest_moment_is_found_by_index():
    """Since when anything is kept costs the same however many descriptions there are."""
    with CaptureQueriesContext(connection) as queries:
        earliest(time.time())
    (asked,) = queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked['sql']}")
        assert "description_by_time" in cursor.fetchall()[0][-1]


def test_a_row_with_an_infinite_limit_is_described():
    """What has a limit that JSON can't say is described without it by migrate, and by signals."""
    triggers.uninstall("default")
    row = FloatValue.objects.create(name="pump", value=math.inf, maximum=math.inf, warn_high=5)
    call_command("migrate", verbosity=0)
    (about,) = Description.objects.filter(key=row.pk).values_list("about", flat=True)
    assert ("maximum" in about, about["warn_high"]) == (False, 5)
    catch_up(sender=None, using="default")
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        call_command("migrate", verbosity=0)
        row.warn_high = 6
        row.save()
    call_command("migrate", verbosity=0)
    assert [one.about["warn_high"] for one in Description.objects.order_by("id")] == [5, 6]


def test_signals_describe_where_triggers_may_not(client):
    """With CAPTURE = "signals" what sends a signal is described."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        call_command("migrate", verbosity=0)
        row = FloatValue.objects.create(name="pump")
        row.unit = "bar"
        row.save()
        row.save()
        then = moment()
        row.delete()
    call_command("migrate", verbosity=0)
    assert [one.name for one in Description.objects.order_by("id")] == ["pump", "pump", None]
    (one,) = ask(client, then)["values"]
    assert one["data"]["unit"] == "bar"
