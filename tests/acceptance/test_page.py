"""What the page looks like: at once, in each colour scheme, on a phone, without values."""

import pytest
from playwright.async_api import expect

from tests.acceptance.dashboard import shows, standing, tile
from tests.acceptance.test_house import colours
from values.models import IntegerValue

#: In place of the websocket: one that never gets anywhere.
NO_WEBSOCKET = "window.WebSocket = class { close() {} };"
#: The tiles at the first frame that could be painted.
FIRST_FRAME = """requestAnimationFrame(() => {
  window.atFirst = [...document.querySelectorAll(".tile .value")].map((value) => value.textContent);
});"""
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def rows(transactional_db):
    rows = {"pump": 1482, "a long name" + " of a value" * 8: -(10**15), "<b>&": 0}
    IntegerValue.objects.bulk_create(IntegerValue(name=n, value=v) for n, v in rows.items())
    return rows


async def blocked(page):
    await page.add_init_script(NO_WEBSOCKET + FIRST_FRAME)


async def test_rows_are_there_at_the_first_paint(start_server, open_page, rows):
    """The served page carries its rows: they need no websocket, and say so when it stays away."""
    page = await open_page(start_server("daphne").url, prepare=blocked)
    await page.wait_for_function("() => window.atFirst")  # Perhaps the page was loaded before it.
    assert len(await page.evaluate("window.atFirst")) == len(rows)
    await shows(page, rows)
    await standing(page, "offline")
    await expect(page.locator("#status")).to_have_text("◆ Offline")


async def test_light_and_dark(start_server, open_page, rows):
    """The page follows the system's colour scheme, and text stands out from its ground."""
    server = start_server()
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for scheme in ("light", "dark"):
        page = await open_page(server.url, color_scheme=scheme)
        await standing(page, "live")
        seen.add(await page.evaluate(ground))
        assert colours(await page.screenshot()) > 8
    assert seen == {"rgb(246, 247, 249)", "rgb(14, 17, 22)"}


@pytest.mark.parametrize("width", [320, 390, 480])
async def test_a_phone_needs_no_sideways_scrolling(
    start_server, open_page, admin_user, rows, width
):
    """At a phone's width nothing sticks out, and a visitor's head is one row in every state."""
    server = start_server()
    phone = PHONE | {"viewport": {"width": width, "height": 844}}
    fits = "document.documentElement.scrollWidth <= innerWidth"
    for user in (None, admin_user):
        page = await open_page(server.url, user=user, **phone)
        await standing(page, "live")
        assert await page.evaluate(fits)
    page = await open_page(server.url, **phone)
    await standing(page, "live")
    height = (await page.locator("header").bounding_box())["height"]
    assert height < 70
    server.kill()
    await standing(page, "reconnecting", "offline")
    assert (await page.locator("header").bounding_box())["height"] == height
    assert await page.evaluate(fits)


#: Is the control where a finger is that touches its place 43 pixels from its begin?
FOUND = """(control) => {
  const { left, top, height } = control.getBoundingClientRect();
  return control.contains(document.elementFromPoint(left + 43, top + height / 2));
}"""


async def test_a_finger_finds_every_control(start_server, open_page, admin_user, rows):
    """On a touch screen each control is there without hovering and is 44 pixels large; a number
    that is shorter is found that far from its begin."""
    page = await open_page(start_server().url, user=admin_user, **PHONE)
    await tile(page, "pump").locator("button.value").tap()
    await expect(tile(page, "pump").locator(".editor input")).to_be_visible()
    for control in await page.locator("button:visible, .actions a:visible").all():
        box = await control.bounding_box()
        small = f"{await control.evaluate('(element) => element.outerHTML')}: {box}"
        if "value" in (await control.get_attribute("class")).split():
            await control.scroll_into_view_if_needed()
            assert await control.evaluate(FOUND), small
        else:
            assert box["height"] >= 44, small
            assert box["width"] >= 44, small


async def test_without_values_the_page_says_what_to_do(start_server, open_page, admin_user):
    """No rows are told from rows that aren't there yet; staff can add the first here."""
    server = start_server()
    visitor = await open_page(server.url)
    await expect(visitor.locator("#empty")).to_contain_text("manage.py feed_system")
    page = await open_page(server.url, user=admin_user)
    await standing(page, "live")
    await page.locator("#empty").get_by_role("button", name="Add value").click()
    await page.locator("#add-name").fill("pump")
    await page.keyboard.press("Enter")
    for one in (page, visitor):
        await shows(one, {"pump": 0})
        await expect(one.locator("#empty")).to_be_hidden()
