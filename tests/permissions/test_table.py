"""Every action, by every kind of caller, at every door, is answered as the documentation says."""

import json
import re
from importlib import import_module
from itertools import count

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async as in_database
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from rest_framework.authtoken.models import Token

from databinding.protocol import CloseCode
from databinding.rest import rest_urls
from databinding.sse import sse_view
from tests.databinding import clients
from tests.databinding.events import Response
from tests.databinding.users import ENDS, log_in, session_with, user_named
from tests.permissions.table import (
    BEGIN,
    CALLERS,
    DOORS,
    END,
    MEANWHILE,
    PAGE,
    TABLE,
    both,
    statuses,
)
from tests.servers import CHECKOUT
from tests.writing.models import Note
from tests.writing.notes import Notes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def page(request):
    template = Template('{% load databinding %}{% live_rows "tests.writing.notes.Notes" "notes" %}')
    return HttpResponse(template.render(Context({"request": request})))


urlpatterns = [
    path("api/", include(rest_urls(Notes))),
    path("<str:stream>/events", sse_view(Notes)),
    path("page", page),
]


class Caller:
    """Somebody who asks, by a session or by what stands in the headers."""

    def __init__(self, kind):
        self.kind = kind
        self.user = AnonymousUser()
        self.headers = {}
        self.cookies = {}
        if kind != "nobody":
            self._become(kind)
        self._other = User.objects.create(username="other")
        self._names = count()

    def _become(self, kind):
        self.user = User.objects.create(username="somebody", is_staff=kind == "staff")
        if kind != "reader":
            right = Permission.objects.get_by_natural_key("change_note", "writing", "note")
            self.user.user_permissions.add(right)
        if kind in ("program", "revoked"):
            token = Token.objects.create(user=self.user).key
            self.headers = {"Authorization": f"Token {token}"}
        else:
            session = Client()
            session.force_login(self.user)
            self.cookies = {settings.SESSION_COOKIE_NAME: session.cookies["sessionid"].value}
        if kind in ("deactivated", "revoked"):
            self.user.is_active = False
            self.user.save()

    def note(self, row):
        """A new row of this kind; its key."""
        if row == "none":
            return 10**6
        owner = self.user if row == "own" else self._other
        name = f"note {next(self._names)}"
        return Note.objects.create(owner=owner, text=name, shared=row == "shared").pk

    def scope(self):
        """What a middleware gives a websocket of this caller."""
        headers = [(name.lower().encode(), text.encode()) for name, text in self.headers.items()]
        engine = import_module(settings.SESSION_ENGINE)
        session = engine.SessionStore(self.cookies.get(settings.SESSION_COOKIE_NAME))
        user = self.user if self.cookies and self.user.is_active else AnonymousUser()
        return {"headers": headers, "session": session, "user": user}


async def at_websocket(caller):
    """Each asks with a `request_id`; who brings bad credentials is told so, and sent away."""
    scope = caller.scope()
    found = {}
    client = clients.Client(Notes, headers=scope.pop("headers"), **scope)
    await client.__aenter__()
    if caller.kind == "revoked":
        refusal = json.loads(await client.receive_text())["payload"]
        closed = await client.receive_output()
        assert (closed["type"], closed["code"]) == ("websocket.close", CloseCode.SESSION_OVER)
        return dict.fromkeys(asked(caller, "websocket"), refusal["response_status"])
    bodies = {
        "create": {"data": {"text": "new"}},
        "create, invalid": {"data": {"text": ""}},
        "update": {"data": {"shared": True}},
        "update, invalid": {"data": {"shared": "perhaps"}},
        "update, outdated": {"data": {"text": "new"}, "expect": {"text": "as it isn't"}},
    }
    for action, row in asked(caller, "websocket"):
        pk = {"pk": await in_database(caller.note)(row)} if row else {}
        name = action.partition(",")[0]
        reply = await client.ask("notes", name, **pk, **bodies.get(action, {}))
        found[action, row] = reply["response_status"]
    await client._communicator.disconnect(timeout=clients.PATIENCE)
    return found


async def at_events(caller):
    client = AsyncClient(headers=caller.headers)
    client.cookies.load(caller.cookies)
    response = await client.get("/notes/events", headers=caller.headers)
    status = response.status_code
    await sync_to_async(response.close)()
    return {("subscribe", ""): status}


async def at_page(caller):
    """A page has the rows, or leaves it to its websocket to say why not."""
    client = AsyncClient()
    client.cookies.load(caller.cookies)
    text = (await client.get("/page", headers=caller.headers)).content.decode()
    rows = json.loads(re.search(">(.*)<", text)[1])
    # A page of a program's isn't anything: without a session it is nobody's.
    return {("subscribe", ""): 401 if rows["items"] is None else 200}


async def at_rest(caller):
    return await in_database(ask_rest)(caller)


def ask_rest(caller):
    client = Client()
    client.cookies.load(caller.cookies)
    requests = {
        "list": ("GET", None),
        "retrieve": ("GET", None),
        "create": ("POST", {"text": "new"}),
        "create, invalid": ("POST", {"text": ""}),
        "update": ("PATCH", {"shared": True}),
        "update, invalid": ("PATCH", {"shared": "perhaps"}),
        "update, outdated": ("PATCH", {"text": "new"}),
        "delete": ("DELETE", None),
        "archive": ("POST", {}),
    }
    found = {}
    for action, row in asked(caller, "rest"):
        method, data = requests[action]
        address = f"/api/notes/{caller.note(row)}/" if row else "/api/notes/"
        address += "archive/" if action == "archive" else ""
        headers = dict(caller.headers)
        if action.endswith("outdated"):
            headers["If-Match"] = '"as it isn\'t"'
        body = "" if data is None else json.dumps(data)
        response = client.generic(method, address, body, "application/json", headers=headers)
        found[action, row] = response.status_code
    return found


AT = {"websocket": at_websocket, "events": at_events, "page": at_page, "rest": at_rest}


def asked(caller, door):
    known = caller.user.is_authenticated
    return [key for key in TABLE if door in DOORS[key[0]] and (known or key[1] != "own")]


@pytest.mark.parametrize("door", AT)
@pytest.mark.parametrize("kind", CALLERS)
async def test_each_is_answered_as_the_table_says(kind, door):
    """The statuses of all actions of one caller at one door are those of the table."""
    caller = await in_database(Caller)(kind)
    expected = statuses(kind, door)
    if door == "page" and caller.headers:
        expected = {("subscribe", ""): 401}  # Pages are for sessions.
    assert await AT[door](caller) == expected


@pytest.mark.parametrize("kind", ["writer", "staff"])
async def test_lists_and_snapshots_have_what_one_may_see(kind):
    """Whichever the door, the rows are those of `get_queryset`, whole and no others."""
    caller = await in_database(Caller)(kind)
    rows = {row: await in_database(caller.note)(row) for row in ("own", "shared", "hidden")}
    seen = set(rows.values()) if kind == "staff" else {rows["own"], rows["shared"]}
    scope = caller.scope()
    async with clients.Client(Notes, headers=scope.pop("headers"), **scope) as client:
        await client.subscribe("notes")
        assert set(client.rows["notes"]) == seen
        listed = (await client.ask("notes", "list"))["data"]
        assert {item["pk"] for item in listed} == seen
    http = AsyncClient()
    http.cookies.load(caller.cookies)
    answered = json.loads((await http.get("/api/notes/")).content)
    assert {row["pk"] for row in answered["results"]} == seen
    text = (await http.get("/page")).content.decode()
    assert {item["pk"] for item in json.loads(re.search(">(.*)<", text)[1])["items"]} == seen


# What happens while a connection is open


def happen(event, user, session, row):
    """What the table says happens."""
    ends = dict(
        zip(
            ["logout", "deactivation", "another password", "removal of the account"],
            ENDS,
            strict=True,
        )
    )
    if event in ends:
        ends[event](user, session_with(session.session_key))
    elif event == "the token is revoked":
        Token.objects.all().delete()
    elif event == "becoming staff":
        User.objects.filter(pk=user.pk).update(is_staff=True)
    else:
        Note.objects.filter(pk=row).update(shared=event == "a row is shared")


@pytest.fixture
async def present(event):
    """Somebody who is here, by session or token; and a row of another's."""
    user, other = await user_named("ana"), await user_named("other")
    session = await log_in(user)
    shared = event == "a row is no longer shared"
    row = (await Note.objects.acreate(owner=other, text="theirs", shared=shared)).pk
    if event == "the token is revoked":
        token = (await Token.objects.acreate(user=user)).key
        return user, session, row, {"Authorization": f"Token {token}"}
    return user, session, row, {}


@pytest.fixture
def rights_are_looked_up_often():
    with override_settings(DATABINDING={"RIGHTS_INTERVAL": 0.05}):
        yield


async def sent(receive, row):
    """The action that concerns the row, in the next frame that does."""
    while True:
        payload = (await receive())["payload"]
        for event in payload.get("events", ()):
            if event["pk"] == row:
                return event["action"]
        if any(item["pk"] == row for item in payload.get("items", ())):
            return payload["action"]


@pytest.mark.parametrize("event", MEANWHILE)
async def test_what_becomes_of_a_websocket(rights_are_looked_up_often, event, present):
    """What happens to its user and his rows happens to an open websocket, as the table says."""
    user, session, row, headers = present
    expected, _ = MEANWHILE[event]
    raw = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    scope = {} if headers else {"user": user, "session": session}
    async with clients.Client(Notes, headers=raw, **scope) as client:
        await client.subscribe("notes")
        await in_database(happen)(event, user, session, row)
        if expected == 4401:
            while (message := await client.receive_output())["type"] != "websocket.close":
                pass
            assert message["code"] == expected
        else:
            assert await sent(client.receive, row) == expected


@pytest.mark.parametrize("event", MEANWHILE)
async def test_what_becomes_of_an_event_stream(rights_are_looked_up_often, event, present):
    """So it does to an event stream, which ends where a websocket is closed or begins anew."""
    user, session, row, headers = present
    _, expected = MEANWHILE[event]

    def stream():
        known = AnonymousUser() if headers else get_user_of(session)
        response = Response(Notes, "notes", user=known, headers=headers)
        response._request.session = session_with(session.session_key)
        return response

    async with await in_database(stream)() as source:
        while source.copy.cursor is None:
            await source.receive()
        await in_database(happen)(event, user, session, row)
        if isinstance(expected, int):
            while not source.ended:
                await source.receive()
            async with await in_database(stream)() as again:
                assert again.status == expected
        else:

            async def receive():
                before = len(source.frames)
                while len(source.frames) == before:
                    await source.receive()
                return source.frames[-1]

            assert await sent(receive, row) == expected


def get_user_of(session):
    """Whom Django's middleware takes a request with this session for."""
    request = HttpRequest()
    request.session = session_with(session.session_key)
    return get_user(request)


# What else is refused, whoever asks


def test_a_session_writes_only_with_its_csrf_token():
    """REST asks a session's writes for it, reads and tokens for none."""
    caller = Caller("staff")
    client = Client(enforce_csrf_checks=True)
    client.cookies.load(caller.cookies)
    pk = caller.note("own")
    assert client.get("/api/notes/").status_code == 200
    for method, address in (
        ("POST", "/api/notes/"),
        *((method, f"/api/notes/{pk}/") for method in ("PUT", "PATCH", "DELETE")),
    ):
        refused = client.generic(method, address, '{"text": "x"}', "application/json")
        assert refused.status_code == 403
    assert Note.objects.get().text != "x"


async def test_pages_of_foreign_origins_are_refused():
    """Websocket, event stream and REST answer them nothing, not even who may do all."""
    caller = await in_database(Caller)("staff")
    http = AsyncClient()
    http.cookies.load(caller.cookies)
    foreign = {"Origin": "https://evil.example"}
    for address in ("/notes/events", "/api/notes/"):
        assert (await http.get(address, headers=foreign)).status_code == 403
    client = clients.Client(Notes, headers=[(b"origin", b"https://evil.example")])
    connected, code = await client._communicator.connect(timeout=clients.PATIENCE)
    assert (connected, code) == (False, CloseCode.FORBIDDEN)


# The documentation


def test_the_page_has_this_table():
    """`python -m tests.permissions.table` writes it."""
    text = PAGE.read_text()
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == both().strip()


def test_the_page_shows_the_binding_that_is_tested():
    """Its example is the tests' code, line for line."""
    code = (CHECKOUT / "tests" / "writing" / "notes.py").read_text()
    example, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example == code
