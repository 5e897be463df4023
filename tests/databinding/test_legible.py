"""Rows that SQL has written as Django can't read them, and those beside them."""

from datetime import date

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from djangochannelsrestframework.decorators import action
from rest_framework.permissions import AllowAny, BasePermission

from databinding.legible import Unreadable, legible, row_of, unread_with
from databinding.rest import rest_urls
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, named
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import PaperBinding
from tests.shapes.models import Paper, Room

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.databinding.test_rest"),
]


def spoil(*papers):
    """Give them a day that Python doesn't have."""
    day = {"sqlite": "2026-13-45", "postgresql": "infinity"}[connection.vendor]
    keys = [Paper._meta.pk.get_db_prep_value(paper.pk, connection) for paper in papers]
    with connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(keys))
        cursor.execute(f"UPDATE shapes_paper SET day = %s WHERE id IN ({marks})", [day, *keys])


@pytest.fixture
def papers():
    """Twelve, in the order of their keys."""
    made = [Paper.objects.create(amount=number, day=date(2026, 11, 26)) for number in range(12)]
    return sorted(made, key=lambda paper: paper.pk)


def listed(client, address):
    """The keys of each page of a list."""
    found = []
    while address is not None:
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        found.append([row["pk"] for row in answer.json()["results"]])
        address = answer.json()["next"]
    return found


def test_the_others_are_read_in_their_order(papers, caplog):
    """Whichever can't be read is left out, and the log says which, and by which field."""
    spoil(papers[3], papers[4], papers[11])
    wanted = [paper.pk for paper in reversed(papers)]
    assert [row.pk for row in legible(Paper.objects.all(), wanted)] == [
        paper.pk for paper in reversed(papers) if paper not in (papers[3], papers[4], papers[11])
    ]
    assert len(caplog.records) == 3
    assert f"shapes.Paper: row {papers[3].pk!r} can't be read: day." in caplog.text


def test_all_of_them_take_one_query_where_none_is_spoilt(papers):
    """Nothing is asked twice where there is nothing to look for."""
    with CaptureQueriesContext(connection) as queries:
        assert len(legible(Paper.objects.all(), [paper.pk for paper in papers])) == 12
    assert len(queries) == 1


def test_a_transaction_goes_on(papers):
    """What can't be read is no end of a transaction that meets it."""
    spoil(papers[0])
    with transaction.atomic():
        with pytest.raises(Unreadable):
            row_of(Paper.objects.all(), papers[0].pk)
        Paper.objects.filter(pk=papers[1].pk).update(amount=99)
    assert row_of(Paper.objects.all(), papers[1].pk).amount == 99


@pytest.mark.parametrize("limit", [1, 5, 100])
@pytest.mark.parametrize("spoilt", [[0], [5, 6, 7], [11], [0, 1, 2, 3, 10, 11], [*range(12)]])
def test_a_list_leaves_out_what_cannot_be_read(client, papers, limit, spoilt):
    """All others are in its pages, each once, wherever the spoilt ones are among them."""
    spoil(*(papers[at] for at in spoilt))
    found = listed(client, f"/shapes/1/paper/?limit={limit}")
    fine = [str(paper.pk) for at, paper in enumerate(papers) if at not in spoilt]
    assert [pk for page in found for pk in page] == fine
    assert all(len(page) == limit for page in found[:-1])


def test_a_row_says_at_its_address_that_it_cannot_be_read(client, papers):
    """It isn't shown or changed; whoever can't see it isn't told of it; others are."""
    spoil(papers[0])
    address = f"/shapes/1/paper/{papers[0].pk}/"
    for ask in (client.get, client.patch):
        answer = ask(address, content_type="application/json", data={"amount": "1.00"})
        assert (answer.status_code, answer.json()) == (
            422,
            {"detail": "The database holds something in this row that can't be read."},
        )
    assert client.get(f"/shapes/1/paper/{papers[1].pk}/").status_code == 200
    assert Paper.objects.count() == 12


def test_a_row_that_cannot_be_read_can_be_deleted(client, papers):
    """Nothing else can be done with it; a second time it isn't there."""
    spoil(papers[0], papers[1])
    address = f"/shapes/1/paper/{papers[0].pk}/"
    assert client.delete(address).status_code == 204
    assert client.delete(address).status_code == 404
    assert set(Paper.objects.values_list("pk", flat=True)) == {paper.pk for paper in papers[1:]}


def test_a_row_that_cannot_be_read_is_not_as_anybody_expects_it(client, papers):
    """Whether it is still what somebody saw nobody can tell, so that it isn't deleted."""
    address = f"/shapes/1/paper/{papers[0].pk}/"
    tag = client.get(address)["ETag"]
    spoil(papers[0])
    assert client.delete(address, headers={"If-Match": tag}).status_code == 422
    assert Paper.objects.count() == 12


class WithoutDay(BasePermission):
    def has_object_permission(self, request, view, obj):
        return obj.day is None


class Cheap(BasePermission):
    def has_object_permission(self, request, view, obj):
        return obj.amount < 2


def test_who_may_delete_is_asked_of_what_can_be_read(client, papers, monkeypatch):
    """A permission that looks at the rest isn't granted."""
    spoil(papers[0], papers[1], papers[2])
    addresses = [f"/shapes/1/paper/{paper.pk}/" for paper in papers]
    monkeypatch.setattr(PaperBinding, "permission_classes", [WithoutDay])
    assert client.delete(addresses[0]).status_code == 422
    monkeypatch.setattr(PaperBinding, "permission_classes", [Cheap])
    cheap = [paper.amount < 2 for paper in papers]
    answers = [client.delete(address).status_code for address in addresses]
    assert answers == [204 if one else 401 for one in cheap]


class ByDay(PaperBinding):
    """Nobody but `group_names` can tell who sees a row, and it looks at what can't be read."""

    abstract = True

    @classmethod
    def group_names(cls, instance):
        return [f"day-{instance.day}"]


class ByAmount(PaperBinding):
    """As `ByDay`, by what can be."""

    abstract = True

    @classmethod
    def group_names(cls, instance):
        return [f"amount-{instance.amount:.0f}"]


def test_group_names_is_asked_of_what_can_be_read(client, papers, settings):
    """A row whose groups nobody can tell isn't there, not even to be deleted."""
    spoil(*papers[:3])
    addresses = [f"/own/paper/{paper.pk}/" for paper in papers[:3]]
    serve(settings, ByDay, ["day-infinity", "day-2026-13-45", "day-None"])
    assert [client.delete(address).status_code for address in addresses] == [404, 404, 404]
    serve(settings, ByAmount, [f"amount-{papers[1].amount}"])
    assert [client.get(address).status_code for address in addresses] == [404, 422, 404]
    assert [client.delete(address).status_code for address in addresses] == [404, 204, 404]


def serve(settings, binding, groups):
    """Of this binding, or consumer, for these groups, below own/."""
    carried = getattr(binding, "consumer", binding)
    urls = [path("own/", include(rest_urls(named({"paper": carried}, groups))))]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("field", "held"),
    [
        ("amount", "9e999"),
        ("amount", "1e300"),
        ("amount", "'abc'"),
        ("took", "'abc'"),
        ("took", "9e300"),
        ("extra", "x'ff'"),
        ("written", "'2026-01-01 00:00:00+99:00'"),
        ("day", "x'ff'"),
        ("day", "CAST(x'ff' AS TEXT)"),
    ],
)
def test_whatever_a_column_of_sqlite_holds(client, papers, field, held):
    """It takes no other row with it, is answered as what can't be read, and can be deleted."""
    key = Paper._meta.pk.get_db_prep_value(papers[0].pk, connection)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute(f"UPDATE shapes_paper SET {field} = {held} WHERE id = %s", [key])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    fine = [str(paper.pk) for paper in papers[1:]]
    assert listed(client, "/shapes/1/paper/") == [fine]
    address = f"/shapes/1/paper/{papers[0].pk}/"
    assert client.get(address).status_code == 422
    assert client.delete(address).status_code == 204


def test_who_may_not_see_it_is_not_told_that_it_is_there(client, papers, settings):
    """To somebody in other groups it is as if it weren't there."""
    serve(settings, PaperBinding, ["others"])
    spoil(papers[0])
    for paper in papers[:2]:
        assert client.get(f"/own/paper/{paper.pk}/").status_code == 404
        assert client.delete(f"/own/paper/{paper.pk}/").status_code == 404


BESIDE = "It would take rows with it that can't be read."


async def test_what_would_take_rows_with_it_that_cannot_be_read(
    async_client, papers, settings, registry_as_it_was
):
    """It stays, by each door, and it is said why."""

    class RoomBinding(WebsocketBinding):
        model = Room
        stream = "room"
        fields = ["name"]
        permission_classes = [AllowAny]

        @classmethod
        def group_names(cls, instance):
            return ["rooms"]

    room = await Room.objects.acreate(name="red")
    await Paper.objects.aupdate(room=room)
    await sync_to_async(spoil)(papers[3])
    serve(settings, RoomBinding, ["rooms"])
    answer = await async_client.delete(f"/own/paper/{room.pk}/")
    assert (answer.status_code, answer.json()) == (422, {"detail": BESIDE})
    async with Client(named({"room": RoomBinding}, ["rooms"])) as client:
        reply = await client.ask("room", "delete", pk=room.pk)
        assert (reply["response_status"], reply["errors"]) == (422, [BESIDE])
        assert await Paper.objects.acount() == 12
        await Paper.objects.filter(pk=papers[3].pk).aupdate(day=None)
        reply = await client.ask("room", "delete", pk=room.pk)
        assert reply["response_status"] == 204
    assert not await Room.objects.aexists()


def test_a_deletion_that_fails_otherwise_is_a_fault(client, papers, monkeypatch):
    """A mistake of the consumer's is nothing that a row holds, whatever others do."""
    client.raise_request_exception = False
    spoil(papers[0])
    monkeypatch.setattr(PaperBinding.consumer, "perform_delete", lambda self, instance: int("?"))
    assert client.delete(f"/shapes/1/paper/{papers[1].pk}/").status_code == 500


@pytest.mark.sqlite
def test_what_would_go_is_looked_for_to_the_end():
    """Also what goes with a row that goes with it."""
    kind = ContentType.objects.create(app_label="x", model="y")
    permission = Permission.objects.create(content_type=kind, codename="z", name="z")
    Group.objects.create(name="a").permissions.add(permission)
    assert unread_with(kind) == []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute("UPDATE auth_group_permissions SET group_id = CAST(x'ff' AS TEXT)")
        cursor.execute("PRAGMA foreign_keys = ON")
    (row,) = Group.permissions.through.objects.values_list("pk", flat=True)
    assert unread_with(kind) == [("group-permission relationships", [row])]


class PaperConsumer(PaperBinding.consumer):
    @action()
    def weigh(self, pk, **kwargs):
        return {"weight": Paper.objects.get(pk=pk).day.year}, 200

    @action()
    def weigh_all(self, **kwargs):
        return {"weight": sum(paper.day.year for paper in Paper.objects.all())}, 200


@pytest.mark.parametrize("classes", [[], [AllowAny]])
async def test_a_custom_action_about_one(papers, settings, monkeypatch, classes):
    """Where it reads the row that can't be, it is answered as if it were one of the five; a fault
    about another row is a fault."""
    said = "The database holds something in this row that can't be read."
    monkeypatch.setattr(PaperBinding, "permission_classes", classes)
    serve(settings, PaperConsumer, ["papers"])
    await sync_to_async(spoil)(papers[0])
    await Paper.objects.filter(pk=papers[1].pk).aupdate(day=None)
    browser = AsyncClient(raise_request_exception=False)
    rows = [f"/own/paper/{papers[at].pk}/weigh/" for at in range(3)]
    answers = [await browser.post(address) for address in rows]
    assert [answer.status_code for answer in answers] == [422, 500, 200]
    assert answers[0].json() == {"detail": said}
    async with Client(named({"paper": PaperConsumer}, ["papers"])) as client:
        replies = [await client.ask("paper", "weigh", pk=str(paper.pk)) for paper in papers[:3]]
        assert [reply["response_status"] for reply in replies] == [422, 500, 200]
        assert replies[0]["errors"] == [said]
        assert (await client.ask("paper", "weigh_all"))["response_status"] == 500


async def test_a_websocket_is_told_the_same(papers):
    """A list leaves it out, and whoever asks for it is told what it is about."""
    await sync_to_async(spoil)(papers[0])
    async with Client(Shapes) as client:
        found = (await client.ask("paper", "list"))["data"]
        assert [one["pk"] for one in found] == [str(paper.pk) for paper in papers[1:]]
        for action, more in (("retrieve", {}), ("update", {"data": {"amount": "1.00"}})):
            reply = await client.ask("paper", action, pk=str(papers[0].pk), **more)
            assert reply["response_status"] == 422
            assert "can't be read" in reply["errors"][0]
        reply = await client.ask("paper", "delete", pk=str(papers[0].pk))
        assert reply["response_status"] == 204
