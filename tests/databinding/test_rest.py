"""The bindings of a demultiplexer as REST resources."""

import json
import math
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import util

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.db import OperationalError, connection, connections
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django_filters.rest_framework import FilterSet, ModelChoiceFilter
from drf_spectacular.validation import validate_schema
from rest_framework.authtoken.models import Token
from rest_framework.serializers import CharField, DecimalField, ModelSerializer

from databinding.keyset import Order
from databinding.rest import addresses, narrowing, resources, rest_urls
from databinding.rest.resources import Resource
from databinding.sse import sse_view
from databinding.throttling import ActionThrottle
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client as Websocket
from tests.databinding.clients import named
from tests.servers import CHECKOUT, PATIENCE
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import MessageBinding, NamedBinding
from tests.shapes.models import Message, Named, Paper, Room, Tag
from tests.talk.bindings import Demultiplexer as Talk
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

urlpatterns = [
    path("api/", include(rest_urls(Talk))),
    path("shapes/<str:rooms>/", include(rest_urls(Shapes))),
]


@pytest.fixture
def serve(registry_as_it_was, settings, monkeypatch):
    """A function that serves these streams at /own/, to connections in these groups."""

    def serve(consumers, groups=("all",)):
        urls = [path("own/", include(rest_urls(named(consumers, list(groups)))))]
        settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})

    return serve


def send(client, method, address, data=None, **headers):
    body = "" if data is None else json.dumps(data)
    return client.generic(method, address, body, "application/json", headers=headers)


def stored():
    return {row.pk: (row.name, row.value) for row in IntegerValue.objects.all()}


def pages(client, address):
    """The rows of a list, page by page, from its beginning to its end."""
    found = []
    while address is not None:
        page = client.get(address).json()
        found.append(page["results"])
        address = page["next"]
    return found


# What is answered


def test_create_retrieve_update_delete(client):
    """A row is a resource: its key and its fields, at an address of its own."""
    response = send(client, "POST", "/api/intval/", {"name": "a", "value": "7"})
    row = response.json()
    address = response["Location"]
    assert response.status_code == 201
    assert row == {"pk": row["pk"], "name": "a", "value": 7}
    assert address == f"http://testserver/api/intval/{row['pk']}/"
    assert client.get(address).json() == row
    response = send(client, "PATCH", address, {"value": 8})
    assert (response.status_code, response.json()) == (200, {**row, "value": 8})
    response = send(client, "PUT", address, {"name": "b", "value": 9})
    assert (response.status_code, response.json()) == (200, {**row, "name": "b", "value": 9})
    assert stored() == {row["pk"]: ("b", 9)}
    response = client.delete(address)
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(address).status_code == 404
    assert stored() == {}


def test_put_must_say_what_is_required(client):
    """Who replaces a row says all that a new one needs; who changes it doesn't."""
    row = IntegerValue.objects.create(name="a", value=1)
    response = send(client, "PUT", f"/api/intval/{row.pk}/", {"value": 2})
    assert (response.status_code, response.json()) == (400, {"name": ["This field is required."]})
    assert stored() == {row.pk: ("a", 1)}


def test_a_row_can_be_sent_back_as_it_came(client):
    """The key that is read beside the fields may be sent with them, but not another one."""
    row = IntegerValue.objects.create(name="a", value=1)
    address = f"/api/intval/{row.pk}/"
    said = {**client.get(address).json(), "value": 2}
    assert send(client, "PUT", address, said).json() == said
    refused = send(client, "PATCH", address, {"pk": row.pk + 1, "value": 3})
    assert refused.json() == {"pk": ["A primary key can't be changed."]}
    refused = send(client, "POST", "/api/intval/", {"pk": 5, "name": "b"})
    assert refused.json() == {"pk": ["There is no such field."]}
    assert stored() == {row.pk: ("a", 2)}


def test_every_kind_of_value(client):
    """Values have the forms that they have on the websocket, keys of any type their address."""
    room = Room.objects.create(name="r")
    paper = Paper.objects.create(
        amount=Decimal("1.50"), written=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), blob=b"\0"
    )
    row = client.get(f"/shapes/{room.pk}/paper/{paper.pk}/").json()
    assert row["pk"] == str(paper.pk)
    assert (row["amount"], row["written"], row["blob"]) == ("1.50", "2026-01-02T03:04:05Z", "AA==")
    message = Message.objects.create(room=room, text="hush")
    member = client.get(f"/shapes/1/member/{message.pk}/").json()
    assert (member["text"], member["shout"], member["room__name"]) == ("hush", "HUSH", "r")


def test_keys_of_any_text_have_an_address(serve, client):
    """A natural key stands in its row's address, whatever it is made of."""

    class WithCode(NamedBinding):
        fields = ["code", "value"]

    serve({"named": WithCode}, ["named"])
    for code in ("a b", "ä/ö", "%2F", "?#", "a\nb"):
        created = send(client, "POST", "/own/named/", {"code": code, "value": 1})
        assert client.get(created["Location"]).json() == {"pk": code, "code": code, "value": 1}


def test_the_root_names_the_streams(client):
    """Streams that carry bindings are named with their addresses, others aren't there."""
    found = client.get("/shapes/1-2/").json()
    assert found["message"] == "http://testserver/shapes/1-2/message/"
    assert "parrot" not in found
    assert client.get("/shapes/1-2/parrot/").status_code == 404


def test_the_routes_arguments_choose_the_groups(client):
    """Rows that the demultiplexer's groups don't see can be neither read nor written."""
    one, two = (Room.objects.create(name=name) for name in "12")
    seen = Message.objects.create(room=one, text="seen")
    other = Message.objects.create(room=two, text="other")
    here = f"/shapes/{one.pk}/message/"
    assert [row["pk"] for row in client.get(here).json()["results"]] == [seen.pk]
    assert client.get(f"{here}{seen.pk}/").status_code == 200
    for method, data in (("GET", None), ("PATCH", {"text": "x"}), ("DELETE", None)):
        assert send(client, method, f"{here}{other.pk}/", data).status_code == 404
    assert sum(map(len, pages(client, f"/shapes/{one.pk}-{two.pk}/message/"))) == 2
    other.refresh_from_db()
    assert other.text == "other"


def test_a_row_that_leaves_is_answered_without_it(serve, client):
    """Who writes a row so that it is none of the binding's is told that it was done, no more."""

    class Shown(MessageBinding):
        @classmethod
        def get_queryset(cls):
            return Message.objects.filter(hidden=False)

    room = Room.objects.create(name="r")
    serve({"shown": Shown}, [f"room-{room.pk}"])
    tag = Tag.objects.create(name="t")
    data = {"room": room.pk, "text": "a", "tags": [tag.pk], "hidden": False}
    address = send(client, "POST", "/own/shown/", data)["Location"]
    assert send(client, "PATCH", address, {"hidden": True}).status_code == 204
    assert client.get(address).status_code == 404
    assert send(client, "POST", "/own/shown/", {**data, "hidden": True}).status_code == 204
    assert Message.objects.filter(hidden=True).count() == 2


def test_a_bindings_parameters_choose_among_its_groups(client):
    """What a subscription may say a request may say, too, and no more than that."""
    one, two = (Room.objects.create(name=name) for name in "12")
    for room in (one, two):
        Message.objects.create(room=room, text=room.name)
    here = f"/shapes/{one.pk}-{two.pk}/latest/"

    def texts(query=""):
        return [row["text"] for row in client.get(here + query).json()["results"]]

    assert texts() == ["1", "2"]
    assert texts(f"?room={two.pk}") == ["2"]
    (row,) = client.get(f"{here}?room={two.pk}").json()["results"]
    assert client.get(f"{here}{row['pk']}/?room={two.pk}").status_code == 200
    assert client.get(f"{here}{row['pk']}/?room={one.pk}").status_code == 404
    assert client.get(f"{here}?room=x").status_code == 400
    assert client.get(f"{here}?room={two.pk + 1}").status_code == 403


def test_how_a_row_is_written_is_the_consumers_affair(serve, client):
    """The consumer's `perform_create` runs here, too, with the scope of a page's websocket."""

    class Consumer(MessageBinding.consumer):
        def perform_create(self, serializer):
            serializer.save(text=f"by {self.scope['user'].username} at {self.scope['path']}")

    room = Room.objects.create(name="r")
    serve({"message": Consumer}, [f"room-{room.pk}"])
    client.force_login(User.objects.create(username="ana"))
    data = {"room": room.pk, "text": "a", "tags": [Tag.objects.create(name="t").pk]}
    assert send(client, "POST", "/own/message/", data).json()["text"] == "by ana at /own/message/"


# Lists


def test_a_list_leaves_out_what_cannot_be_rendered(client, caplog):
    """The other rows haven't to answer for it, neither in pages; by itself it is a fault."""
    papers = [Paper.objects.create(amount=number) for number in range(4)]
    papers.sort(key=lambda one: one.pk)
    for bad in papers[1:3]:
        Paper.objects.filter(pk=bad.pk).update(ratio=math.inf)
    fine = [str(papers[0].pk), str(papers[3].pk)]
    found = pages(client, "/shapes/1/paper/?limit=1")
    assert [[row["pk"] for row in page] for page in found] == [fine[:1], fine[1:]]
    assert f"row '{papers[1].pk}' can't be rendered" in caplog.text
    client.raise_request_exception = False
    answer = client.get(f"/shapes/1/paper/{papers[1].pk}/")
    assert (answer.status_code, answer.json()["detail"]) == (
        500,
        "Something went wrong on the server.",
    )
    assert client.get(f"/shapes/1/paper/{fine[0]}/").status_code == 200


def test_a_list_comes_in_pages(client):
    """Each page begins behind the one before it, whatever is inserted or deleted meanwhile."""
    rows = [IntegerValue.objects.create(name=name, value=1) for name in "bdacf"]
    first = client.get("/api/intval/?limit=2").json()
    assert [row["name"] for row in first["results"]] == ["b", "d"]
    IntegerValue.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).delete()
    names = [[row["name"] for row in page] for page in pages(client, first["next"])]
    assert names == [["a", "c"], ["f"]]
    with override_settings(DATABINDING={"LIST_LIMIT": 2}):
        assert len(client.get("/api/intval/").json()["results"]) == 2
        assert client.get("/api/intval/?limit=3").json() == {"limit": ["A number from 1 to 2."]}


@pytest.fixture
def valued(serve):
    """Names, values and rooms to search, filter and order by, at /own/valued/."""

    class Valued(MessageBinding):
        fields = ["room", "text", "hidden"]
        filterset_fields = {"text": ["exact", "contains"], "hidden": ["exact"], "tags": ["exact"]}
        filterset_fields |= {"room": ["exact"], "id": ["in"]}
        search_fields = ["text", "tags__name"]
        ordering_fields = ["text", "hidden", "room__name"]

    one, two = Room.objects.create(name="z"), Room.objects.create(name="y")
    serve({"valued": Valued}, [f"room-{one.pk}", f"room-{two.pk}"])
    tags = [Tag.objects.create(name=f"tag {name}") for name in "ab"]
    for number, text in enumerate(["b", "a", "b", "c", "a"]):
        message = Message.objects.create(room=(one, two)[number % 2], text=text)
        message.tags.set(tags)


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("", "babca"),
        ("text=a", "aa"),
        ("text__contains=b&hidden=false", "bb"),
        ("hidden=true", ""),
        ("search=c", "c"),
        ("search=tag", "babca"),  # each once, though two tags match
        ("ordering=text", "aabbc"),
        ("ordering=-text", "cbbaa"),
        ("ordering=room__name,-text", "cabba"),
        ("ordering=hidden,text&search=c", "c"),
    ],
)
def test_what_is_declared_narrows_and_orders(valued, client, query, texts):
    """Filters, search and order are what the binding declares, across pages of any size."""
    for limit in (1, 2, 10):
        found = pages(client, f"/own/valued/?limit={limit}&{query}")
        assert "".join(row["text"] for page in found for row in page) == texts
        assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=99999",
        "limit=%EF%BC%91",
        "cursor=",
        "cursor=x",
        "cursor=W10",
        "cursor=WyJ4Il0",
        "cursor=W1tdXQ",
        "cursor=WyJcdTAwMDAiXQ",
        "ordering=tags",
        "ordering=pk",
        "ordering=text,text",
        "ordering=text,hidden,-text",
        "search=" + "+".join("abcdefghijklmnopqrstu"),
        "search=" + 1001 * "a",
        "hidden=perhaps",
        "tags=999",
        "search=%00",
        "text=%00",
        "txet=a",
    ],
)
def test_what_a_list_is_not_asked_is_refused(valued, client, query):
    """A parameter that is unknown or makes no sense is an error: no rows are taken for others."""
    response = client.get(f"/own/valued/?{query}")
    (name,) = response.json()
    assert response.status_code == 400
    if not query.startswith("hidden"):
        assert name == query.partition("=")[0]


@pytest.mark.parametrize("text", ["ordering", "search"])
def test_what_would_cost_much_is_refused_before_it_does(valued, client, text):
    """However often a list is to be ordered by something or searched for it: no query is made."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/own/valued/", {text: ",".join(["text"] * 10_000), "limit": 1})
    assert list(response.json()) == [text]
    assert [one for one in queries if "shapes_message" in one["sql"]] == []


def test_what_the_database_can_not_look_for(valued, client):
    """A number that no column holds is no row's, or makes no sense; it is no fault of ours."""
    response = client.get(f"/own/valued/?id__in=0,{10**30}")
    assert (response.status_code, response.json()) == (
        (400, ["The database can't look for this."])
        if connection.vendor == "sqlite"
        else (200, {"next": None, "results": []})
    )


def test_a_binding_without_filters_has_none(client):
    """Nothing can be filtered, searched or ordered by that the binding doesn't declare."""
    for name in ("name", "search", "ordering"):
        assert client.get(f"/api/intval/?{name}=a").status_code == 400


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("written", [datetime(2026, 1, 1, microsecond=n, tzinfo=UTC) for n in (3, 1, 2)]),
        ("took", [timedelta(days=2), timedelta(seconds=1), -timedelta(microseconds=1)]),
        ("ratio", [0.1, 1e300, -2.5]),
        ("amount", [Decimal("9.10"), Decimal("-1"), Decimal("9.09")]),
        ("day", [datetime(2026, 1, n).date() for n in (3, 1, 2)]),
        ("room", [None, None]),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_positions_in_every_kind_of_order(field, values, sign):
    """A position is exact for every type of value, nulls and equal values among them."""
    for value in [*values, *values]:
        Paper.objects.create(**{"amount": 1, field: value})
    if Paper._meta.get_field(field).null:
        Paper.objects.create(amount=1)
    order = Order(Paper, [f"{sign}{field}"])
    expected = list(order.of(Paper.objects.all()))
    found, rows = [], Paper.objects.all()
    while (row := order.of(rows).first()) is not None:
        found.append(row)
        rows = order.after(Paper.objects.all(), order.parse(order.text(order.position(row))))
    assert found == expected
    assert len(found) >= 4


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("field", "texts"),
    [
        (
            "written",
            [
                "2026-01-01 00:00:00",
                "2026-01-01 00:00:00.5",
                "2026-01-01 00:00:00.50",
                "2026-01-01 00:00:00.500000",
                "2026-01-01T00:00:00.5",
                "2026-01-01 00:00",
            ],
        ),
        ("day", ["2026-01-02", "2026-1-2", "2026-1-02"]),
        ("amount", [1, "1.00", 1.001, 1.004999, "1.002"]),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_pages_of_what_sql_has_written(field, texts, sign):
    """Each row is on one page, once, however SQL has written what Django reads as the same."""
    for text in [*texts, *texts]:
        paper = Paper.objects.create(amount=1)
        key = Paper._meta.pk.get_db_prep_value(paper.pk, connection)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE shapes_paper SET {field} = %s WHERE id = %s", [text, key])
    order = Order(Paper, [f"{sign}{field}"])
    every = list(order.of(Paper.objects.all()))
    found, rows = [], order.of(Paper.objects.all())
    while len(found) <= len(every) and (row := rows.first()) is not None:
        found.append(row)
        position = order.parse(order.text(order.position(row)))
        rows = order.after(order.of(Paper.objects.all()), position)
    assert found == every


# What depends on the user


@pytest.fixture
def personal(serve):
    """Papers of which everybody but ana sees those that are cheap, and not what they cost."""

    class Personal(WebsocketBinding):
        model = Paper
        fields = ["amount", "day"]
        filterset_fields = ["amount", "day"]
        search_fields = ["amount"]
        ordering_fields = ["amount", "day"]

        @classmethod
        def group_names(cls, instance):
            return ["all"]

        def get_queryset(self, user):
            rows = Paper.objects.all()
            return rows if user.username == "ana" else rows.filter(amount__lt=5)

        def readable_fields(self, user):
            return None if user.username == "ana" else ["day"]

        def has_permission(self, user, action, pk):
            return True

    serve({"personal": Personal})
    return [Paper.objects.create(amount=amount) for amount in (9, 1, 2)]


def test_rows_and_fields_are_those_of_the_user(personal, client):
    """What a user doesn't see can't be listed, read, written or guessed at by its values."""
    dear, *cheap = [f"/own/personal/{paper.pk}/" for paper in personal]

    def amounts(query=""):
        return [row.get("amount") for row in client.get(f"/own/personal/{query}").json()["results"]]

    assert amounts() == [None, None]
    for method, data in (("GET", None), ("PATCH", {"day": None}), ("DELETE", None)):
        assert send(client, method, dear, data).status_code == 404
    refused = send(client, "PATCH", cheap[0], {"amount": "3"})
    assert (refused.status_code, list(refused.json())) == (403, ["amount"])
    for query in ("?amount=1", "?ordering=amount", "?ordering=-amount", "?search=1"):
        assert client.get(f"/own/personal/{query}").status_code == 400
    assert amounts("?ordering=day") == [None, None]
    pages = [client.get(at, headers={"accept": "text/html"}) for at in ("/own/personal/", cheap[0])]
    assert all("amount" not in page.content.decode() for page in pages)

    client.force_login(User.objects.create(username="ana"))
    assert sorted(amounts()) == ["1.00", "2.00", "9.00"]
    assert amounts("?ordering=-amount") == ["9.00", "2.00", "1.00"]
    assert amounts("?amount=9") == amounts("?search=9") == ["9.00"]
    assert send(client, "PATCH", dear, {"amount": "8"}).json()["amount"] == "8.00"


def test_a_hidden_field_by_another_name(serve, client):
    """Nor is it guessed at by the name that its model has for it, or its column."""

    class PaperSerializer(ModelSerializer):
        cost = DecimalField(source="amount", max_digits=8, decimal_places=2)
        where = CharField(source="room.name")

        class Meta:
            model = Paper
            fields = ["cost", "where", "room", "day"]

    class Renamed(WebsocketBinding):
        model = Paper
        serializer_class = PaperSerializer
        filterset_fields = ["amount", "day", "room_id", "room__name", "room__id"]
        ordering_fields = ["amount", "day", "room_id", "room__name"]
        search_fields = ["room__name"]

        @classmethod
        def group_names(cls, instance):
            return ["all"]

        def readable_fields(self, user):
            names = user.username.split() or ["day"]
            return [name for name in ("cost", "where", "room", "day") if name in names]

        def has_permission(self, user, action, pk):
            return True

    serve({"renamed": Renamed})
    Paper.objects.create(amount=1, room=Room.objects.create(pk=1, name="a"))

    def answered():
        queries = ("amount=1", "ordering=amount", "room_id=1", "ordering=room_id", "room__name=a")
        queries += ("ordering=room__name", "search=a", "room__id=1", "day=2020-01-01")
        return [
            query for query in queries if client.get(f"/own/renamed/?{query}").status_code == 200
        ]

    assert answered() == ["day=2020-01-01"]
    client.force_login(User.objects.create(username="where day"))
    assert answered() == ["day=2020-01-01"]
    client.force_login(User.objects.create(username="room day"))
    assert answered() == ["room_id=1", "ordering=room_id", "room__id=1", "day=2020-01-01"]


def test_the_description_promises_no_field_that_depends_on_the_user(personal, client):
    """Of a row that isn't the same for all only the key is sure to be there."""
    schemas = client.get("/own/schema/?format=json").json()["components"]["schemas"]
    assert schemas["Personal"]["required"] == ["pk"]
    assert set(schemas["Personal"]["properties"]) == {"pk", "amount", "day"}


# What is refused


def test_errors_have_the_form_of_the_framework(client):
    """Field errors come by field, others as a sentence; conflicts are conflicts."""
    IntegerValue.objects.create(name="taken")
    refused = send(client, "POST", "/api/intval/", {"name": "taken", "value": "x"})
    assert (refused.status_code, refused.json()) == (
        400,
        {
            "name": ["integer value with this name already exists."],
            "value": ["A valid integer is required."],
        },
    )
    assert client.get("/api/intval/999/").json() == {"detail": "Not found."}
    for key in ("x", "1.5", "%00", "9" * 40, "-1", " "):
        assert client.get(f"/api/intval/{key}/").status_code == 404
    assert client.get("/shapes/1/named/%00/").status_code == 404
    refused = client.post("/api/intval/1/")
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD, PUT, PATCH, DELETE")
    assert refused["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"value": NaN}', "application/json", 400),
        (b'{"value": 1e999}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "\\u0000"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"name": "' + b"a" * 300_000 + b'"}', "application/json", 413),
        (b"name=" + b"a" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"name", "text/plain", 415),
        (b"--x", "multipart/form-data; boundary=x", 400),
        (b"x", "multipart/form-data", 400),
    ],
)
def test_bodies_that_make_no_sense(client, body, kind, status):
    """What a database couldn't take, or is too much, is refused before it comes there."""
    response = client.generic("POST", "/api/intval/", body, kind)
    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert stored() == {}


@pytest.mark.parametrize(("more", "status"), [(0, 201), (300_000, 413), (3_000_000, 413)])
async def test_a_body_in_chunks(transactional_db, more, status):
    """A body whose length nobody tells beforehand is read as any other, up to the same limit."""
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers.append((b"transfer-encoding", b"chunked"))
    scope = {"type": "http", "method": "POST", "path": "/api/intval/", "headers": headers}
    scope |= {"http_version": "1.1", "query_string": b""}
    one = ApplicationCommunicator(ASGIHandler(), scope)
    for part in (b'{"name": "a", ', b" " * more, b'"value": 1}'):
        await one.send_input({"type": "http.request", "body": part, "more_body": True})
    await one.send_input({"type": "http.request", "body": b""})
    assert (await one.receive_output(timeout=PATIENCE))["status"] == status
    await one.wait(timeout=PATIENCE)
    rows = [row.name async for row in IntegerValue.objects.all()]
    assert rows == (["a"] if status == 201 else [])


def test_a_conflict_in_the_database_is_409(serve, client):
    """What only the database refuses is a conflict, and nothing is told of its internals."""

    class Unchecked(ModelSerializer):
        class Meta:
            model = IntegerValue
            fields = ["name", "value"]
            extra_kwargs = {"name": {"validators": []}}

    class Binding(IntegerValueBinding):
        serializer_class = Unchecked

    serve({"s": Binding}, ["intval-updates"])
    IntegerValue.objects.create(name="taken")
    refused = send(client, "POST", "/own/s/", {"name": "taken"})
    assert (refused.status_code, refused.json()) == (
        409,
        {"detail": "The row conflicts with another one."},
    )


def test_a_database_that_is_away_is_503(client, monkeypatch):
    """Who can't be answered now is told when to try again; in JSON, whatever they accept."""

    def away(self):
        raise OperationalError("away")

    monkeypatch.setattr(Talk, "connection_groups", away)
    response = client.get("/api/intval/", headers={"accept": "text/html"})
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert response.json() == {"detail": "The database is away or busy; try again."}


def test_a_fault_of_the_binding_is_500(client, monkeypatch, caplog):
    """It is logged and signalled, and the client told no more than that it happened."""

    def broken(self):
        raise KeyError("secret")

    monkeypatch.setattr(Talk, "connection_groups", broken)
    client.raise_request_exception = False
    response = client.get("/api/intval/")
    assert response.status_code == 500
    assert response.json() == {"detail": "Something went wrong on the server."}
    assert "\nKeyError\n" in caplog.text
    assert isinstance(response.exc_info[1], KeyError)


def test_permission_first(serve, client):
    """Who isn't logged in is answered 401, who may not 403; forms show what one may do."""

    class Guarded(WebsocketBinding):
        model = Named
        fields = ["code", "value"]

        @classmethod
        def group_names(cls, instance):
            return ["all"]

        def has_permission(self, user, action, pk):
            return user.username == "ana" and action != "delete" and pk != "theirs"

    serve({"guarded": Guarded})
    for code in ("mine", "theirs"):
        Named.objects.create(code=code)
    refused = client.get("/own/guarded/")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Token")
    with override_settings(DATABINDING={"AUTHENTICATION": ()}):
        assert client.get("/own/guarded/")["WWW-Authenticate"] == "Session"
    client.force_login(User.objects.create(username="bob"))
    assert client.get("/own/guarded/").status_code == 403
    client.force_login(User.objects.create(username="ana"))
    assert send(client, "PATCH", "/own/guarded/mine/", {"value": 1}).status_code == 200
    assert send(client, "PATCH", "/own/guarded/theirs/", {"value": 1}).status_code == 403
    assert client.delete("/own/guarded/mine/").status_code == 403
    page = client.get("/own/guarded/mine/", headers={"accept": "text/html"}).content.decode()
    assert 'name="value"' in page
    assert 'data-method="DELETE"' not in page


def test_programs_bring_tokens():
    """A token stands for its user, without a session or a CSRF token, as long as it is good."""
    client = Client(enforce_csrf_checks=True)
    ana = User.objects.create(username="ana")
    token = Token.objects.create(user=ana).key
    for scheme in ("Token", "Bearer"):
        said = {"name": scheme}
        done = send(client, "POST", "/api/intval/", said, authorization=f"{scheme} {token}")
        assert done.status_code == 201
    User.objects.update(is_active=False)
    for words in (f"Token {token}", "Token x", "Bearer", "Token \xff"):
        refused = send(client, "GET", "/api/intval/", authorization=words)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Token")


def test_forgery_and_foreign_pages_are_refused():
    """A session's writes need the CSRF token, and no page of a foreign origin may ask."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="ana"))
    refused = send(client, "POST", "/api/intval/", {"name": "a"})
    assert (refused.status_code, "CSRF" in refused.json()["detail"]) == (403, True)
    client.get("/api/intval/", headers={"accept": "text/html"})
    token = client.cookies["csrftoken"].value
    assert send(client, "POST", "/api/intval/", {"name": "a"}, **{"X-CSRFToken": token})
    assert len(stored()) == 1
    stranger = Client()
    for method in ("GET", "POST"):
        for foreign in ("https://evil.example", "null"):
            refused = send(stranger, method, "/api/intval/", {"name": "b"}, origin=foreign)
            assert refused.status_code == 403
    assert send(stranger, "GET", "/api/intval/", origin="http://testserver").status_code == 200
    assert len(stored()) == 1


# Conditions


def test_a_row_is_changed_only_as_it_was_seen(client):
    """`If-Match` is answered 412 where the row is another one, which the answer shows."""
    row = IntegerValue.objects.create(name="a", value=1)
    address = f"/api/intval/{row.pk}/"
    seen = client.get(address)["ETag"]
    changed = send(client, "PATCH", address, {"value": 2}, if_match=seen)
    assert changed.status_code == 200
    for method, data in (("PATCH", {"value": 3}), ("PUT", {"name": "b"}), ("DELETE", None)):
        refused = send(client, method, address, data, if_match=seen)
        assert refused.status_code == 412
        assert refused.json() == {"detail": "The row has changed.", "current": changed.json()}
        assert refused["ETag"] == changed["ETag"]
        assert (
            send(client, method, address, data, if_match=f"W/{changed['ETag']}").status_code == 412
        )
    assert stored() == {row.pk: ("a", 2)}
    assert send(client, "PATCH", address, {"value": 3}, if_match="*").status_code == 200
    assert send(client, "PATCH", address, {"value": 4}, if_none_match="*").status_code == 412
    listed = f'"x", {client.get(address)["ETag"]}'
    assert send(client, "DELETE", address, if_match=listed).status_code == 204
    assert send(client, "DELETE", address, if_match=listed).status_code == 404


def test_of_two_who_have_seen_the_same_only_one_writes():
    """Two writes at once, both for the row as it was: the second one is told what it is now."""
    row = IntegerValue.objects.create(name="a", value=0)
    address = f"/api/intval/{row.pk}/"
    tag = Client().get(address)["ETag"]
    ready = threading.Barrier(2)

    def write(value):
        client = Client()
        ready.wait()
        try:
            return value, send(client, "PATCH", address, {"value": value}, if_match=tag)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as both:
        answers = dict(both.map(write, (1, 2)))
    statuses = {value: answer.status_code for value, answer in answers.items()}
    assert sorted(statuses.values()) == [200, 412]
    (written,) = (value for value, status in statuses.items() if status == 200)
    (refused,) = (answer for answer in answers.values() if answer.status_code == 412)
    assert refused.json()["current"]["value"] == written
    assert stored() == {row.pk: ("a", written)}


async def test_what_a_request_writes_reaches_open_pages():
    """Whoever is subscribed sees it, as whatever else is written."""
    http = AsyncClient()
    async with Websocket(Talk) as page:
        await page.subscribe("intval")
        created = await http.post("/api/intval/", {"name": "a", "value": 1}, "application/json")
        pk = created.json()["pk"]
        await page.until("intval", {pk: {"name": "a", "value": 1}})
        await http.delete(f"/api/intval/{pk}/")
        await page.until("intval", {})


def test_what_a_client_has_is_not_sent_again(client):
    """`If-None-Match` is answered 304 for a row or a page of a list that is as it was."""
    row = IntegerValue.objects.create(name="a", value=1)
    for address in ("/api/intval/", f"/api/intval/{row.pk}/"):
        tag = client.get(address)["ETag"]
        same = send(client, "GET", address, if_none_match=tag)
        assert (same.status_code, same.content, same["ETag"]) == (304, b"", tag)
        assert same["Cache-Control"] == "private, no-cache"
        assert send(client, "HEAD", address, if_none_match=f"W/{tag}").status_code == 304
    IntegerValue.objects.update(value=2)
    for address in ("/api/intval/", f"/api/intval/{row.pk}/"):
        assert send(client, "GET", address, if_none_match=tag).status_code == 200


def test_answers_are_for_one_alone(client):
    """No cache gives one user's rows to another, nor keeps one's own without asking again."""
    response = client.get("/api/intval/")
    assert response["Cache-Control"] == "private, no-cache"
    assert {"Cookie", "Authorization", "Accept"} <= set(response["Vary"].split(", "))


# Transactions


def test_a_request_has_no_transaction_of_its_own(client, monkeypatch):
    """Where every view gets a transaction these have none: what is answered is committed."""
    inside = []

    def perform_create(self, serializer):
        inside.append(connection.in_atomic_block)
        serializer.save()

    monkeypatch.setattr(IntegerValueBinding.consumer, "perform_create", perform_create)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    finalize = Resource.finalize_response

    def finalized(*args, **kwargs):
        inside.append(connection.in_atomic_block)
        return finalize(*args, **kwargs)

    monkeypatch.setattr(Resource, "finalize_response", finalized)
    assert send(client, "POST", "/api/intval/", {"name": "a"}).status_code == 201
    assert inside == [True, False]


def test_what_the_database_refuses_at_the_end_is_a_conflict(client, monkeypatch):
    """A constraint that is checked at the commit is answered, too, and nothing is written."""

    def perform_create(self, serializer):
        room = serializer.save().pk
        Message.objects.create(room_id=room + 999, text="an orphan")

    monkeypatch.setattr(IntegerValueBinding.consumer, "perform_create", perform_create)
    assert send(client, "POST", "/api/intval/", {"name": "a"}).status_code == 409
    assert stored() == {}


# In a browser


def test_pages_can_be_browsed(client):
    """Each address is a page, with the forms that its user may use and filters as declared."""
    row = IntegerValue.objects.create(name="<a>", value=1)
    for address, form in (
        ("/api/", None),
        ("/api/intval/", 'name="name"'),
        (f"/api/intval/{row.pk}/", 'value="&lt;a&gt;"'),
    ):
        response = client.get(address, headers={"accept": "text/html"})
        page = response.content.decode()
        assert response["Content-Type"].startswith("text/html")
        assert "<a>" not in page
        assert form is None or form in page
        assert ('href="docs/"' in page) == (address == "/api/")
        assert "ETag" not in response
    refused = client.post("/api/intval/", {"name": ""}, headers={"accept": "text/html"})
    assert "This field may not be blank." in refused.content.decode()
    done = client.post(
        "/api/intval/",
        {"name": "b", "value": "2", "csrfmiddlewaretoken": "x"},
        headers={"accept": "text/html"},
    )
    assert done.status_code == 201
    assert len(stored()) == 2


def test_a_page_shows_no_rows_beside_its_own(client):
    """A form doesn't list the rows that a foreign key could name, nor empties what it omits."""
    room, other = Room.objects.create(name="here"), Room.objects.create(name="elsewhere")
    message = Message.objects.create(room=room, text="a")
    for address in ("message/", f"message/{message.pk}/", "latest/", f"latest/{message.pk}/"):
        response = client.get(f"/shapes/{room.pk}/{address}", headers={"accept": "text/html"})
        page = response.content.decode()
        assert other.name not in page
        assert ('name="text"' in page) == address.startswith("latest")  # others as JSON alone


def test_a_page_has_filters_and_a_next_one(valued, client):
    """What narrows and orders is there to be clicked, and so is the next page."""
    page = client.get("/own/valued/?limit=1", headers={"accept": "text/html"}).content.decode()
    for part in ("text__contains", "search", "ordering=-text", "cursor=", "Next"):
        assert part in page
    page = client.get("/own/valued/", headers={"accept": "text/html"}).content.decode()
    assert "Next" not in page


def test_filters_show_no_rows_beside_the_lists(valued, client):
    """What a filter could be narrowed to isn't listed: it may be anybody's. What was said is."""
    Room.objects.create(name="elsewhere")
    room, tag = Room.objects.get(name="z"), Tag.objects.get(name="tag a")
    for query, said in (("", ["", ""]), (f"room={room.pk}&tags={tag.pk}", [room.pk, tag.pk])):
        address = f"/own/valued/?{query}"
        page = client.get(address, headers={"accept": "text/html"}).content.decode()
        assert "elsewhere" not in page
        assert "tag a" not in page
        (form,) = re.findall(r'<form [^>]*method="get">.*?</form>', page, re.DOTALL)
        assert "errorlist" not in form
        for name, value in zip(("room", "tags"), said, strict=True):
            (field,) = re.findall(rf'<input [^>]*name="{name}"[^>]*>', form)
            assert f'value="{value}"' in field or (value == "" and "value" not in field)


def test_filters_that_say_what_may_be_chosen_show_it(serve, client):
    """A filter of the binding's own lists what it is made to choose from, for whoever asks."""

    class Filters(FilterSet):
        room = ModelChoiceFilter(queryset=lambda request: Room.objects.filter(name="here"))

    class Chosen(MessageBinding):
        filterset_class = Filters

    serve({"chosen": Chosen})
    Room.objects.create(name="here")
    Room.objects.create(name="elsewhere")
    page = client.get("/own/chosen/", headers={"accept": "text/html"}).content.decode()
    assert ">here</option>" in page
    assert "elsewhere" not in page


# Its description


def test_the_description_has_the_addresses_that_were_asked(client):
    """It describes each stream where it is served, with the key and the validators of its rows."""
    document = client.get("/shapes/1-2/schema/?format=json").json()
    assert set(document["paths"]) >= {"/shapes/1-2/message/", "/shapes/1-2/message/{pk}/"}
    validate_schema(document)
    schemas = document["components"]["schemas"]
    assert schemas["PaperRequest"]["additionalProperties"] is False
    assert "pk" not in schemas["PaperRequest"]["properties"]
    assert schemas["Paper"]["properties"]["pk"] == {
        "type": "string",
        "format": "uuid",
        "readOnly": True,
    }
    # A number that JSON can't say isn't answered, unless the binding finds words for it.
    assert "nullable" not in schemas["Paper"]["properties"]["ratio"]
    assert schemas["MessageRequest"]["properties"]["text"]["maxLength"] == 200
    assert schemas["MessageRequest"]["properties"]["tags"]["minItems"] == 1
    assert "minItems" not in schemas["Message"]["properties"]["tags"]
    assert "shout" in schemas["Member"]["properties"]
    assert document["paths"]["/shapes/1-2/closed/"]["get"]["security"] == [
        {"tokenAuth": []},
        {"cookieAuth": []},
    ]
    assert {} in document["paths"]["/shapes/1-2/named/"]["get"]["security"]


def test_a_stream_that_no_route_of_events_takes_is_left_out(registry_as_it_was, settings, client):
    """Its events have no address; all else is described."""
    demultiplexer = named({"message": MessageBinding, "by/name": NamedBinding}, ["all"])
    urls = [
        path("own/<str:stream>/events", sse_view(demultiplexer), name="events"),
        path("own/", include(rest_urls(demultiplexer, events="events"))),
    ]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})
    paths = client.get("/own/schema/?format=json").json()["paths"]
    assert [address for address in paths if address.endswith("/events")] == ["/own/message/events"]
    assert "/own/by/name/" in paths


def test_each_status_is_documented_and_described(serve, client):
    """The statuses of the description are those of the page, but for what is said of any server."""

    class Rarely(ActionThrottle):
        rate = "5/min"

    class Throttled(MessageBinding):
        throttle_classes = [Rarely]

    serve({"message": Throttled})
    document = client.get("/own/schema/?format=json").json()
    described = {
        int(status)
        for address in document["paths"].values()
        for operation in address.values()
        for status in operation["responses"]
    }
    page = (CHECKOUT / "docs" / "reference" / "rest.md").read_text()
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", page, re.MULTILINE)
    documented = {int(status) for row in rows for status in row.split(", ")}
    assert documented - {405, 500} == described


def test_the_page_of_the_description_comes_from_here(client):
    """It loads its scripts and styles from this host alone."""
    page = client.get("/api/docs/")
    script = client.get("/api/docs/?script=")
    assert "swagger-ui-bundle.js" in page.content.decode()
    assert "../schema/" in script.content.decode()
    for response in (page, script):
        assert "https://" not in response.content.decode()


# Without what is optional


def test_without_the_extra_there_are_resources_but_no_description(monkeypatch):
    """Bindings are served without drf-spectacular and django-filter, unless they have filters."""
    missing = {"drf_spectacular", "django_filters"}
    find_spec = util.find_spec
    for module in (addresses, narrowing, resources):
        monkeypatch.setattr(
            module, "find_spec", lambda name: None if name in missing else find_spec(name)
        )
    names = [url.name for url in rest_urls(Talk)]
    assert names == ["rest-root", "rest-intval-list", "rest-intval-detail"]
    monkeypatch.setattr(IntegerValueBinding, "filterset_fields", ["name"])
    with pytest.raises(ImproperlyConfigured, match=r"databinding\[rest\]"):
        rest_urls(Talk)


def test_nothing_optional_is_imported_by_the_way():
    """Whoever imports `databinding.rest` needs neither of them."""
    code = """
import sys
import django
django.setup()
for name in [*sys.modules]:
    if name.startswith(("drf_spectacular", "django_filters", "databinding.rest")):
        del sys.modules[name]
sys.modules["drf_spectacular"] = sys.modules["django_filters"] = None
import databinding.rest.resources
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT)
