"""Values of all kinds on the page: how they are shown, found, edited, and what they were."""

import math
import re
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from playwright.async_api import expect

from tests.acceptance.axe import violations
from tests.acceptance.dashboard import Frames, edit, standing, tile, until
from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

#: Chromium alone has no locale that its own `Intl` accepts.
ENGLISH = {"locale": "en-US"}


@pytest.fixture
def pump(transactional_db):
    """A value of each kind: the pressure is high, the door open."""
    FloatValue.objects.create(
        name="pump.pressure",
        value=11.25,
        unit="bar",
        minimum=0,
        maximum=16,
        warn_high=10,
        critical_high=14,
    )
    BooleanValue.objects.create(name="pump.door_open", value=True, warn_on="yes")
    TextValue.objects.create(name="pump.note", value="Bearing replaced")
    IntegerValue.objects.create(name="fan.rpm", value=1482, unit="rpm")


async def test_each_kind_is_shown_and_edited_in_its_way(start_server, open_page, admin_user, pump):
    """Units, gauges, words of thresholds, switches and texts; a second browser sees each edit."""
    server = start_server()
    watcher = await open_page(server.url)
    page = await open_page(server.url, user=admin_user)
    await standing(page, "live")
    pressure = tile(page, "pump.pressure")
    await expect(pressure.locator(".box")).to_contain_text("11.25")
    await expect(pressure.locator(".unit")).to_have_text("bar")
    await expect(pressure.locator(".badge")).to_have_text("▲ high")
    await expect(pressure.locator(".meter")).to_be_visible()
    await expect(tile(page, "fan.rpm").locator(".meter")).to_be_hidden()
    await expect(tile(page, "fan.rpm").locator(".unit")).to_have_text("rpm")

    await edit(page, "pump.pressure", "17")
    await expect(pressure.locator(".note")).to_contain_text("16 or less")
    await page.keyboard.press("Escape")
    await edit(page, "pump.pressure", "14.5")
    await expect(tile(watcher, "pump.pressure").locator(".badge")).to_have_text("◆ very high")
    await expect(tile(watcher, "pump.pressure").locator(".value")).to_have_text("14.50")

    door = tile(page, "pump.door_open").get_by_role("switch")
    await expect(door).to_be_checked()
    await door.press("Space")
    await expect(tile(watcher, "pump.door_open").locator(".value")).to_have_text("No")
    await expect(tile(watcher, "pump.door_open").locator(".badge")).to_be_hidden()
    await expect(door).not_to_be_checked()

    await edit(page, "pump.note", "Watch the temperature")
    await expect(tile(watcher, "pump.note").locator(".value")).to_have_text("Watch the temperature")


async def test_what_no_number_says_is_not_known(start_server, open_page, admin_user, pump):
    """Where a program makes a value infinite its tile says that nothing is known, and its line
    ends; typing a number mends it."""
    page = await open_page(start_server().url, user=admin_user)
    await standing(page, "live")
    pressure = tile(page, "pump.pressure")
    line = pressure.locator(".sparkline .line")
    await expect(pressure.locator(".value")).to_have_text("11.25")
    await FloatValue.objects.aupdate(value=math.inf)
    await expect(pressure.locator(".value")).to_have_text("\u2013")
    await expect(pressure.locator(".age")).to_contain_text("nothing known since")
    await expect(pressure.locator(".badge")).to_be_hidden()
    ends = await line.get_attribute("d")
    assert ends.count("M") == 1
    await edit(page, "pump.pressure", "9")
    await expect(pressure.locator(".value")).to_have_text("9.00")
    await page.wait_for_function(
        "(line) => (line.getAttribute('d').match(/M/g) ?? []).length === 2",
        arg=await line.element_handle(),
    )
    assert (await FloatValue.objects.aget()).value == 9


async def test_a_decimal_is_added(start_server, open_page, admin_user, pump):
    """The dialog adds a value of the kind that is chosen there."""
    page = await open_page(start_server().url, user=admin_user)
    await standing(page, "live")
    await page.get_by_role("button", name="Add").click()
    await page.get_by_label("Name").fill("tank.level")
    await page.get_by_label("Kind").select_option("Decimal")
    await page.get_by_role("textbox", name="Value").fill("0.75")
    await page.keyboard.press("Enter")
    await expect(tile(page, "tank.level").locator(".value")).to_have_text("0.75")
    await expect(tile(page, "tank.level").locator(".value")).to_be_focused()


async def test_a_silent_source_is_seen(start_server, open_page, pump):
    """What wasn't reported for three intervals is stale, says since when, and comes back."""
    rows = FloatValue.objects.filter(name="pump.pressure")
    await rows.aupdate(expected_interval=1, reported_at=timezone.now() - timedelta(minutes=5))
    page = await open_page(start_server().url)
    await standing(page, "live")
    age = tile(page, "pump.pressure").locator(".age")
    await expect(age).to_have_text(re.compile("^◷ stale: last report [5-9] min ago$"))
    await expect(page.locator("#problems .stale")).to_have_text("◷ 1 stale")
    await rows.aupdate(expected_interval=60, reported_at=timezone.now())
    await expect(age).not_to_contain_text("stale")


#: Is all of it to be seen?
WHOLE = "(element) => element.scrollWidth <= element.clientWidth"


async def test_a_phone_says_whole_since_when_a_source_is_silent(start_server, open_page, pump):
    """In a narrow tile and in a row there is no room for more than how long ago that was."""
    long_ago = timezone.now() - timedelta(minutes=55)
    await FloatValue.objects.aupdate(expected_interval=1, reported_at=long_ago)
    server = start_server()
    phone = {"is_mobile": True, "has_touch": True, **ENGLISH}
    said = re.compile("^◷ stale: 5[5-9] min ago$")
    for width, view in ((360, ""), (360, "?view=rows"), (320, "?view=rows")):
        viewport = {"width": width, "height": 844}
        page = await open_page(f"{server.url}/{view}", viewport=viewport, **phone)
        one = tile(page, "pump.pressure")
        age, unit, badge = (one.locator(name) for name in (".age", ".unit", ".badge"))
        await expect(age).to_have_text(said, use_inner_text=True)
        assert await age.evaluate(WHOLE)
        if view:
            unit, badge = await unit.bounding_box(), await badge.bounding_box()
            assert unit["x"] + unit["width"] <= badge["x"]
        if width == 360:
            assert await page.get_by_role("heading", level=1).evaluate(WHOLE)


async def test_search_order_and_pins_are_kept(start_server, open_page, admin_user, pump):
    """The address says what is shown, and in which way; pins stay in the browser."""
    server = start_server()
    page = await open_page(server.url, user=admin_user)
    headings = page.locator(".group h2")
    await expect(headings).to_have_text(["fan 1", "pump 3"])
    await page.keyboard.press("/")
    await page.keyboard.insert_text("pump o")
    await expect(page.locator(".tile .name")).to_have_text(["pump.door_open", "pump.note"])
    await expect(page).to_have_url(f"{server.url}/?q=pump+o")
    await page.get_by_role("button", name="Table").click()
    await page.reload()
    await expect(page.locator("#grid.rows .tile .name")).to_have_text(
        ["pump.door_open", "pump.note"]
    )
    await page.locator("#search").fill("nothing like it")
    await expect(page.locator("#none")).to_contain_text("nothing like it")
    await page.get_by_role("button", name="Show all").click()
    await page.get_by_role("button", name="Table").click()
    await tile(page, "pump.note").get_by_role("button", name="Pin").click()
    await expect(headings).to_have_text(["Pinned 1", "fan 1", "pump 2"])
    await page.reload()
    await expect(headings).to_have_text(["Pinned 1", "fan 1", "pump 2"])
    await page.locator("#sort").select_option("Problems first")
    await page.get_by_role("button", name="Groups").click()
    names = page.locator(".tile .name")
    await expect(names).to_have_text(["pump.note", "pump.door_open", "pump.pressure", "fan.rpm"])


async def test_the_key_can_be_turned_off(start_server, open_page, pump):
    """Who hits keys by chance has the slash do nothing, on this page and at the next visit."""
    page = await open_page(start_server().url)
    search, key = page.locator("#search"), page.get_by_label("The key / goes to the search")
    await key.uncheck()
    await page.reload()
    await expect(key).not_to_be_checked()
    await expect(search).to_have_attribute("placeholder", "Search")
    await page.locator("#view").press("/")
    await expect(page.locator("#view")).to_be_focused()
    await key.check()
    await page.locator("#view").press("/")
    await expect(search).to_be_focused()


async def test_the_changes_of_a_busy_value_are_asked_for_together(start_server, open_page, pump):
    """The panel asks a few times a second at most, and leaves out none between those it shows."""
    asked = []

    async def listen(page):
        page.on("request", lambda one: asked.append(one.url) if "/changes/" in one.url else None)

    server = start_server()
    row = await FloatValue.objects.aget(name="pump.pressure")
    url = f"{server.url}/?value=floatval/{row.pk}"
    page = await open_page(url, prepare=listen, **ENGLISH)
    changes = page.locator("#panel-changes li")
    await expect(changes).not_to_have_count(0)
    before, begun = len(asked), time.monotonic()
    for number in range(50):
        await FloatValue.objects.filter(pk=row.pk).aupdate(value=number / 4)
    await expect(changes.first).to_contain_text("12.25")
    assert len(asked) - before <= 2 + (time.monotonic() - begun) / 0.4
    shown = [text.split("bar")[0] for text in await changes.locator(".what").all_inner_texts()]
    assert len(shown) >= 20
    expected = [*(number / 4 for number in range(49, -1, -1)), 11.25]
    assert [float(text) for text in shown] == expected[: len(shown)]


async def test_a_paused_page_stands_still(start_server, open_page, pump):
    """Nothing moves while it is paused; then it is as the database has it."""
    frames = Frames()
    page = await open_page(start_server().url, prepare=frames.listen)
    await standing(page, "live")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#pause")).to_contain_text("Paused at")
    await IntegerValue.objects.aupdate(value=7)
    await frames.row(name="fan.rpm", value=7)
    await page.evaluate("() => new Promise(requestAnimationFrame)")  # It would be drawn by then.
    shown = "document.querySelector('.tile[data-id^=intval] .value').textContent"
    assert await page.evaluate(shown) == "1,482"
    await page.locator("#pause").click()
    await expect(tile(page, "fan.rpm").locator(".value")).to_have_text("7")


async def test_the_past_of_a_value(start_server, open_page, admin_user, pump):
    """A value's panel has an address, a chart, its changes with who made them, and a way back."""
    server = start_server()
    page = await open_page(server.url, user=admin_user, **ENGLISH)
    await standing(page, "live")
    await edit(page, "pump.pressure", "8")
    await expect(tile(page, "pump.pressure").locator(".value")).to_have_text("8.00")
    await tile(page, "pump.pressure").get_by_role("link", name="pump.pressure").click()
    row = await FloatValue.objects.aget()
    await expect(page).to_have_url(f"{server.url}/?value=floatval/{row.pk}")
    panel = page.locator("#panel")
    await expect(panel.get_by_role("heading", name="pump.pressure")).to_be_focused()
    await expect(panel.locator("#chart canvas")).to_be_visible()
    await expect(panel.locator(".least")).to_contain_text("8.00")
    await expect(panel.locator(".most")).to_contain_text("11.25")
    await expect(panel.locator("#panel-changes li")).to_have_count(2)
    await expect(panel.locator("#panel-changes li").first).to_contain_text("8.00\u202fbarby admin")

    await panel.locator("#chart").press("End")
    await expect(panel.locator("#chart-readout")).to_contain_text("8.00")
    await panel.get_by_role("button", name="Restore 11.25").click()
    await expect(panel.locator(".reading .number")).to_have_text("11.25")
    await expect(panel.locator("#panel-changes li")).to_have_count(3)
    await row.arefresh_from_db()
    assert row.value == 11.25

    await page.reload()
    await expect(panel.get_by_role("heading", name="pump.pressure")).to_be_visible()
    await panel.get_by_role("button", name="15m").click()
    await expect(page).to_have_url(f"{server.url}/?value=floatval/{row.pk}&range=15m")
    await panel.get_by_role("button", name="Value after").click()
    await expect(panel.get_by_role("heading", name="fan.rpm")).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await page.go_back()
    await expect(panel).to_be_visible()


async def test_of_many_only_those_in_sight_are_there(start_server, open_page, transactional_db):
    """Of two thousand values the page holds some dozen tiles, and each can be got to."""
    await sync_to_async(IntegerValue.objects.bulk_create)(
        [IntegerValue(name=f"v{number:04}", value=number) for number in range(2000)]
    )
    page = await open_page(start_server().url)
    await standing(page, "live")
    await expect(page.locator("#count")).to_have_text("2,000 values")
    assert await page.locator(".tile").count() < 100
    await page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last = tile(page, "v1999")
    await expect(last).to_be_visible()
    await expect(last).to_have_attribute("aria-posinset", "2000")
    await IntegerValue.objects.filter(name="v1999").aupdate(value=5)
    await expect(last.locator(".value")).to_have_text("5")
    assert await page.locator(".tile").count() < 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_out_of_reach(start_server, open_page, admin_user, pump, scheme):
    """axe finds no violation: on the page, in the table, beside an open panel."""
    server = start_server()
    options = {**ENGLISH, "color_scheme": scheme, "bypass_csp": True}
    page = await open_page(server.url, user=admin_user, **options)
    await standing(page, "live")
    assert await violations(page) == []
    await page.get_by_role("button", name="Table").click()
    await expect(page.locator("#grid.rows .tile").first).to_be_visible()
    assert await violations(page) == []
    await page.get_by_role("link", name="pump.pressure").click()
    await expect(page.locator("#chart canvas")).to_be_visible()

    async def settled():
        return await page.locator("#panel-changes li").count() > 0

    await until(settled)
    assert await violations(page) == []
