"""Rows and cursor in the served page."""

import json
import re
from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.http import HttpRequest
from django.template import Context, Template, TemplateSyntaxError
from django.test import override_settings

from databinding.journal import open_journal
from databinding.relay import relay_for
from databinding.templatetags import databinding as tags
from tests.databinding.clients import Client, eventually
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.models import Message, Named, Room
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

TALK = '"tests.talk.bindings.Demultiplexer" "intval"'
SHAPES = '"tests.shapes.bindings.Demultiplexer"'


def render(arguments):
    request = HttpRequest()
    request.path = "/"
    request.user = AnonymousUser()
    template = Template(f"{{% load databinding %}}{{% live_rows {arguments} %}}")
    return template.render(Context({"request": request}))


def read(html):
    """The element's attribute and what is in it."""
    found = re.fullmatch(
        r'<script type="application/json" data-databinding="([^"]*)">(.*)</script>', html
    )
    assert found, html
    return SimpleNamespace(attribute=found[1], text=found[2], **json.loads(found[2]))


def test_rows_and_cursor():
    """The element names its stream and holds the rows as a snapshot would."""
    row = IntegerValue.objects.create(name="a", value=1)
    element = read(render(TALK))
    assert element.attribute == element.stream == "intval"
    assert element.items == [{"pk": row.pk, "data": {"name": "a", "value": 1}}]
    assert element.cursor


def test_no_value_can_end_the_element():
    """What would be HTML in a row stays text, and comes back as it was."""
    names = ["</script><script>alert(1)</script>", "<!--", "&amp;", "a'\"\\"]
    IntegerValue.objects.bulk_create(IntegerValue(name=name) for name in names)
    element = read(render(TALK))
    assert not set("<>&") & set(element.text)
    assert [item["data"]["name"] for item in element.items] == names


async def test_its_cursor_resumes():
    """A websocket goes on from the page's cursor, with just what came after it."""
    await in_database(IntegerValue.objects.create)(name="a", value=1)
    element = read(await in_database(render)(TALK))
    late = await in_database(IntegerValue.objects.create)(name="late")
    async with Client(Demultiplexer) as client:
        client.copies["intval"].rows = {item["pk"]: item["data"] for item in element.items}
        assert await client.subscribe("intval", cursor=element.cursor) is True
        assert len(client.rows["intval"]) == 2
        events = client.frames[-1]["payload"]["events"]
        assert [event["pk"] for event in events] == [late.pk]


async def test_groups_come_from_async_code_and_the_route():
    """Keyword arguments are the route's: the page's rows are those of its websocket."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in "12"])()
    mine = await in_database(Message.objects.create)(room=one, text="mine")
    await in_database(Message.objects.create)(room=two, text="other")
    element = read(await in_database(render)(f'{SHAPES} "message" rooms="{one.pk}"'))
    assert [item["pk"] for item in element.items] == [mine.pk]
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(one.pk)}}) as client:
        client.copies["message"].rows = {item["pk"]: item["data"] for item in element.items}
        assert await client.subscribe("message", cursor=element.cursor) is True
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(two.pk)}}) as client:
        assert await client.subscribe("message", cursor=element.cursor) is False


def test_without_permission_there_are_no_rows():
    """Who may not subscribe gets null: the websocket's refusal tells why."""
    Named.objects.create(code="secret", value=5)
    element = read(render(f'{SHAPES} "closed"'))
    assert (element.items, element.cursor) == (None, None)
    assert "secret" not in element.text


def test_while_the_database_is_away_the_page_is_served(monkeypatch, caplog):
    """Rows that can't be read in time are left out."""

    def away(self):
        raise OperationalError("gone")

    monkeypatch.setattr(type(open_journal("default")), "state", away)
    with override_settings(DATABINDING={"DATABASE_TIMEOUT": 0.05}):
        element = read(render(TALK))
    assert (element.items, element.cursor) == (None, None)
    assert "rows of intval are left out" in caplog.text


def test_a_page_with_several_streams_waits_once(monkeypatch):
    """Of a page with several streams only the first waits for a database that doesn't answer."""
    patience = []
    now = 1_000.0

    def none_in_time(place, stream, seconds):
        nonlocal now
        patience.append(seconds)
        now += seconds

    monkeypatch.setattr(tags, "_rows", none_in_time)
    monkeypatch.setattr(tags, "time", SimpleNamespace(monotonic=lambda: now))
    with override_settings(DATABINDING={"DATABASE_TIMEOUT": 5}):
        render(f"{TALK} %}}{{% live_rows {TALK} %}}{{% live_rows {TALK}")
    assert patience == [5, 0, 0]


@pytest.mark.parametrize("setting", ["BATCH_LIMIT", "GROUP_LIMIT"])
def test_too_many_rows_are_left_to_the_websocket(setting):
    """More rows than a page should carry come by websocket."""
    IntegerValue.objects.bulk_create(IntegerValue(name=f"n{i}") for i in range(4))
    with override_settings(DATABINDING={setting: 3}):
        element = read(render(TALK))
    assert (element.items, element.cursor) == (None, None)


def test_a_stream_without_a_binding_is_named():
    """A stream that isn't, or carries something else, is a template's error."""
    for stream in ("nope", "parrot"):
        with pytest.raises(TemplateSyntaxError, match=f"has no binding as '{stream}'"):
            render(f'{SHAPES} "{stream}"')


async def test_pages_alone_keep_no_relay_running():
    """What was read for a page is forgotten when nobody subscribes."""
    with override_settings(DATABINDING={"LINGER": 0.05}):
        assert read(await in_database(render)(TALK)).items == []
        await eventually(lambda: not relay_for("default").running)


def test_the_elements_script():
    """The tag loads the elements, and says where they connect to."""
    template = Template("{% load databinding %}{% live_elements url %}")
    html = template.render(Context({"url": "/ws/?a=1&b=2"}))
    assert 'type="module" src="/static/databinding/elements.js"' in html
    assert 'data-live-url="/ws/?a=1&amp;b=2"' in html
