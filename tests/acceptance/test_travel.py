"""The dashboard as it was: time travel, and what the panel shows of it."""

import re
import time
from itertools import pairwise

import pytest
from asgiref.sync import sync_to_async
from playwright.async_api import expect

from tests.acceptance.axe import violations
from tests.acceptance.dashboard import hears, listen, saw, standing, tab_to, watch
from tests.values.past import kept
from values.models import BooleanValue, Description, FloatValue, IntegerValue, Sample, TextValue
from values.samples.history import at

#: Chromium alone has no locale that its own `Intl` accepts.
ENGLISH = {"locale": "en-US", "timezone_id": "UTC"}
MINUTE = 60


def address(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@pytest.fixture
def begin(transactional_db):
    """Ten minutes ago, since when there is a pump, a fan that came later, and a valve that went."""
    for model in (Sample, Description):
        model.objects.all().delete()
    begin = int(time.time()) - 10 * MINUTE
    pump = FloatValue.objects.create(name="pump.pressure", value=9, unit="bar", warn_high=8)
    door = BooleanValue.objects.create(name="pump.open", value=False)
    note = TextValue.objects.create(name="pump.note", value="new")
    fan = IntegerValue.objects.create(name="fan.rpm", value=1482)
    valve = IntegerValue.objects.create(name="valve.turns", value=3)
    Sample.objects.all().delete()
    kept(pump, [(begin, 1), (begin + 60, 2), (begin + 120, 3), (begin + 300, 9)])
    kept(door, [(begin, 1), (begin + 200, 0)])
    kept(note, [(begin, "old"), (begin + 200, "new")])
    kept(fan, [(begin + 180, 1482)])
    kept(valve, [(begin, 3)])
    Description.objects.update(time=at(begin))
    Description.objects.filter(name="fan.rpm").update(time=at(begin + 180))
    valve.delete()
    Description.objects.filter(name=None).update(time=at(begin + 400))
    Sample.objects.filter(kind="intval", number=None).update(time=at(begin + 400))
    return begin


def then(page, name):
    """The tile of the past."""
    return page.locator("#past-grid .tile").filter(
        has=page.get_by_role("heading", name=name, exact=True)
    )


def value(page, name):
    return then(page, name).locator(".value")


def names(page):
    return page.locator("#past-grid .tile .name")


async def test_since_when_a_value_is_what_it_is(start_server, open_page, admin_user, begin):
    """Since when its past tells, not since when the page is here."""
    page = await open_page(start_server().url, user=admin_user, **ENGLISH)
    await standing(page, "live")
    for name in ("fan.rpm", "pump.open"):
        tile = page.locator("#grid .tile").filter(
            has=page.get_by_role("heading", name=name, exact=True)
        )
        await expect(tile.locator(".age")).to_contain_text("since")
        since = await tile.locator(".age").evaluate("(age) => Date.parse(age.title)")
        assert 4 * MINUTE < time.time() - since / 1000 < 6 * MINUTE


async def test_a_link_shows_how_it_was_then(start_server, open_page, admin_user, begin):
    """An address with a moment shows what stood then and nothing else, and says that it is past."""
    server = start_server()
    page = await open_page(f"{server.url}/?at={address(begin + 90)}", user=admin_user, **ENGLISH)
    await expect(names(page)).to_have_text(
        ["pump.note", "pump.open", "pump.pressure", "valve.turns"]
    )
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await expect(then(page, "pump.pressure").locator(".unit")).to_have_text("bar")
    await expect(value(page, "pump.note")).to_have_text("old")
    await expect(value(page, "pump.open")).to_be_checked()
    await expect(page.locator("#status .word")).to_have_text("Past")
    moment = await page.locator("#travel .moment").text_content()
    await expect(page).to_have_title(f"↶ {moment} \u2013 Live values")
    await expect(page.locator("#travel .extent")).to_have_text("4 values, 1 deleted since")
    await expect(page.locator("#grid")).to_be_hidden()
    # The line, too, is that of then.
    await expect(then(page, "pump.pressure").locator(".line")).to_have_attribute(
        "d", re.compile("H")
    )


async def test_back_to_live_is_at_once(start_server, open_page, begin):
    """The live page goes on behind the past, and is there without asking anybody."""
    server = start_server()
    # What it was asking of the past is broken off with the network.
    broken_off = "Failed to load resource: net::ERR_INTERNET_DISCONNECTED"
    then = f"{server.url}/?at={address(begin + 90)}"
    page = await open_page(then, amiss=[broken_off], **ENGLISH)
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await standing(page, "live")
    await IntegerValue.objects.aupdate(value=7)
    live = page.locator("#grid .tile").filter(has_text="fan.rpm").locator(".value")
    await page.wait_for_function(
        "() => [...document.querySelectorAll('#grid .value')].some((one) => one.innerText === '7')"
    )
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Back to live").click()
    await expect(live).to_have_text("7")
    await expect(live).to_be_visible()
    await expect(page).to_have_url(f"{server.url}/")
    await expect(page.locator("#past-grid .tile")).to_have_count(0)
    await expect(page.locator("#past")).to_be_focused()
    await page.context.set_offline(False)


async def test_by_keys_from_step_to_step(start_server, open_page, begin):
    """The slider goes by steps, with Shift by seconds; moments are typed, too; Escape goes back."""
    server = start_server()
    page = await open_page(server.url, **ENGLISH)
    await listen(page)
    await tab_to(page, page.locator("#past"))
    await page.keyboard.press("Enter")
    await expect(value(page, "pump.pressure")).to_have_text("9.00")
    await page.locator(".exactly").fill(address(begin + 121)[:-1])
    await expect(value(page, "pump.pressure")).to_have_text("3.00")
    slider = page.get_by_role("slider", name="Moment")
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await expect(page).to_have_url(f"{server.url}/?at={address(begin + 61)}")
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(value(page, "pump.pressure")).to_have_text("1.00")
    assert await slider.evaluate("(slider) => slider.ariaValueText") == (
        await page.locator(".moment").text_content()
    )
    await page.get_by_role("button", name="1 min on").click()
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await hears(page, "As of ")
    await page.keyboard.press("Escape")
    await expect(page.locator("#past-grid")).to_be_hidden()
    await expect(page.locator("#past")).to_be_focused()
    await page.go_back()
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await page.go_back()
    await expect(page.locator("#past-grid")).to_be_hidden()


#: Move the slider as a hand does, and at once leave: by the browser's Back, or by a button.
MOVED = """(leave) => {
  const slider = document.querySelector("#travel .slider");
  slider.value = Number(slider.value) - 60;
  slider.dispatchEvent(new Event("input"));
  const before = history.length;
  if (leave === "back") history.back();
  else document.querySelector(leave).click();
  return before;
}"""


async def test_back_out_of_the_past(start_server, open_page, begin):
    """Back leads to the live page at once, and leaves the browser's way on into the past."""
    server = start_server()
    page = await open_page(server.url, **ENGLISH)
    await page.locator("#past").click()
    await expect(value(page, "pump.pressure")).to_have_text("9.00")
    before = await page.evaluate(MOVED, "back")
    await expect(page.locator("#past-grid")).to_be_hidden()
    await expect(page).to_have_url(f"{server.url}/")
    assert await page.evaluate("history.length") == before
    await page.go_forward()
    await expect(page.locator("#past-grid")).to_be_visible()


async def test_out_of_the_past_in_one_step(start_server, open_page, begin):
    """Each button that leads out of the past makes one step of the browser's way back."""
    page = await open_page(start_server().url, **ENGLISH)
    for button in ("#past", "#travel .live"):
        await page.locator("#past").click()
        await expect(value(page, "pump.pressure")).to_have_text("9.00")
        before = await page.evaluate(MOVED, button)
        await expect(page.locator("#past-grid")).to_be_hidden()
        await expect(page.locator("#past")).to_have_attribute("aria-pressed", "false")
        assert await page.evaluate("history.length") == before + 1


async def test_playing_ends_in_the_present(start_server, open_page, begin):
    """Played fast, every value goes through its past, and the page is live when it gets there."""
    server = start_server()
    page = await open_page(f"{server.url}/?at={address(begin + 110)}", **ENGLISH)
    await listen(page)
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await page.get_by_label("Speed").select_option("10\u00d7")
    await page.get_by_role("button", name="Play").click()
    # For as long as it takes to press Pause.
    await expect(value(page, "pump.pressure")).to_have_text("3.00")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Play")).to_be_visible()
    await page.locator(".exactly").fill(address(begin + 290)[:-1])
    await expect(page).to_have_url(f"{server.url}/?at={address(begin + 290)}")
    await page.get_by_label("Speed").select_option("60\u00d7")
    # For five seconds alone.
    await watch(
        page,
        """() => [...document.querySelectorAll("#past-grid .value")].some(
          (one) => one.textContent === "9.00")""",
    )
    await page.get_by_role("button", name="Play").click()
    assert await saw(page)
    await expect(page.locator("#past-grid")).to_be_hidden()
    await hears(page, "The present is reached: live again.")
    await expect(page.locator("#grid .tile")).to_have_count(4)


async def test_played_calmly_where_motion_is_not_wanted(start_server, open_page, begin):
    """With reduced motion it is played in steps of a second, to the same moments."""
    options = {**ENGLISH, "reduced_motion": "reduce"}
    page = await open_page(f"{start_server().url}/?at={address(begin + 30)}", **options)
    await expect(value(page, "pump.pressure")).to_have_text("1.00")
    await page.evaluate("""() => {
      window.moved = [];
      const slider = document.querySelector("#travel .slider");
      new MutationObserver(() => window.moved.push(Number(slider.value)))
        .observe(document.querySelector("#travel .moment"), { characterData: true, subtree: true });
    }""")
    await page.get_by_label("Speed").select_option("10\u00d7")
    await page.get_by_role("button", name="Play").click()
    await page.wait_for_function("() => window.moved.length >= 3")
    moments = await page.evaluate("window.moved")
    # Timers may be late, but are never early: steps are ten seconds, but for the rounding. In
    # motion there are four in a second.
    assert min(later - one for one, later in pairwise(moments)) >= 9
    await page.get_by_role("button", name="Pause").click()


async def test_nothing_is_edited_there(start_server, open_page, admin_user, begin):
    """Who could edit is told why he can't, and that the page is the past."""
    server = start_server()
    page = await open_page(f"{server.url}/?at={address(begin + 90)}", user=admin_user, **ENGLISH)
    button = value(page, "pump.pressure")
    await expect(button).to_have_attribute("aria-disabled", "true")
    # It is named by what it shows, not by the live value behind it.
    await expect(button).to_have_accessible_name("pump.pressure 2.00 bar")
    await button.click(force=True)
    await expect(page.locator("#travel .problem")).to_contain_text("can't be edited")
    await expect(then(page, "pump.pressure").locator(".editor")).to_be_hidden()
    await value(page, "pump.open").press("Space")
    await page.get_by_role("button", name="Add").click(force=True)
    await expect(page.locator("#add-dialog")).to_be_hidden()
    await then(page, "pump.pressure").get_by_role("link").click()
    panel = page.locator("#panel")
    await expect(panel.locator(".times")).to_contain_text("↶ as of")
    await expect(panel.locator(".reading .number")).to_have_text("2.00")
    await expect(panel.locator("#panel-changes li")).to_have_count(2)
    await expect(panel.get_by_role("button", name="Restore")).to_have_count(0)
    await expect(panel.locator(".edit")).to_be_hidden()
    await expect(panel.locator(".most")).to_contain_text("2.00")
    await page.keyboard.press("Escape")
    await then(page, "valve.turns").get_by_role("link").click()
    await expect(panel.locator("#panel-changes li")).to_have_count(1)
    await page.get_by_role("button", name="Back to live").click()
    await expect(panel).to_be_hidden()
    assert (await BooleanValue.objects.aget()).value is False


async def test_before_what_is_kept(start_server, open_page, begin):
    """Of before the retention the page says that nothing is kept, and leads to the first moment."""
    server = start_server()
    page = await open_page(f"{server.url}/?at={address(begin - 3600)}", **ENGLISH)
    await expect(page.locator("#nothing-then")).to_contain_text("Nothing is kept of before")
    await expect(page.locator("#past-grid .tile")).to_have_count(0)
    await page.get_by_role("button", name="Go to the first moment").click()
    await expect(value(page, "pump.pressure")).to_have_text("1.00")
    await expect(page.locator("#nothing-then")).to_be_hidden()


async def test_a_server_that_is_away(start_server, open_page, begin):
    """Without the server the page says what it shows instead, and asks again by itself."""
    server = start_server()
    page = await open_page(f"{server.url}/?at={address(begin + 90)}", **ENGLISH)
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await page.route("**/api/values/?*", lambda route: route.abort("connectionrefused"))
    await page.get_by_role("button", name="1 min back").click()
    await expect(page.locator("#travel .problem")).to_contain_text("can't be shown")
    await expect(page.locator("#travel .problem")).to_contain_text("Below is")
    await expect(value(page, "pump.pressure")).to_have_text("2.00")
    await page.unroute("**/api/values/?*")
    await expect(value(page, "pump.pressure")).to_have_text("1.00")
    await expect(page.locator("#travel .problem")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_past_is_in_reach_of_all(start_server, open_page, admin_user, begin, scheme):
    """axe finds no violation in the past: tiles, table, beside a panel, and where nothing is."""
    server = start_server()
    options = {**ENGLISH, "color_scheme": scheme, "bypass_csp": True}
    page = await open_page(f"{server.url}/?at={address(begin + 350)}", user=admin_user, **options)
    await expect(value(page, "pump.pressure")).to_have_text("9.00")
    assert await violations(page) == []
    await page.get_by_role("button", name="Table").click()
    await then(page, "pump.pressure").get_by_role("link").click()
    await expect(page.locator("#chart canvas")).to_be_visible()
    await expect(page.locator("#panel-changes li").first).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await value(page, "pump.open").press("Space")
    await expect(page.locator("#travel .problem")).to_be_visible()
    assert await violations(page) == []
    await page.goto(f"{server.url}/?at={address(begin - 100)}")
    await expect(page.locator("#nothing-then")).to_be_visible()
    assert await violations(page) == []


async def test_a_silent_source_is_seen_in_the_past(start_server, open_page, begin):
    """Where nothing was known then, the tile says so rather than show a number."""
    await sync_to_async(kept)(await FloatValue.objects.aget(), [(begin + 250, None)])
    page = await open_page(f"{start_server().url}/?at={address(begin + 260)}", **ENGLISH)
    await expect(value(page, "pump.pressure")).to_have_text("\u2013")
    await expect(then(page, "pump.pressure").locator(".age")).to_contain_text("◷ nothing known")
