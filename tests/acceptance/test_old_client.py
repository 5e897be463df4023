"""The JavaScript client of Channels 1 (npm `django-channels`), as it was published, on a page."""

import asyncio

import pytest

from tests.servers import CHECKOUT, PATIENCE
from values.models import IntegerValue

MODULES = {
    "reconnecting-websocket": "reconnecting-websocket/dist/index.js",
    "django-channels": "django-channels/lib/index.js",
}
#: The package is CommonJS, as bundlers took it; this is as much of one as it needs.
BUNDLER = """
const modules = {};
function bundle(name, run) {
  const module = { exports: {} };
  run(module, module.exports, (wanted) => modules[wanted]);
  modules[name] = module.exports;
}
"""
PAGE = """
const rows = {};
const told = [];
const bridge = new modules["django-channels"].WebSocketBridge();
bridge.connect("/stream/");
bridge.listen();
bridge.demultiplex("intval", (action, stream) => {
  told.push({ stream, ...action });
  if (action.action === "delete") delete rows[action.pk];
  else if (action.action !== "error") rows[action.pk] = action.data;
});
"""
OPEN = "() => bridge.socket.readyState === WebSocket.OPEN"
HAS = "(expected) => JSON.stringify(Object.values(rows)) === JSON.stringify(expected)"


@pytest.fixture
def open_old_page(open_page):
    """A function that opens a page of the server with that client in it, connected."""

    async def open_old_page(server, **options):
        # Any address of the server will do; Chromium lets no made-up page talk to this machine.
        # Its scripts are inline, as an old page's were.
        page = await open_page(f"{server.url}/healthz", bypass_csp=True, **options)
        await page.add_script_tag(content=BUNDLER)
        for name, file in MODULES.items():
            source = (CHECKOUT / "frontend" / "node_modules" / file).read_text()
            wrapped = f'bundle("{name}", (module, exports, require) => {{\n{source}\n}});'
            await page.add_script_tag(content=wrapped)
        await page.add_script_tag(content=PAGE)
        await page.wait_for_function(OPEN, timeout=PATIENCE * 1000)
        return page

    return open_old_page


async def has(page, *rows):
    """Wait until the page holds these rows, in the order of their keys."""
    expected = [{"name": name, "value": value} for name, value in rows]
    await page.wait_for_function(HAS, arg=expected, timeout=PATIENCE * 1000)


async def send(page, **action):
    await page.evaluate("(action) => bridge.stream('intval').send(action)", action)


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_it_is_told_what_changes(kind, start_server, open_old_page):
    """A create, an update and a delete reach its stream's callback, worded as in 2017."""
    page = await open_old_page(start_server(kind))
    row = await IntegerValue.objects.acreate(name="pump", value=1)
    await has(page, ("pump", 1))
    await IntegerValue.objects.aupdate(value=2)
    await has(page, ("pump", 2))
    pk = row.pk
    await row.adelete()
    await has(page)
    event = {"stream": "intval", "pk": pk, "model": "values.integervalue"}
    assert await page.evaluate("told") == [
        {**event, "action": action, "data": {"name": "pump", "value": value}}
        for action, value in [("create", 1), ("update", 2), ("delete", 2)]
    ]


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_it_writes(kind, start_server, open_old_page, admin_user):
    """What it creates, updates and deletes is in the database, and comes back as an event."""
    server = start_server(kind)
    writer = await open_old_page(server, user=admin_user)
    other = await open_old_page(server)

    await send(writer, action="create", data={"name": "pump", "value": 1})
    for page in (writer, other):
        await has(page, ("pump", 1))
    row = await IntegerValue.objects.aget(name="pump")
    await send(writer, action="update", pk=row.pk, data={"value": 42})
    for page in (writer, other):
        await has(page, ("pump", 42))
    assert (await IntegerValue.objects.aget()).value == 42
    await send(writer, action="delete", pk=row.pk)
    for page in (writer, other):
        await has(page)
    assert not await IntegerValue.objects.aexists()
    assert [one["action"] for one in await writer.evaluate("told")] == [
        "create",
        "update",
        "delete",
    ]


async def test_it_is_refused(start_server, open_old_page):
    """A visitor's write is answered with an error that its callback can tell from an event."""
    page = await open_old_page(start_server())
    await send(page, action="create", data={"name": "pump", "value": 1})
    await page.wait_for_function("() => told.length === 1", timeout=PATIENCE * 1000)
    (told,) = await page.evaluate("told")
    assert (told["action"], told["response_status"]) == ("error", 401)
    assert not await IntegerValue.objects.aexists()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_after_a_killed_server_it_goes_on(kind, start_server, open_old_page):
    """It reconnects by itself, and is told of what changes from then on."""
    server = start_server(kind)
    page = await open_old_page(server)
    await IntegerValue.objects.acreate(name="pump", value=1)
    await has(page, ("pump", 1))

    server.kill()
    await page.wait_for_function(f"() => !({OPEN})()", timeout=PATIENCE * 1000)
    await IntegerValue.objects.aupdate(value=2)
    await asyncio.to_thread(server.start)
    await page.wait_for_function(OPEN, timeout=PATIENCE * 1000)
    await IntegerValue.objects.acreate(name="fan", value=3)
    await IntegerValue.objects.filter(name="pump").aupdate(value=4)
    await has(page, ("pump", 4), ("fan", 3))
