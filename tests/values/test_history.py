"""`/api/values/<stream>/<pk>/history/` and `changes/`, as a page asks them."""

import time
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from tests.values.past import HOUR, MINUTE, kept, on_the_hour
from values.bindings import FloatValueBinding
from values.models import BooleanValue, Description, FloatValue, IntegerValue, Sample, TextValue
from values.samples import history as history_module
from values.samples.history import at
from values.samples.summaries import keep_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_past")]


def ask(client, row, path="history", stream="floatval", status=200, **query):
    response = client.get(f"/api/values/{stream}/{row.pk}/{path}/", query)
    assert response.status_code == status, response.content
    assert "private" in response["Cache-Control"]
    return response.json()


def test_points_and_gaps(client):
    """Each point has least, most and mean of its time; where nothing is known, null."""
    begin = on_the_hour() - HOUR
    row = kept(FloatValue, [(begin + 10, 1), (begin + 15, 5), (begin + 30, None), (begin + 50, 2)])
    past = ask(client, row, **{"from": begin, "to": begin + 60, "points": 7})
    assert past["step"] == 10
    assert past["time"] == [begin + 10 * at for at in range(6)]
    assert past["min"] == [None, 1, 5, None, None, 2]
    assert past["max"] == [None, 5, 5, None, None, 2]
    assert past["mean"] == [None, 3, 5, None, None, 2]
    assert past["last"] == [None, 5, 5, None, None, 2]
    assert past["count"] == [0, 2, 0, 1, 0, 1]
    assert past["source"] == "samples"


def test_times_are_dates_too(client):
    """Begin and end may be ISO 8601; a range without them is the last hour."""
    begin = on_the_hour() - 2 * HOUR
    row = kept(FloatValue, [(begin, 7)])
    iso = datetime.fromtimestamp(begin, UTC).isoformat().replace("+00:00", "Z")
    past = ask(client, row, **{"from": iso, "to": begin + MINUTE, "points": 2})
    assert (past["time"], past["last"]) == ([begin], [7])
    before = time.time()
    past = ask(client, row)
    after = time.time()
    assert before - past["step"] < past["time"][0] + HOUR <= after
    assert past["time"][-1] <= after
    assert 200 < len(past["time"]) <= 301


def test_summaries_tell_the_same(client):
    """A long range has the same points from summaries as from samples, with the tail of today."""
    end = time.time()
    changes = [(end - 30 * HOUR + at * 700, at % 13) for at in range(150)]
    row = kept(FloatValue, [*changes, (end - 1, 20)])
    query = {"from": end - 29 * HOUR, "to": end, "points": 30}
    before = ask(client, row, **query)
    assert before["source"] == "hours"
    keep_up()
    after = ask(client, row, **query)
    for name in ("time", "min", "max", "last", "count"):
        assert after[name] == before[name], name
    # The last point goes on growing meanwhile.
    assert after["mean"][:-1] == pytest.approx(before["mean"][:-1])
    assert after["last"][-1] == 20
    with override_settings(SAMPLES={"raw": HOUR, "minutes": 2 * HOUR, "hours": 99 * HOUR}):
        keep_up()
        assert Sample.objects.filter(key=row.pk).count() < 10
        forgotten = ask(client, row, **query)
    assert forgotten["mean"][:-1] == pytest.approx(before["mean"][:-1])


def test_finer_than_what_is_left(client):
    """Of a time of which only summaries are left, points are as wide as those."""
    begin = on_the_hour() - 20 * HOUR
    row = kept(FloatValue, [(begin + at, at) for at in range(0, 600, 5)])
    keep_up()
    query = {"from": begin, "to": begin + 10 * MINUTE, "points": 600}
    assert ask(client, row, **query)["source"] == "minutes"
    with override_settings(SAMPLES={"raw": 99 * HOUR, "minutes": 99 * HOUR, "hours": 99 * HOUR}):
        past = ask(client, row, **query)
        assert (past["source"], past["step"], len(past["time"])) == ("samples", 2, 300)


def test_very_many_samples_are_summed_up(client, monkeypatch):
    """More samples than an answer can be made of in time are answered by minutes."""
    monkeypatch.setattr(history_module, "MOST_SAMPLES", 100)
    begin = on_the_hour() - HOUR
    row = kept(FloatValue, [(begin + at, at) for at in range(101)])
    past = ask(client, row, **{"from": begin, "to": begin + 120, "points": 100})
    assert (past["source"], past["max"]) == ("minutes", [59, 100])


def test_the_future_and_a_silent_source_are_unknown(client):
    """What is to come is null, and so is what a silent source didn't say."""
    now = time.time()
    row = kept(FloatValue, [(now - 100, 3)])
    past = ask(client, row, **{"from": now - 60, "to": now + 60, "points": 13})
    assert (past["last"][0], past["last"][-1], past["mean"][-1]) == (3, None, None)
    FloatValue.objects.update(expected_interval=1, reported_at=at(now - 30))
    past = ask(client, row, **{"from": now - 60, "to": now, "points": 13})
    assert past["mean"][:4] == [3, 3, 3, 3]
    assert (past["mean"][-1], past["last"][-1]) == (None, None)
    kept(row, [(now - 10, 4)])  # by somebody's hand
    assert ask(client, row, **{"from": now - 60, "to": now, "points": 13})["last"][-1] == 4


def test_a_silence_stays_unknown_after_the_value_was_deleted(client):
    """While its source was silent nothing was known of a value that was deleted or let go since."""
    now = time.time()
    for forget in (lambda rows: rows.update(expected_interval=None), lambda rows: rows.delete()):
        row = kept(FloatValue, [(now - 100, 3)])
        rows = FloatValue.objects.filter(pk=row.pk)
        rows.update(expected_interval=1, reported_at=at(now - 40))
        forget(rows)
        past = ask(client, row, **{"from": now - 60, "to": now, "points": 7})
        known = dict(zip(past["time"], past["mean"], strict=True))
        assert {known[then] for then in known if then < now - 50} == {3}
        assert {known[then] for then in known if now - 38 < then < now - 10} == {None}


def test_kinds_are_answered_as_they_are_sent(client):
    """Integers are whole, a state's mean is the share of yes, a text has a last one alone."""
    begin = on_the_hour() - HOUR
    query = {"from": begin, "to": begin + 10, "points": 1}
    whole = ask(client, kept(IntegerValue, [(begin, 1), (begin + 5, 2)]), stream="intval", **query)
    assert repr(whole["last"]) == "[2]"
    state = ask(client, kept(BooleanValue, [(begin, 1), (begin + 4, 0)]), stream="boolval", **query)
    assert (state["last"], state["mean"]) == ([False], [pytest.approx(0.4)])
    text = ask(client, kept(TextValue, [(begin, "a")]), stream="textval", **query)
    assert (text["last"], text["min"], text["mean"]) == (["a"], [None], [None])


def test_a_program_is_known_by_its_token(client, admin_user):
    """Who made a change is told staff that shows a token; a wrong one is refused."""
    row = kept(FloatValue, [(on_the_hour(), 1)])
    Sample.objects.update(who="ana")
    token = Token.objects.create(user=admin_user).key

    def asked(key):
        headers = {"Authorization": f"Token {key}"}
        return client.get(f"/api/values/floatval/{row.pk}/changes/", headers=headers)

    assert asked(token).json()["changes"][0]["who"] == "ana"
    assert asked("none").status_code == 401
    assert client.get(f"/api/values/floatval/{row.pk}/changes/").json()["changes"][0]["who"] is None


@pytest.mark.parametrize("key", ["-1", "x", "1" * 18, "1" * 30])
def test_a_key_that_no_value_has(client, key):
    """It is answered in JSON, like any other value that there isn't."""
    for what in ("history", "changes"):
        response = client.get(f"/api/values/floatval/{key}/{what}/")
        assert (response.status_code, set(response.json())) == (404, {"detail"})


def test_many_cost_no_more_questions(client):
    """The histories of many values, of deleted ones too, are asked for at once."""
    begin = on_the_hour() - HOUR
    rows = [kept(FloatValue, [(begin, number)]) for number in range(12)]
    keys = [row.pk for row in rows]
    for row in rows[:3]:
        row.delete()

    def queries(some):
        with CaptureQueriesContext(connection) as queries:
            query = {"pk": ",".join(map(str, some)), "from": begin, "to": begin + 60, "points": 1}
            answer = client.get("/api/values/floatval/history/", query).json()
        assert [one["pk"] for one in answer["histories"]] == some
        assert [one["last"] for one in answer["histories"]] == [[keys.index(key)] for key in some]
        return len(queries)

    assert queries(keys) == queries([keys[0], keys[5]]) < 15


def test_several_at_once(client):
    """The histories of several values come in the same points, of those that there are."""
    begin = on_the_hour() - HOUR
    one, other = kept(FloatValue, [(begin, 1)]), kept(FloatValue, [(begin + 10, 2)])
    query = {"pk": f"{one.pk},{other.pk},999999", "from": begin, "to": begin + 60, "points": 7}
    found = client.get("/api/values/floatval/history/", query).json()["histories"]
    assert [past["pk"] for past in found] == [one.pk, other.pk]
    assert found[1]["last"] == [None, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-01-01T00:00:00", "to": "nan"}, "to"),
        ({"to": "1e300"}, "to"),
        ({"from": 10, "to": 10}, "from"),
        ({"from": 10, "to": 9}, "from"),
        ({"points": 0}, "points"),
        ({"points": 2001}, "points"),
        ({"points": "many"}, "points"),
        ({"point": 3}, "point"),
    ],
)
def test_a_wrong_question_is_told_so(client, query, field):
    """Each parameter that can't be understood is an error of its own, 400."""
    row = kept(FloatValue, [])
    assert set(ask(client, row, status=400, **query)) == {field}


def test_wrong_lists_of_keys(client):
    """Several at once need keys that are some, and not too many points."""
    for query, field in [({}, "pk"), ({"pk": "1,x"}, "pk"), ({"pk": "1,2", "points": 0}, "points")]:
        response = client.get("/api/values/floatval/history/", query)
        assert (response.status_code, set(response.json())) == (400, {field})
    many = ",".join(str(key) for key in range(1000))
    response = client.get("/api/values/floatval/history/", {"pk": many, "points": 21})
    assert set(response.json()) == {"points"}


def test_what_there_isnt(client):
    """Another stream, and a value that never was or of which nothing is kept any more, are 404."""
    row = kept(FloatValue, [(1, 1)])
    ask(client, row, stream="intlimits", status=404)
    ask(client, row, stream="intval", status=404)
    key = row.pk
    row.delete()
    row.pk = key
    Description.objects.filter(key=key).delete()
    ask(client, row, status=404)
    ask(client, row, path="changes", status=404)


def test_the_past_is_for_those_who_may_see(client, admin_client, monkeypatch):
    """Whom the binding doesn't let retrieve a value learns nothing of its past."""
    row = kept(FloatValue, [(1, 1)])

    def permitted(self, user, action, pk):
        assert (action, pk) == ("retrieve", row.pk)
        return user.is_authenticated

    monkeypatch.setattr(FloatValueBinding, "has_permission", permitted)
    for path in ("history", "changes"):
        ask(client, row, path=path, status=401)
        ask(admin_client, row, path=path)
    many = client.get("/api/values/floatval/history/", {"pk": row.pk})
    assert many.status_code == 401


def test_the_past_of_what_is_not_read_is_not_told(client, monkeypatch):
    """To whom the binding doesn't send the value there is no past of it either."""
    row = kept(FloatValue, [(1, 1)])
    monkeypatch.setattr(
        FloatValueBinding, "readable_fields", classmethod(lambda cls, user: ["name"])
    )
    for path in ("history", "changes"):
        ask(client, row, path=path, status=404)
    assert client.get("/api/values/floatval/history/", {"pk": row.pk}).status_code == 404


def test_changes_one_by_one(client, admin_client):
    """The newest first, a page after the other, with who did it for staff alone."""
    begin = on_the_hour()
    row = kept(IntegerValue, [(begin, 1), (begin + 1, 2), (begin + 1, None), (begin + 2, 4)])
    Sample.objects.filter(key=row.pk, number=4).update(who="ana")
    first = ask(client, row, "changes", "intval", limit=2)["changes"]
    assert [change["value"] for change in first] == [4, None]
    assert [change["who"] for change in first] == [None, None]
    rest = ask(client, row, "changes", "intval", before=first[-1]["id"])["changes"]
    assert [change["value"] for change in rest] == [2, 1]
    assert rest[0]["time"] == datetime.fromtimestamp(begin + 1, UTC).isoformat().replace(
        "+00:00", "Z"
    )
    named = ask(admin_client, row, "changes", "intval")["changes"]
    assert [change["who"] for change in named] == ["ana", None, None, None]
    ask(client, row, "changes", "intval", status=400, before=10**12)
    then = ask(client, row, "changes", "intval", until=begin + 1)["changes"]
    assert [change["value"] for change in then] == [None, 2, 1]
    then = ask(client, row, "changes", "intval", until=begin + 0.999999)["changes"]
    assert [change["value"] for change in then] == [1]
