"""Values in an order of one's own, and charts that are zoomed and compared."""

import asyncio
import time

import pytest
from playwright.async_api import expect

from tests.acceptance.axe import violations
from tests.acceptance.dashboard import hears, listen, open_editor, standing, tab_to, tile
from tests.values.past import kept
from values.models import FloatValue, IntegerValue, Sample, TextValue

#: Chromium alone has no locale that its own `Intl` accepts.
ENGLISH = {"locale": "en-US", "timezone_id": "UTC"}


@pytest.fixture
def five(transactional_db):
    """Three fans, and two pumps."""
    for name in ("fan.a", "fan.b", "fan.c", "pump.a", "pump.b"):
        IntegerValue.objects.create(name=name, value=1)


def names(page):
    return page.locator("#grid .tile .name")


async def order(page, *expected):
    """Wait until they are read, and stand, in this order."""
    await expect(names(page)).to_have_text(list(expected))


def grip(page, name):
    return tile(page, name).get_by_role("button", name=f"Move {name}")


async def hold(page, name, target):
    """Take hold of its grip, and be over another one."""
    await grip(page, name).hover()
    await page.mouse.down()
    box = await tile(page, target).bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.move(*middle, steps=4)


async def test_an_own_order_by_keys(start_server, open_page, five):
    """Enter on its grip, arrow keys, Enter: it stays there, in its group, after a reload, too."""
    server = start_server()
    page = await open_page(server.url, **ENGLISH)
    await standing(page, "live")
    await listen(page)
    await expect(grip(page, "fan.a")).to_be_hidden()
    await page.locator("#sort").select_option("Own order")
    await expect(page).to_have_url(f"{server.url}/?sort=own")
    await order(page, "fan.a", "fan.b", "fan.c", "pump.a", "pump.b")
    await tab_to(page, grip(page, "fan.a"))
    await page.keyboard.press("Enter")
    await expect(grip(page, "fan.a")).to_have_attribute("aria-pressed", "true")
    await hears(page, "Position 1 of 3 in fan.")
    await page.keyboard.press("ArrowRight")
    await order(page, "fan.b", "fan.a", "fan.c", "pump.a", "pump.b")
    await hears(page, "Position 2 of 3 in fan.")
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowRight")  # not out of its group
    await order(page, "fan.b", "fan.c", "fan.a", "pump.a", "pump.b")
    await expect(grip(page, "fan.a")).to_be_focused()
    await page.keyboard.press("Enter")
    await hears(page, "fan.a stays there.")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Home")
    await order(page, "fan.a", "fan.b", "fan.c", "pump.a", "pump.b")
    await page.keyboard.press("Escape")
    await order(page, "fan.b", "fan.c", "fan.a", "pump.a", "pump.b")
    await page.reload()
    await order(page, "fan.b", "fan.c", "fan.a", "pump.a", "pump.b")
    await IntegerValue.objects.acreate(name="fan.0", value=1)
    await order(page, "fan.b", "fan.c", "fan.a", "fan.0", "pump.a", "pump.b")
    await page.locator("#sort").select_option("A to Z")
    await order(page, "fan.0", "fan.a", "fan.b", "fan.c", "pump.a", "pump.b")


@pytest.mark.parametrize("view", ["tiles", "rows"])
async def test_an_own_order_by_dragging(start_server, open_page, five, view):
    """A value is dragged by its grip to another's place, also in the table; Escape ends it."""
    server = start_server()
    page = await open_page(f"{server.url}/?sort=own&view={view}&groups=off", **ENGLISH)
    await order(page, "fan.a", "fan.b", "fan.c", "pump.a", "pump.b")
    await listen(page)
    await hold(page, "fan.a", "pump.a")
    await order(page, "fan.b", "fan.c", "pump.a", "fan.a", "pump.b")
    await page.mouse.up()
    await hears(page, "fan.a stays there.")
    await page.reload()
    await order(page, "fan.b", "fan.c", "pump.a", "fan.a", "pump.b")
    await hold(page, "pump.b", "fan.b")
    await order(page, "pump.b", "fan.b", "fan.c", "pump.a", "fan.a")
    await page.keyboard.press("Escape")
    await page.mouse.up()
    await order(page, "fan.b", "fan.c", "pump.a", "fan.a", "pump.b")


@pytest.mark.parametrize("meanwhile", ["paused", "edited"])
async def test_an_own_order_while_nothing_else_moves(
    start_server, open_page, five, admin_user, meanwhile
):
    """On a paused page, and beside an open editor, a value goes where it is moved, at each step."""
    page = await open_page(f"{start_server().url}/?sort=own", user=admin_user, **ENGLISH)
    await standing(page, "live")
    await listen(page)
    if meanwhile == "paused":
        await page.locator("#pause").click()
    else:
        await open_editor(page, "pump.b")
    await hold(page, "fan.a", "fan.c")
    await order(page, "fan.b", "fan.c", "fan.a", "pump.a", "pump.b")
    await page.mouse.up()
    await hears(page, "Position 3 of 3 in fan.")
    await grip(page, "fan.a").press("Enter")
    await page.keyboard.press("ArrowLeft")
    await order(page, "fan.b", "fan.a", "fan.c", "pump.a", "pump.b")
    await page.keyboard.press("ArrowLeft")
    await order(page, "fan.a", "fan.b", "fan.c", "pump.a", "pump.b")
    await page.keyboard.press("Escape")
    await order(page, "fan.b", "fan.c", "fan.a", "pump.a", "pump.b")
    await expect(page.locator("#grid .editor:visible")).to_have_count(int(meanwhile == "edited"))


async def test_an_own_order_by_two_clicks(start_server, open_page, five):
    """Who can't drag clicks the grip of one, then of the one whose place it is to take."""
    page = await open_page(f"{start_server().url}/?sort=own", **ENGLISH)
    await grip(page, "fan.c").click()
    await grip(page, "fan.a").click()
    await order(page, "fan.c", "fan.a", "fan.b", "pump.a", "pump.b")
    await expect(page.locator("#grid .moving")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_moving_is_in_reach_of_all(start_server, open_page, five, scheme):
    """axe finds no violation while a value is moved, among tiles and in the table."""
    options = {**ENGLISH, "color_scheme": scheme, "bypass_csp": True}
    page = await open_page(f"{start_server().url}/?sort=own", **options)
    await standing(page, "live")
    for _ in range(2):
        await grip(page, "fan.b").press("Enter")
        await expect(page.locator("#grid .moving")).to_have_count(1)
        assert await violations(page) == []
        await page.get_by_role("button", name="Table").click()


@pytest.fixture
def pasts(transactional_db):
    """Two numbers with a past of ten minutes, and a text."""
    begin = int(time.time()) - 600
    rows = [FloatValue.objects.create(name="pump.pressure", unit="bar")]
    rows.append(IntegerValue.objects.create(name="fan.rpm"))
    TextValue.objects.create(name="pump.note")
    Sample.objects.all().delete()
    for factor, row in enumerate(rows, start=1):
        kept(row, [(begin + 10 * at, (at % 7) * factor) for at in range(60)])
    return rows


async def test_a_chart_is_zoomed_in_and_out(start_server, open_page, pasts):
    """Dragging shows a part; buttons, keys and a double click lead out again."""
    server = start_server()
    address = f"{server.url}/?value=floatval/{pasts[0].pk}"
    page = await open_page(address, **ENGLISH)
    chart = page.locator("#chart")
    await expect(chart.locator("canvas")).to_be_visible()
    reset = page.get_by_role("button", name="Reset")
    await expect(reset).to_be_hidden()

    async def reach():
        """How many seconds are shown."""
        begin, end = (
            await page.evaluate("new URLSearchParams(location.search).get('range')")
        ).split(":")
        return int(end) - int(begin)

    box = await chart.locator(".u-over").bounding_box()
    await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50, steps=5)
    await page.mouse.up()
    await expect(reset).to_be_visible()
    zoomed = await reach()
    assert 700 < zoomed < 760
    await page.get_by_role("button", name="Zoom out").click()
    assert 1400 <= await reach() <= 2 * zoomed + 2
    await chart.press("+")
    assert 690 <= await reach() <= zoomed + 2
    await chart.press("-")
    await chart.press("-")
    assert await reach() > 2500
    await chart.press("0")
    await expect(page).to_have_url(address)
    await page.get_by_role("button", name="15m").click()
    await page.get_by_role("button", name="Zoom in").click()
    await expect(reset).to_be_visible()
    await chart.locator(".u-over").dblclick()
    await expect(page).to_have_url(f"{address}&range=15m")
    await expect(reset).to_be_hidden()


#: Counts who waits for the numbers to be opened.
COUNTED = """
const add = EventTarget.prototype.addEventListener;
window.waiting = 0;
EventTarget.prototype.addEventListener = function (type, ...rest) {
  if (type === "toggle" && this.matches(".numbers")) window.waiting++;
  return add.call(this, type, ...rest);
};
"""


async def test_pasts_that_nobody_reads_are_not_kept(start_server, open_page, pasts):
    """Numbers that stay closed keep no past but the newest, which is there once they are opened."""
    floats = f"floatval/{pasts[0].pk}"
    url = f"{start_server().url}/?value={floats}&range=15m"
    page = await open_page(url, prepare=lambda page: page.add_init_script(COUNTED), **ENGLISH)
    await expect(page.locator("#chart canvas")).to_be_visible()
    for name in ("1h", "6h", "24h"):
        async with page.expect_response(f"**/{floats}/history/?*"):
            await page.get_by_role("button", name=name, exact=True).click()
    await page.get_by_text("As numbers").click()
    await expect(page.locator("#panel tbody tr")).not_to_have_count(0)
    assert await page.evaluate("window.waiting") == 1


async def test_what_is_fetched_late_is_offered_when_it_is_there(start_server, open_page, pasts):
    """Neither grips nor the field of what to compare can be used before there is who minds them,
    and no chart is drawn without its styles, where the pointer would miss its parts."""
    fetched = asyncio.Event()

    async def held(route):
        await fetched.wait()
        await route.continue_()

    async def prepare(page):
        for late in ("dashboard/mover.js", "dashboard/compare.js", "uplot/*.css"):
            await page.route(f"**/{late}", held)

    url = f"{start_server().url}/?sort=own&value=floatval/{pasts[0].pk}"
    page = await open_page(url, prepare=prepare, **ENGLISH)
    await page.get_by_text("Compare", exact=True).click()
    other = page.get_by_label("With another value")
    await expect(other).to_be_visible()
    await expect(other).to_be_disabled()
    await expect(tile(page, "fan.rpm")).to_be_visible()
    await expect(grip(page, "fan.rpm")).to_be_hidden()
    await page.wait_for_function("() => window.uPlot")
    await expect(page.locator("#chart canvas")).to_have_count(0)
    fetched.set()
    await expect(page.locator("#chart canvas")).to_be_visible()
    await expect(other).to_be_enabled()
    await expect(grip(page, "fan.rpm")).to_be_visible()


async def test_charts_share_one_cursor(start_server, open_page, pasts):
    """What is compared has a chart with the same cursor: by mouse and keys it reads all."""
    # A stretch that ends: of one that goes on, each chart is drawn anew when its own answer comes.
    end = int(time.time())
    address = f"{start_server().url}/?value=floatval/{pasts[0].pk}&range={end - 900}:{end}"
    page = await open_page(address, **ENGLISH)
    await page.get_by_text("Compare", exact=True).click()
    other = page.get_by_label("With another value")
    await other.fill("pump.note")
    await other.press("Enter")
    await expect(page.locator("#compared li")).to_have_count(0)
    await other.fill("fan.rpm")
    await other.press("Enter")
    second = page.locator("#compared figure")
    await expect(second.locator("canvas")).to_be_visible()
    await page.locator("#chart .u-over").hover()
    readout = page.locator("#chart-readout")
    await expect(readout).to_contain_text("pump.pressure")
    await expect(readout).to_contain_text("fan.rpm")
    together = """() => {
      const [first, theirs] = [...document.querySelectorAll(".u-cursor-x")].map(
        (one) => one.getBoundingClientRect().x);
      return Math.abs(first - theirs) < 2;
    }"""
    await page.wait_for_function(together)
    before = await readout.text_content()
    await second.press("Home")
    await page.wait_for_function(
        "(before) => document.querySelector('#chart-readout').textContent !== before", arg=before
    )
    await expect(readout).to_contain_text("fan.rpm")
    await page.wait_for_function(together)
    await expect(page).to_have_url(f"{address}&with=intval/{pasts[1].pk}")
    await page.reload()
    await expect(page.locator("#compared figure canvas")).to_be_visible()
    await page.get_by_role("button", name="Compare fan.rpm no longer").click()
    await expect(page.locator("#compared li")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_comparing_is_in_reach_of_all(start_server, open_page, pasts, scheme):
    """axe finds no violation beside compared charts."""
    query = f"?value=floatval/{pasts[0].pk}&with=intval/{pasts[1].pk}"
    options = {**ENGLISH, "color_scheme": scheme, "bypass_csp": True}
    page = await open_page(f"{start_server().url}/{query}", **options)
    await expect(page.locator("#compared figure canvas")).to_be_visible()
    await expect(page.locator("#panel-changes li").first).to_be_visible()
    assert await violations(page) == []
