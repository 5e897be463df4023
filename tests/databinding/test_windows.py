"""Windows: the first rows of groups in an order, kept live; and the parameters that choose them."""

import pytest
from channels.db import database_sync_to_async as in_database
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from databinding.form import Form
from databinding.relay import relay_for
from databinding.testing import assert_groups_agree
from tests.databinding.clients import Client
from tests.shapes.bindings import Demultiplexer, LatestBinding
from tests.shapes.models import Message, Room, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rooms(transactional_db):
    """Two rooms, of five messages a to e and one z."""
    first, second = (Room.objects.create(name=name) for name in ("first", "second"))
    for text in "ecadb":
        Message.objects.create(room=first, text=text)
    Message.objects.create(room=second, text="z")
    return [first.pk, second.pk]


def client(*rooms):
    return Client(Demultiplexer, url_route={"kwargs": {"rooms": "-".join(map(str, rooms))}})


def texts(client):
    return sorted(data["text"] for data in client.rows["latest"].values())


async def until(client, expected):
    while texts(client) != sorted(expected):
        await client.receive()


def events(client):
    """Actions and what they say, of the latest batch."""
    batch = client.frames[-1]["payload"]["events"]
    return [(event["action"], event.get("data", {}).get("text")) for event in batch]


@in_database
def create(room, text):
    return Message.objects.create(room_id=room, text=text)


@in_database
def change(which, **values):
    Message.objects.filter(text=which).update(**values)


@in_database
def delete(text):
    Message.objects.filter(text=text).delete()


async def test_a_snapshot_has_the_first_rows_in_order(rooms):
    """A subscriber gets the binding's first rows, in its order."""
    async with client(*rooms) as page:
        await page.subscribe("latest")
        items = page.frames[-1]["payload"]["items"]
        assert [item["data"]["text"] for item in items] == ["a", "b", "c"]


async def test_a_row_that_enters_pushes_one_out(rooms):
    """A row that comes first makes the last one leave, in one batch."""
    async with client(*rooms) as page:
        await page.subscribe("latest")
        await create(rooms[0], "aa")
        await until(page, ["a", "aa", "b"])
        assert sorted(events(page)) == [("create", "aa"), ("delete", None)]


async def test_an_order_by_what_is_not_sent_is_that_of_now(rooms, monkeypatch):
    """Who comes after rows have changed places gets them in their order, though none has changed
    otherwise."""
    monkeypatch.setattr(LatestBinding, "fields", ["room"])
    async with client(rooms[0]) as first, client(rooms[0]) as second:
        await first.subscribe("latest")
        before = [item["pk"] for item in first.frames[-1]["payload"]["items"]]
        await change("a", text="aa")
        await change("b", text="a")
        await change("aa", text="b")
        await second.subscribe("latest")
        after = [item["pk"] for item in second.frames[-1]["payload"]["items"]]
        assert after == [before[1], before[0], before[2]]


async def test_a_row_that_leaves_lets_one_in(rooms):
    """Whether deleted, hidden, moved or changed in its place, a row that leaves lets one in."""
    async with client(rooms[0]) as page:
        await page.subscribe("latest")
        await delete("a")
        await until(page, "bcd")
        await change("b", hidden=True)
        await until(page, "cde")
        await create(rooms[0], "g")
        await change("c", room=rooms[1])
        await until(page, "deg")
        await change("d", text="x")
        await until(page, "egx")
        await change("x", text="a")
        await until(page, "aeg")


async def test_rows_outside_send_nothing(rooms):
    """What happens behind the window's last row, or in other rooms, is no event."""
    async with client(rooms[0]) as page:
        await page.subscribe("latest")
        await change("e", text="f")
        await create(rooms[1], "0")
        await delete("f")
        await change("b", text="bb")
        await until(page, ["a", "bb", "c"])
        assert events(page) == [("update", "bb")]
        assert [frame["payload"]["action"] for frame in page.frames[2:]] == ["batch"]


async def test_the_client_chooses_how_many(rooms):
    """``limit`` makes the window longer, up to the binding's most; so a client goes back."""
    async with client(*rooms) as page:
        await page.subscribe("latest", limit=2)
        assert texts(page) == ["a", "b"]
        await page.subscribe("latest", limit=10)
        assert texts(page) == ["a", "b", "c", "d", "e", "z"]
        for limit in (0, 11, "2", True, 1.5):
            reply = await page.ask("latest", "subscribe", limit=limit)
            assert reply["response_status"] == 400
            assert reply["errors"] == [{"limit": ["A number from 1 to 10."]}]
        reply = await page.ask("message", "subscribe", limit=2)
        assert reply["errors"] == ["This stream has no such parameter: limit."]


async def test_parameters_choose_groups(rooms):
    """A parameter narrows the groups; the server says which, and refuses what isn't allowed."""
    async with client(*rooms) as page:
        await page.subscribe("latest", room=rooms[1])
        assert texts(page) == ["z"]
        await create(rooms[0], "0")
        await create(rooms[1], "y")
        await until(page, "yz")
        listed = await page.ask("latest", "list")
        assert sorted(item["data"]["text"] for item in listed["data"]) == ["y", "z"]
        for said, status, errors in (
            ({"room": 10**6}, 403, ["That room isn't yours."]),
            ({"room": "x"}, 400, [{"room": ["A valid integer is required."]}]),
            ({"rom": 1}, 400, ["This stream has no such parameter: rom."]),
        ):
            reply = await page.ask("latest", "subscribe", **said)
            assert (reply["response_status"], reply["errors"]) == (status, errors)
        await page.ask("latest", "unsubscribe")
        listed = await page.ask("latest", "list")
        assert len(listed["data"]) == 8


async def test_a_window_resumes_with_a_snapshot(rooms):
    """A cursor of a window is answered with a snapshot: keys don't tell what it showed."""
    async with client(*rooms) as page:
        await page.subscribe("latest")
        cursor = page.cursors["latest"]
    await delete("a")
    async with client(*rooms) as page:
        assert not await page.subscribe("latest", cursor=cursor)
        assert texts(page) == ["b", "c", "d"]


async def test_a_refresh_asks_for_the_window_anew(rooms):
    """Where any row may have changed, the window is read anew and only differences are sent."""
    with override_settings(DATABINDING={"KEY_LIMIT": 1}):
        async with client(*rooms) as page:
            await page.subscribe("latest")
            await in_database(Message.objects.filter(text__in="ab").update)(hidden=True)
            await until(page, "cde")
            assert sorted(events(page))[:2] == [("create", "d"), ("create", "e")]


async def test_windows_of_other_rooms_are_not_read(rooms):
    """A change costs a query for the windows that it may touch, however many others there are."""
    async with client(rooms[0]) as first, client(rooms[1]) as second:
        await first.subscribe("latest")
        await second.subscribe("latest")
        asked = []
        ordered = Form.ordered
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Form,
                "ordered",
                lambda form, groups: asked.append(groups) or ordered(form, groups),
            )
            await create(rooms[1], "y")
            await until(second, "yz")
        names = [name for groups in asked for name in groups if name.startswith("room-")]
        assert names == [f"room-{rooms[1]}"]
        assert len(relay_for("default").holdings.rows[Form(LatestBinding)].windows()) == 2


async def test_a_classic_client_of_a_window(rooms):
    """A client that doesn't subscribe gets what enters and leaves, as classic frames."""
    route = {"kwargs": {"rooms": str(rooms[0])}}
    async with Client(Demultiplexer, modern=False, url_route=route) as old:
        await create(rooms[0], "0")
        frames = [await old.receive() for _ in range(3)]
        seen = sorted(
            (frame["payload"]["action"], frame["payload"]["data"]["text"])
            for frame in frames
            if frame["stream"] == "latest"
        )
        assert seen == [("create", "0"), ("delete", "c")]


async def test_a_classic_delete_tells_nothing_of_where_the_row_went(rooms):
    """A row that moves to another room as it changes leaves with what the window last showed."""
    route = {"kwargs": {"rooms": str(rooms[0])}}
    async with Client(Demultiplexer, modern=False, url_route=route) as old:
        await change("a", room=rooms[1], text="secret")
        payload = {}
        while payload.get("action") != "delete":
            frame = await old.receive()
            payload = frame["payload"] if frame["stream"] == "latest" else {}
        assert payload["data"]["text"] == "a"


async def test_a_room_that_is_gone_stops_no_other(rooms, monkeypatch):
    """Where rows() fails for one group, its window loses what left, and others go on."""

    def rows(cls, group):
        return Room.objects.get(pk=group.removeprefix("room-")).message_set.filter(hidden=False)

    monkeypatch.setattr(LatestBinding, "rows", classmethod(rows))
    async with client(rooms[0]) as first, client(rooms[1]) as second:
        await first.subscribe("latest", room=rooms[0])
        await second.subscribe("latest", room=rooms[1])
        await change("b", room=rooms[1], text="x")
        await until(second, "xz")
        await in_database(Room.objects.filter(pk=rooms[0]).delete)()
        await create(rooms[1], "y")
        await until(second, "xyz")
        await until(first, "")


async def test_a_row_that_left_a_window_that_cannot_be_asked_for(rooms, monkeypatch):
    """A row that moves to another room leaves also a window whose rows() fails just then."""
    async with client(rooms[0]) as page:
        await page.subscribe("latest", room=rooms[0])
        monkeypatch.setattr(LatestBinding, "rows", classmethod(lambda cls, group: 1 / 0))
        await change("a", room=rooms[1], text="secret")
        await until(page, "bc")
        await change("c", hidden=True)
        await until(page, "b")
        assert "secret" not in str(page.frames)


async def test_windows_of_all_lengths_are_one_query(rooms, monkeypatch):
    """However many lengths clients ask for, a change costs one query for their group."""
    asked = []
    ordered = Form.ordered
    async with client(rooms[0]) as short, client(rooms[0]) as long:
        await short.subscribe("latest", room=rooms[0], limit=2)
        await long.subscribe("latest", room=rooms[0], limit=4)
        monkeypatch.setattr(
            Form, "ordered", lambda form, groups: asked.append(groups) or ordered(form, groups)
        )
        await create(rooms[0], "aa")
        await until(long, ["a", "aa", "b", "c"])
        await until(short, ["a", "aa"])
        assert asked == [(f"room-{rooms[0]}",)]


async def test_joins_repeat_no_row(rooms, monkeypatch):
    """A row that rows() gives once for each of its tags takes one place, and is listed once."""

    def rows(cls, group):
        return Message.objects.filter(room_id=group.removeprefix("room-"), tags__name="t")

    def tag():
        tags = [Tag.objects.create(name="t") for _ in range(3)]
        for message in Message.objects.all():
            message.tags.set(tags)

    monkeypatch.setattr(LatestBinding, "rows", classmethod(rows))
    await in_database(tag)()
    async with client(rooms[0]) as page:
        await page.subscribe("latest", room=rooms[0])
        assert texts(page) == ["a", "b", "c"]
        listed = await page.ask("latest", "list")
        assert [item["data"]["text"] for item in listed["data"]] == list("ecadb")


def test_a_window_needs_rows(rooms):
    """A binding with an order whose groups depend on the row can't do without rows()."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatestBinding, "rows", classmethod(lambda cls, group: None))
        with pytest.raises(ImproperlyConfigured, match=r"must have rows\(\)"):
            Form(LatestBinding).ordered(["room-1"])


def test_the_window_is_read_in_one_query(rooms):
    """A window's keys are one query with a limit."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        keys = Form(LatestBinding).ordered([f"room-{rooms[0]}"]).values_list("pk", flat=True)[:3]
        assert len(keys) == 3
    (query,) = queries
    assert "LIMIT 3" in query["sql"]


async def test_what_the_queryset_hides_is_not_loaded_by_rows(rooms):
    """A row that get_queryset leaves out is in no snapshot and no window, whatever rows() says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            LatestBinding,
            "get_queryset",
            classmethod(lambda cls: Message.objects.exclude(text__in=["a", "z"])),
        )
        async with client(*rooms) as page:
            await page.subscribe("latest")
            assert texts(page) == ["b", "c", "d"]
            await page.subscribe("latest", room=rooms[1])
            assert texts(page) == []


def test_groups_that_agree_and_groups_that_do_not(rooms):
    """assert_groups_agree names the rows about which group_names() and rows() differ."""
    assert_groups_agree(LatestBinding, ["room-0", "unknown"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatestBinding, "rows", classmethod(lambda cls, group: Message.objects.all()))
        with pytest.raises(AssertionError, match=r"rows\(\) alone puts .* into 'room-\d+'"):
            assert_groups_agree(LatestBinding)
        patch.setattr(LatestBinding, "rows", classmethod(lambda cls, group: Message.objects.none()))
        with pytest.raises(AssertionError, match=r"group_names\(\) alone puts .*rows\(\) doesn't"):
            assert_groups_agree(LatestBinding)
