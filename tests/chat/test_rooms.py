"""Rooms, their pages, and the admin."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from chat import jobs
from chat.bindings import MessageBinding, PresenceBinding
from chat.models import LEASE, Message, Presence, Room
from databinding.testing import assert_groups_agree

pytestmark = pytest.mark.django_db(transaction=True)


def say(room, text, handle="Ada", **more):
    return Message.objects.create(room=room, handle=handle, message=text, **more)


def served(page, stream):
    """The rows that `live_rows` has put into a page."""
    (text,) = re.findall(rf'data-databinding="{stream}">(.*?)</script>', page.content.decode())
    return json.loads(text)["items"]


def test_a_new_room_has_a_readable_label_of_its_own(client):
    """`/chat/new/` leads to another room each time."""
    addresses = {client.get("/chat/new/").headers["Location"] for _ in range(3)}
    assert len(addresses) == 3
    for address in addresses:
        assert re.fullmatch(r"/chat/[a-z]+(-[a-z]+)+/", address)
        assert client.get(address).status_code == 200


def test_a_label_that_is_taken_is_drawn_again(monkeypatch):
    """Where another room has the label, another label is tried."""
    Room.objects.create(label="taken", name="Taken")
    labels = iter(["taken", "taken", "free"])
    monkeypatch.setattr("coolname.generate_slug", lambda words: next(labels))
    assert Room.objects.free_label() == "free"


def test_pages_make_no_rooms(client):
    """Who only reads pages, as crawlers do, fills no table; the page is a room's all the same."""
    addresses = ["/chat/lobby/", *(client.get("/chat/new/").headers["Location"] for _ in "ab")]
    for address in addresses:
        page = client.get(address)
        assert page.status_code == 200
        assert b'id="composer"' in page.content
        assert b"data-databinding" not in page.content
    assert not Room.objects.exists()
    Room.objects.visit("lobby")
    assert served(client.get("/chat/lobby/"), "chat") == []
    for label in ("a b", "x" * 51, "ä"):
        assert client.get(f"/chat/{label}/").status_code == 404
    assert resolve("/chat/new/").url_name == "new"


def test_the_last_fifty_messages_are_in_the_page(client):
    """A page comes with the room's newest messages and with who is here, and is never cached."""
    lobby, attic = Room.objects.visit("lobby"), Room.objects.visit("attic")
    for number in range(60):
        say(lobby, f"message {number}")
    say(attic, "elsewhere")
    Presence.renew(lobby, "Ada", uuid4())
    page = client.get("/chat/lobby/")
    written = [row["data"]["message"] for row in served(page, "chat")]
    assert sorted(written, key=lambda text: int(text.split()[1])) == [
        f"message {number}" for number in range(10, 60)
    ]
    assert [row["data"] for row in served(page, "presence")] == [{"handle": "Ada"}]
    assert "no-store" in page["Cache-Control"]


def test_what_is_written_is_no_markup(client):
    """A message that ends the script element, or a room's name with markup, does neither."""
    say(Room.objects.create(label="x", name="<i>x</i>"), "</script><script>alert(1)</script>")
    page = client.get("/chat/x/")
    assert b"<script>alert" not in page.content
    assert b"<i>x" not in page.content
    assert b"<i>x" not in client.get("/chat/").content
    assert "</script>" in served(page, "chat")[0]["data"]["message"]


def test_the_first_page_lists_the_rooms_last_written_in(client):
    """Rooms stand in the order of their last messages; those without any are left out."""
    one, two, _ = (Room.objects.visit(label) for label in ("one", "two", "three"))
    for room in (one, two, one):
        say(room, "x")
    page = client.get("/chat/").content.decode()
    assert re.findall(r'<li><a href="/chat/(\w+)/">', page) == ["one", "two"]
    assert "/chat/new/" in page


def test_a_name_and_a_link_lead_from_the_dashboard_to_the_chat_and_back(client):
    """Each of both pages has a link to the other."""
    assert b'href="/chat/"' in client.get("/").content
    for page in ("/chat/", "/chat/lobby/"):
        assert b'href="/"' in client.get(page).content


def test_the_admin_shows_rooms_and_messages(admin_client):
    """Rooms and messages are listed, found and edited in the admin."""
    message = say(Room.objects.visit("lobby"), "Hello")
    for path in ("room/", "message/?q=hello", f"message/{message.pk}/change/"):
        page = admin_client.get(f"/admin/chat/{path}")
        assert page.status_code == 200
        assert b"lobby" in page.content
    changed = {"room": message.room_id, "handle": "Ada", "message": "Goodbye"}
    admin_client.post(f"/admin/chat/message/{message.pk}/change/", changed)
    message.refresh_from_db()
    assert message.message == "Goodbye"


def test_the_groups_of_rows_and_the_rows_of_groups_agree():
    """What a room's page loads is what it is kept up to date with."""
    one, two, empty = (Room.objects.visit(label) for label in ("one", "two", "three"))
    moved = say(one, "a")
    say(one, "b")
    say(two, "c")
    Presence.renew(one, "Ada", uuid4())
    Presence.renew(two, "Bob", uuid4())
    Message.objects.filter(pk=moved.pk).update(room=two)
    for binding in (MessageBinding, PresenceBinding):
        assert_groups_agree(binding, [f"room-{empty.pk}"])


def test_a_lease_is_renewed_by_its_key():
    """The same page keeps its row, under whatever name and in whatever room."""
    one, two, key = Room.objects.visit("one"), Room.objects.visit("two"), uuid4()
    first = Presence.renew(one, "Ada", key)
    Presence.objects.update(expires_at=timezone.now())
    again = Presence.renew(two, "Lovelace", key)
    assert (again.pk, again.handle, again.room) == (first.pk, "Lovelace", two)
    assert timezone.now() < again.expires_at <= timezone.now() + LEASE


def test_a_page_that_is_left_is_gone():
    """A page's beacon, which brings its key and no token, ends its presence in that room."""
    room, keys = Room.objects.visit("lobby"), [uuid4(), uuid4()]
    for key in keys:
        Presence.renew(room, "Ada", key)
    browser = Client(enforce_csrf_checks=True)
    assert browser.post("/chat/attic/gone/", {"key": keys[0]}).status_code == 204
    assert Presence.objects.count() == 2
    assert browser.post("/chat/lobby/gone/", {"key": keys[0]}).status_code == 204
    assert [presence.key for presence in Presence.objects.all()] == keys[1:]
    for nonsense in ({}, {"key": "x"}, {"key": "\0"}):
        assert browser.post("/chat/lobby/gone/", nonsense).status_code == 400
    assert browser.get("/chat/lobby/gone/").status_code == 405


def test_expired_presence_goes():
    """The job removes those whose lease is over, and nobody else."""
    room = Room.objects.visit("lobby")
    here, gone = Presence.renew(room, "Ada", uuid4()), Presence.renew(room, "Bob", uuid4())
    Presence.objects.filter(pk=gone.pk).update(expires_at=timezone.now())
    jobs.remove_expired_presence()
    assert list(Presence.objects.all()) == [here]


def test_empty_rooms_go():
    """The job removes old rooms without messages and people; no others."""
    labels = ("empty", "new", "written", "visited")
    rooms = {label: Room.objects.visit(label) for label in labels}
    old = timezone.now() - jobs.EMPTY_FOR - timedelta(seconds=1)
    Room.objects.exclude(label="new").update(created=old)
    say(rooms["written"], "x")
    Presence.renew(rooms["visited"], "Ada", uuid4())
    jobs.remove_empty_rooms()
    assert {room.label for room in Room.objects.all()} == {"new", "written", "visited"}


def test_a_page_of_another_user_is_prefilled_with_their_name(client, django_user_model):
    """Who is logged in needn't type their name."""
    client.force_login(django_user_model.objects.create_user("grace"))
    assert b'id="handle" name="handle" value="grace"' in client.get("/chat/lobby/").content
    assert b'id="handle" name="handle" value=""' in Client().get("/chat/lobby/").content
