"""Event streams are what the OpenAPI document says of them."""

import asyncio
import json
import urllib.request

import jsonschema
import pytest

from tests.databinding.events import Source
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


async def described(server, address="/api/schema/?format=json"):
    def ask():
        with urllib.request.urlopen(f"{server.url}{address}") as answer:
            return json.load(answer)

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 200),
        ("?cursor=none", {}, 200),
        ("", {"Last-Event-ID": "none"}, 200),
        ("?room=1", {}, 400),
        ("?limit=5", {}, 400),
        ("", {"Authorization": "Token none"}, 401),
        ("", {"Origin": "https://evil.example"}, 403),
    ],
)
async def test_answers_are_those_that_are_described(start_server, query, headers, status):
    """Each stream of the project's is there, with its parameters and all that it answers."""
    await IntegerValue.objects.acreate(name="pump", value=1)
    server = start_server("uvicorn")
    document = await described(server)
    paths = {path for path in document["paths"] if path.endswith("/events")}
    streams = ("intval", "intlimits", "floatval", "boolval", "textval")
    assert paths == {f"/stream/{stream}/events" for stream in streams}
    path = "/stream/intval/events"
    about = document["paths"][path]["get"]
    assert {one["name"] for one in about["parameters"]} == {"cursor", "Last-Event-ID"}
    async with Source(server.url, path + query, headers) as source:
        assert source.status == status
        ((kind, content),) = about["responses"][str(status)]["content"].items()
        assert source.headers["content-type"] == kind
        if status == 200:
            rows = await IntegerValue.objects.aget()
            await source.until({rows.pk: {"name": "pump", "value": 1}})
            return
        size = int(source.headers["content-length"])
        frame = json.loads(await source.reader.readexactly(size))
    assert content["schema"] == {"$ref": "#/components/schemas/ErrorFrame"}
    schema = document["components"]["schemas"]["ErrorFrame"]
    jsonschema.validate(frame, schema)
    assert frame["payload"]["response_status"] == status


async def test_parameters_and_windows_are_described(start_server):
    """A binding's parameters, and the limit of a window, are the event stream's; the route's other
    arguments are those of the description's address."""
    server = start_server("uvicorn", settings="tests.rest.settings")
    document = await described(server, "/rooms/1-2/schema/?format=json")
    latest = document["paths"]["/rooms/1-2/latest/events"]["get"]
    limit = {one["name"]: one["schema"] for one in latest["parameters"]}["limit"]
    async with Source(server.url, f"/rooms/1-2/latest/events?limit={limit['maximum']}") as source:
        assert source.status == 200
    beyond = limit["maximum"] + 1
    async with Source(server.url, f"/rooms/1-2/latest/events?limit={beyond}") as source:
        assert source.status == 400
    tasks = document["paths"]["/rooms/1-2/task/events"]["get"]
    assert {} in tasks["security"]
