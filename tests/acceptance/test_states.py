"""Every state of the dashboard: what it says, and that nobody is kept out of it.

In each, axe finds nothing wrong in light and dark, on a desktop and on a phone, where nothing
sticks out. To look:

    STATES=/tmp/states scripts/test tests/acceptance/test_states.py
"""

import json
import os
import re
import signal
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.async_api import expect

from tests.acceptance.dashboard import (
    edit,
    open_editor,
    saw,
    standing,
    tab_to,
    tile,
    until,
    watch,
)
from tests.acceptance.looks import OPTIONS, PHONE, looked_at, picture
from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

#: Chromium's words for an answer that is none.
REFUSED = "Failed to load resource: the server responded with a status of"
#: What the page was served with of rows: nothing, as where there are too many of them.
WITHOUT_ROWS = (re.compile(r'"items":\[.*?\],"cursor":"[^"]*"'), '"items":null,"cursor":null')


@pytest.fixture
def values(transactional_db):
    """Values of each kind, one of them high, one critical, one stale."""
    now = timezone.now()
    FloatValue.objects.create(
        name="pump.pressure", value=11.25, unit="bar", minimum=0, maximum=16, warn_high=10,
        critical_high=14,
    )  # fmt: skip
    FloatValue.objects.create(
        name="pump.temperature", value=61.5, unit="°C", decimals=1, expected_interval=1,
        reported_at=now - timedelta(minutes=5),
    )  # fmt: skip
    BooleanValue.objects.create(name="pump.door_open", value=True, critical_on="yes")
    TextValue.objects.create(name="pump.note", value="Bearing replaced")
    IntegerValue.objects.create(name="fan.rpm", value=1450, unit="rpm")
    IntegerValue.objects.create(name="fan.starts", value=38)


@pytest.fixture
def ana(transactional_db):
    """Staff who may do everything with values."""
    ana = User.objects.create_user("ana", is_staff=True)
    ana.user_permissions.set(Permission.objects.filter(content_type__app_label="values"))
    return ana


@pytest.fixture
def open_values(start_server, open_page, values):
    """A function that opens the dashboard with these values; the page's server is `page.server`."""

    async def open_values(user=None, live=True, server=None, **options):
        server = server or await sync_to_async(start_server)()
        page = await open_page(server.url, user=user, **OPTIONS | options)
        page.server = server
        if live:
            await standing(page, "live")
        return page

    return open_values


async def test_live(open_values, ana):
    """Values of all kinds in groups; thresholds and silence have an icon and a word."""
    page = await open_values(ana)
    await expect(tile(page, "pump.pressure").locator(".badge")).to_have_text("▲ high")
    await expect(tile(page, "pump.door_open").locator(".badge")).to_have_text("◆ critical")
    await expect(tile(page, "pump.temperature").locator(".age")).to_contain_text("◷ stale")
    await looked_at(page, "live")
    await page.get_by_role("button", name="Table").click()
    await expect(page.locator("#grid.rows .tile").first).to_be_visible()
    await looked_at(page, "table")


async def test_nothing_is_cut_on_a_phone(open_values, ana):
    """A short name stays whole where its tile is worked on, and so does its age in a table."""
    page = await open_values(ana, viewport=PHONE, is_mobile=True, has_touch=True)
    high = tile(page, "pump.pressure")
    await expect(high.locator(".badge")).to_have_text("▲ high")
    for part in (".name", ".age"):
        assert await whole(high.locator(part))
    await picture(page, "phone")
    fan = tile(page, "fan.rpm")
    await fan.locator("button.value").focus()
    assert await whole(fan.locator(".name"))
    await fan.locator("button.value").tap()
    await expect(fan.locator(".editor")).to_be_visible()
    assert await whole(fan.locator(".name"))
    await page.keyboard.insert_text("1460")
    await page.keyboard.press("Enter")
    await expect(fan.locator(".age")).to_have_text(re.compile("^changed"))
    await page.get_by_role("button", name="Table").tap()
    await expect(page.locator("#grid.rows .tile").first).to_be_visible()
    assert await whole(fan.locator(".name"))
    assert await whole(fan.locator(".age"))


async def whole(part):
    return await part.evaluate("(element) => element.scrollWidth <= element.clientWidth")


async def test_empty(start_server, open_page, ana):
    """Nothing to show is no blank page: it says how values come."""
    server = await sync_to_async(start_server)()
    page = await open_page(server.url, user=ana, **OPTIONS)
    await standing(page, "live")
    await expect(page.locator("#empty")).to_contain_text("No values yet")
    await looked_at(page, "empty")


async def test_nothing_is_found(open_values):
    """A search without a hit says what was sought, and how to see all."""
    page = await open_values()
    await page.locator("#search").fill("valve")
    await expect(page.locator("#none")).to_contain_text("No name has “valve” in it.")
    await looked_at(page, "none")


async def test_loading(open_values):
    """Where the page came without its rows, their places are shown until they come."""

    async def prepare(page):
        await page.route(lambda url: url.endswith("/"), without_rows)
        await page.route_web_socket("**/stream/", silent)

    page = await open_values(live=False, prepare=prepare)
    await standing(page, "catching up")
    await expect(page.locator("#loading")).to_contain_text("Loading the values…")
    await expect(page.locator("#loading .ghosts")).to_be_visible()
    await expect(page.locator("#tools")).to_be_hidden()
    await looked_at(page, "loading")


def silent(socket):
    """A connection that is alive, and brings nothing."""
    socket.on_message(lambda text: socket.send("pong!") if text == "ping" else None)


async def test_never_reached(open_values):
    """Without rows and without a connection nobody is told that something is loading."""

    async def prepare(page):
        await page.route(lambda url: url.endswith("/"), without_rows)
        await page.route_web_socket("**/stream/", lambda socket: socket.close(code=1012))

    page = await open_values(live=False, prepare=prepare)
    await standing(page, "offline")
    await expect(page.locator("#unreached")).to_contain_text(
        re.compile("The values can.t be reached")
    )
    await expect(page.locator("#loading")).to_be_hidden()
    await expect(page.locator("#banner")).to_contain_text("Offline since")
    await looked_at(page, "unreached")


async def without_rows(route):
    response = await route.fetch()
    await route.fulfill(
        response=response, body=WITHOUT_ROWS[0].sub(WITHOUT_ROWS[1], await response.text())
    )


async def test_reconnecting_and_offline(open_values, ana):
    """Since when, when the next try is, and what waits; every value is marked as of then."""
    page = await open_values(ana)
    # Too short for axe; offline has all that it has.
    await watch(
        page,
        """() => document.body.dataset.standing === "reconnecting"
          && document.querySelector("#banner .text").textContent""",
    )
    page.server.kill()
    assert (await saw(page)).startswith("Connection lost at")
    await picture(page, "reconnecting-light")
    await edit(page, "fan.rpm", "1500")
    await edit(page, "fan.starts", "39")
    await standing(page, "offline")
    await expect(page.locator("#banner")).to_contain_text("Offline since")
    await expect(page.locator("#banner")).to_contain_text("The numbers below are from then.")
    await expect(page.locator("#outbox")).to_contain_text("2 changes wait for the connection.")
    await expect(page.locator("#outbox-list li")).to_have_count(2)
    await expect(tile(page, "fan.rpm").locator(".desired")).to_contain_text("→ 1,500 ◷")
    await expect(page.locator(".tile .age")).to_have_text([re.compile("^◷ as of")] * 6)
    await looked_at(page, "offline")


async def test_a_session_that_is_over(open_values, ana):
    """Logged out elsewhere no value is left, and the page says why, and where one logs in."""
    page = await open_values(ana)
    await tile(page, "pump.pressure").locator(".name a").click()
    await open_editor(page, "fan.rpm")
    await page.keyboard.type("1500")
    await Session.objects.all().adelete()
    await standing(page, "logged out")
    await expect(page.locator("#banner")).to_contain_text("Your session ended at")
    await expect(page.get_by_role("heading", name="You have been logged out")).to_be_visible()
    await expect(page.locator("#grid > *")).to_have_count(0)
    await expect(page.locator("#panel")).to_be_hidden()
    await expect(page.locator("main")).not_to_contain_text(re.compile("fan|pump|rpm|bar"))
    await expect(page.locator("#announcer")).to_contain_text(
        re.compile("You have been logged out. Your session ended at .* Log in again to go on.")
    )
    await expect(page.locator("#retry")).to_be_focused()
    await expect(page.locator("#logged-out .error")).to_be_hidden()
    await looked_at(page, "logged-out")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_what_a_logout_loses(open_values, ana):
    """That a change wasn't confirmed before the session was over is said."""
    sockets = []

    async def prepare(page):
        def relayed(socket):
            server = socket.connect_to_server()
            socket.on_message(lambda text: None if '"update"' in text else server.send(text))
            sockets.append(socket)

        await page.route_web_socket("**/stream/", relayed)

    page = await open_values(ana, prepare=prepare)
    await edit(page, "fan.rpm", "1500")
    await expect(tile(page, "fan.rpm").locator(".desired")).to_have_text("→ 1,500 ⟳")
    await sockets[0].close(code=4401)
    await expect(page.locator("#logged-out .error")).to_have_text(
        "◆ Changes that were not saved: 1"
    )
    await looked_at(page, "logged-out-with-changes")


async def test_a_session_that_is_over_in_the_past(open_values, ana):
    """Nor is anything left of a moment of the past, or of a question that was asked."""
    page = await open_values(ana)
    await page.locator("#past").click()
    await expect(page.locator("#past-grid .tile").first).to_be_visible()
    await Session.objects.all().adelete()
    await expect(page.get_by_role("heading", name="You have been logged out")).to_be_visible()
    await expect(page.locator("#travel")).to_be_hidden()
    await expect(page.locator("#past-grid > *")).to_have_count(0)


async def test_a_session_that_ended_meanwhile(open_values, start_server, ana):
    """Who is refused when he is back isn't left with what he saw before."""
    server = await sync_to_async(start_server)(application="tests.acceptance.closed:application")
    page = await open_values(ana, server=server)
    await open_editor(page, "fan.rpm")
    server.kill()
    await standing(page, "reconnecting", "offline")
    await Session.objects.all().adelete()
    await expect(tile(page, "fan.rpm")).to_be_visible()
    await sync_to_async(server.start)()
    await standing(page, "refused")
    await expect(page.get_by_role("heading", name="No access")).to_be_visible()
    await expect(page.locator("#grid > *")).to_have_count(0)


async def test_what_was_done_is_told_beside_the_connection(open_values):
    """What is said of the connection takes the place of nothing that is said of the page."""
    page = await open_values()
    await page.evaluate(
        """async () => {
          const { announce } = await import("/static/dashboard/announce.js");
          announce("fan.rpm pinned.");
          announce("fan.rpm saved: 1,500.");
          announce("Offline", "connection");
        }"""
    )
    await expect(page.locator("#announcer")).to_have_text("fan.rpm saved: 1,500. \u2013 Offline")


async def test_turned_away(open_values):
    """A page that was too fast is told so, and when it may try again."""
    sockets = []

    async def prepare(page):
        def relayed(socket):
            socket.connect_to_server()
            sockets.append(socket)

        await page.route_web_socket("**/stream/", relayed)

    page = await open_values(prepare=prepare)
    await sockets[0].close(code=4429)
    await standing(page, "reconnecting", "offline")
    await expect(page.locator("#banner")).to_contain_text("too fast, or too many open")
    await expect(page.locator("#banner")).to_contain_text("Next try in")
    await looked_at(page, "turned-away")


async def test_a_server_with_trouble(open_values):
    """A server that answers, but can't serve the rows: what it says, and that it is asked again."""

    async def prepare(page):
        def troubled(socket):
            server = socket.connect_to_server()

            def asked(text):
                if '"subscribe"' in text:
                    socket.send(refusal(text))
                else:
                    server.send(text)

            socket.on_message(asked)

        await page.route_web_socket("**/stream/", troubled)

    page = await open_values(live=False, prepare=prepare)
    await expect(page.locator("#banner")).to_contain_text(
        "The server has trouble: The database doesn't answer. What is below may be old."
    )
    await standing(page, "catching up")
    await expect(page.locator("#retry")).to_be_hidden()
    # The mark comes after a second.
    await expect(tile(page, "fan.rpm")).to_have_css("border-style", "dashed")
    await looked_at(page, "trouble")


def refusal(text):
    frame = json.loads(text)
    asked = frame["payload"]
    said = {"action": "subscribe", "request_id": asked["request_id"], "response_status": 503}
    said |= {"errors": ["The database doesn't answer."], "data": None}
    return json.dumps({"stream": frame["stream"], "payload": said})


async def test_no_permission(start_server, open_page, values, ana):
    """Who may see none of the values is told so in their place, and how to come by them."""
    server = await sync_to_async(start_server)(application="tests.acceptance.closed:application")
    page = await open_page(server.url, **OPTIONS)
    await standing(page, "refused")
    await expect(page.locator("#refused")).to_contain_text("No access")
    await expect(page.locator("#status")).to_have_text("◆ No access")
    await expect(page.locator("#banner")).to_be_hidden()
    for nothing in ("#loading", "#empty", "#unreached", "#tools", ".tile"):
        await expect(page.locator(nothing)).to_be_hidden()
    await looked_at(page, "refused")
    await tab_to(page, page.locator("#refused").get_by_role("link", name="Log in"))

    mine = await open_page(server.url, user=ana, **OPTIONS)
    await standing(mine, "live")
    await expect(mine.locator("#refused")).to_be_hidden()
    await expect(tile(mine, "fan.rpm")).to_be_visible()


async def test_editing_and_what_is_refused(open_values, ana):
    """A draft with what others wrote beside it; what is no value; what the server refused."""
    page = await open_values(ana)
    await open_editor(page, "fan.rpm")
    await page.keyboard.insert_text("1480")
    await IntegerValue.objects.filter(name="fan.rpm").aupdate(value=1500)
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("now 1,500, was 1,450")
    await looked_at(page, "editing")
    await page.keyboard.press("Escape")
    await edit(page, "fan.rpm", "12x")
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("Enter a whole number.")
    await looked_at(page, "invalid")
    await page.keyboard.press("Escape")
    await ana.user_permissions.aclear()
    await edit(page, "fan.rpm", "3")
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("Not saved")
    await looked_at(page, "failed")


async def test_pending_and_gone(open_values, ana):
    """What was typed stands beside what holds until an answer; a value that is gone says so."""
    page = await open_values(ana)
    os.kill(page.server.process.pid, signal.SIGSTOP)
    try:
        await edit(page, "fan.rpm", "1500")
        await expect(tile(page, "fan.rpm").locator(".desired")).to_have_text("→ 1,500 ⟳")
        await expect(tile(page, "fan.rpm").locator(".value")).to_have_text("1,450")
        await looked_at(page, "pending")
    finally:
        os.kill(page.server.process.pid, signal.SIGCONT)
    await expect(tile(page, "fan.rpm").locator(".value")).to_have_text("1,500")
    await expect(tile(page, "fan.rpm").locator(".desired")).to_have_text("")
    await open_editor(page, "fan.rpm")
    await sync_to_async(IntegerValue.objects.filter(name="fan.rpm").delete)()
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("Deleted by somebody else")
    await looked_at(page, "gone")


async def test_conflict(open_values, ana):
    """Base, theirs and yours beside each other; put off, the tile goes on saying so."""
    page = await open_values(ana)
    await open_editor(page, "fan.rpm")
    await page.keyboard.insert_text("1480")
    await IntegerValue.objects.filter(name="fan.rpm").aupdate(value=1500)
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("now 1,500")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("fan.rpm was changed meanwhile")
    await looked_at(page, "conflict")
    await page.keyboard.press("Escape")
    await expect(tile(page, "fan.rpm").locator(".note")).to_contain_text("Changed meanwhile")
    await looked_at(page, "conflict-put-off")


async def test_dialogs(open_values, ana):
    """The questions before something is added or deleted, with what is wrong in them."""
    page = await open_values(ana)
    await page.get_by_role("button", name="Add").first.click()
    await page.get_by_label("Name").fill("fan.rpm")
    await page.get_by_role("textbox", name="Value").fill("8")
    await page.keyboard.press("Enter")
    await expect(page.locator("#add-name-error")).to_contain_text("already exists")
    await looked_at(page, "add")
    await page.get_by_role("button", name="Cancel").click()
    await tile(page, "fan.rpm").hover()
    await tile(page, "fan.rpm").locator(".remove").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Delete fan.rpm?")
    await looked_at(page, "delete")


async def test_paused(open_values):
    """A page that stands still says since when, and its tiles look like it."""
    page = await open_values()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#pause")).to_contain_text("Paused at")
    await looked_at(page, "paused")


async def opened_panel(page, name):
    await page.get_by_role("link", name=name).click()
    panel = page.locator("#panel")
    await expect(panel.get_by_role("heading", name=name)).to_be_focused()

    async def listed():
        return await panel.locator("#panel-changes li").count() > 0

    await until(listed)
    return panel


async def test_panel(open_values, ana):
    """All about a value: chart, numbers, changes; beside the tiles, on a phone above them."""
    page = await open_values(ana)
    panel = await opened_panel(page, "pump.pressure")
    await expect(panel.locator("#chart canvas")).to_be_visible()
    await panel.get_by_text("As numbers").click()
    await expect(panel.locator("tbody tr").first).to_be_visible()
    await looked_at(page, "panel")
    await panel.get_by_role("button", name="Close").click()
    await opened_panel(page, "pump.note")
    await looked_at(page, "panel-text")


async def test_panel_where_the_clock_is_wrong(open_values):
    """A past is of the server's time, whatever the browser takes for the time."""

    async def prepare(page):
        await page.add_init_script("const now = Date.now; Date.now = () => now() + 86_400_000;")

    await IntegerValue.objects.filter(name="fan.rpm").aupdate(
        reported_at=timezone.now(), expected_interval=60
    )
    page = await open_values(prepare=prepare)
    panel = await opened_panel(page, "fan.rpm")
    await expect(panel.locator(".most")).to_have_text(re.compile("^1,450.rpm$"))
    await expect(panel.locator(".times")).to_contain_text(
        re.compile("reported (just now|.+ (s|min) ago)")
    )


async def test_panel_in_a_language_of_no_name(open_values):
    """There is a chart, too, where the browser's name of its language is none that Intl knows."""
    page = await open_values(locale="en-US@posix")
    panel = await opened_panel(page, "pump.pressure")
    await expect(panel.locator("#chart canvas")).to_be_visible()
    await expect(panel.locator("#panel-problem")).to_be_hidden()


async def test_panel_without_a_past(open_values):
    """Where the past can't be asked, the panel says so and shows what there is."""
    page = await open_values(amiss=[f"{REFUSED} 500"])
    await page.route("**/history/?**", lambda route: route.fulfill(status=500))
    await page.route("**/changes/?**", lambda route: route.fulfill(status=500))
    await page.get_by_role("link", name="pump.pressure").click()
    await expect(page.locator("#panel-problem")).to_contain_text("The server answered 500.")
    for nothing in ("#chart", "#panel .stats", "#panel .reach"):
        await expect(page.locator(nothing)).to_be_hidden()
    await looked_at(page, "panel-error")


async def test_panel_without_the_library(open_values):
    """Without the library of charts the numbers are there, and it is said why no more is."""
    page = await open_values(amiss=[f"{REFUSED} 404"])
    await page.route("**/uplot/**", lambda route: route.fulfill(status=404))
    panel = await opened_panel(page, "pump.pressure")
    await expect(panel.locator("#panel-problem")).to_contain_text("its numbers are below")
    await expect(panel.locator(".most")).to_contain_text("11.25")
    await looked_at(page, "panel-without-chart")


async def test_all_of_it_goes_by_keyboard(open_values, ana):
    """Search, order, view, panel, range, chart and back, with keys alone."""
    page = await open_values(ana)
    key = page.keyboard
    await key.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await key.insert_text("pump")
    await expect(page.locator(".tile")).to_have_count(4)
    await key.press("Escape")
    await expect(page.locator(".tile")).to_have_count(6)
    await key.press("Tab")
    await expect(page.locator("#sort")).to_be_focused()
    await key.press("ArrowDown")
    await expect(page).to_have_url(re.compile("sort=problems"))
    await tab_to(page, page.get_by_role("button", name="Groups"))
    await key.press("Space")
    await expect(page.locator(".tile .name").first).to_have_text("pump.door_open")
    await tab_to(page, page.get_by_role("link", name="pump.pressure"))
    await key.press("Enter")
    panel = page.locator("#panel")
    await expect(panel.get_by_role("heading", name="pump.pressure")).to_be_focused()
    await expect(panel.locator("#chart canvas")).to_be_visible()
    await tab_to(page, panel.get_by_role("button", name="15m"))
    await key.press("Enter")
    await expect(page).to_have_url(re.compile("range=15m"))
    await tab_to(page, panel.locator("#chart"))
    await key.press("End")
    await expect(panel.locator("#chart-readout")).to_contain_text("11.25")
    await key.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(page.get_by_role("link", name="pump.pressure")).to_be_focused()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
async def test_motion_is_for_those_who_want_it(open_values, motion):
    """A change fades, by opacity alone; with reduced motion it has a dot for a while instead."""
    page = await open_values(reduced_motion=motion)
    box = tile(page, "fan.rpm").locator(".box")
    moving = """() => document.getAnimations().map((one) =>
      one.effect.getKeyframes().map((frame) => Object.keys(frame).filter((name) =>
        !["offset", "computedOffset", "easing", "composite"].includes(name))).flat()).flat()"""
    await page.wait_for_function(f"() => ({moving})().length === 0")
    # Each lasts for a moment only.
    shown = {
        "reduce": "() => document.querySelector('.box.marked .value')?.textContent",
        "no-preference": f"() => {{ const moves = ({moving})(); return moves.length && moves; }}",
    }
    await watch(page, shown[motion])
    await IntegerValue.objects.filter(name="fan.rpm").aupdate(value=7)
    seen = await saw(page)
    await expect(box.locator(".value")).to_have_text("7")
    if motion == "reduce":
        assert seen == "7"
        assert await page.evaluate(moving) == []
        await looked_at(page, "reduced-motion")
    else:
        assert set(seen) == {"opacity"}
    await expect(box).not_to_have_class(re.compile("marked"))
