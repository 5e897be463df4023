"""The live elements in a browser: on the page that shows each, in every state, for everybody."""

import re
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.async_api import expect

from tests.acceptance import axe
from tests.acceptance.dashboard import saw, watch
from values.models import IntegerValue, Sample

MINUS = "\N{MINUS SIGN}"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
#: A chart's line, of whatever course.
DRAWN = re.compile("^M")
#: Counts the websockets that a page opens.
COUNTED = """window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); window.sockets.push(given[0]); }
};"""


@pytest.fixture
def values(transactional_db):
    return [
        IntegerValue.objects.create(name=name, value=value, unit="rpm")
        for name, value in (("fan", 7), ("pump", 1482))
    ]


@pytest.fixture
def open_elements(start_server, open_page):
    async def open_elements(**options):
        open_elements.server = start_server()
        page = await open_page(f"{open_elements.server.url}/elements/", **options)
        await page.wait_for_selector('live-table[data-state="live"]')
        return page

    return open_elements


@sync_to_async
def change(name, **said):
    return IntegerValue.objects.filter(name=name).update(**said)


async def put(page, html):
    """Only these elements in the page; the first of them."""
    await page.evaluate("(html) => (document.querySelector('main').innerHTML = html)", html)
    return page.locator("main > *").first


async def counted(page):
    await page.add_init_script(COUNTED)


async def test_each_element_follows(open_elements, values):
    """A bulk statement shows in sentence, chart and table, over one connection."""
    page = await open_elements(prepare=counted)
    value, chart, table = (
        page.locator(f"live-{kind}").first for kind in ("value", "chart", "table")
    )
    await expect(value).to_have_text("fan: 7 rpm")
    await change("fan", value=-1500)
    await expect(value).to_have_text(f"fan: {MINUS}1,500 rpm")
    await expect(chart.locator("figcaption")).to_have_text("fan:")
    await expect(chart).to_contain_text(f"from {MINUS}1,500 to 7 in the last 2 min")
    await expect(chart.locator("[part=line]")).to_have_attribute("d", re.compile("V"))
    await expect(table.locator("tbody tr").first).to_have_text(f"fan{MINUS}1,500")
    assert len(await page.evaluate("window.sockets")) == 1


async def test_rows_are_there_at_once(start_server, open_page, values):
    """With `live_rows` in the page value and chart show them before any websocket is there."""

    async def blocked(page):
        await page.add_init_script("window.WebSocket = class { close() {} };")

    page = await open_page(f"{start_server().url}/elements/", prepare=blocked)
    await expect(page.locator("live-value").first).to_contain_text("7")
    # This one asks for no history.
    await expect(page.locator(".themed live-chart [part=line]")).to_have_attribute("d", DRAWN)


async def test_a_chart_that_comes_later_begins_with_what_is_there(open_elements, values):
    """Put into a page whose stream is live already, a chart draws the value that it has."""
    page = await open_elements()
    chart = await put(page, f'<live-chart stream="intval" pk="{values[1].pk}"></live-chart>')
    await expect(chart).to_contain_text("from 1,482 to 1,482")
    await expect(chart.locator("[part=line]")).to_have_attribute("d", DRAWN)


@pytest.mark.parametrize("wrong", [86_400_000, -86_400_000])
async def test_the_past_is_there_where_the_clock_is_wrong(open_elements, values, wrong):
    """A chart's past is that of the last minutes, whatever the browser takes for the time."""

    async def prepare(page):
        await page.add_init_script(f"const now = Date.now; Date.now = () => now() + {wrong};")

    await sync_to_async(Sample.objects.update)(time=timezone.now() - timedelta(minutes=1))
    await change("fan", value=42)
    # What is asked with that time may be refused, as it is in the future.
    refused = "Failed to load resource: the server responded with a status of 400"
    page = await open_elements(prepare=prepare, amiss=[refused])
    chart = page.locator("live-chart[history]").first
    await expect(chart).to_contain_text("from 7 to 42 in the last 2 min")


async def test_an_outage_is_said_and_made_good(open_elements, values):
    """Offline, each says so with an icon and a word; then it shows what it missed: a chart that
    knows who tells the past without a gap, another one with it."""
    page = await open_elements()
    server, value = open_elements.server, page.locator("live-value").first
    server.kill()
    for kind in ("value", "chart", "table"):
        await expect(page.locator(f"live-{kind}").first).to_contain_text("◆ Offline since")
    await expect(value).to_contain_text("7")
    await change("fan", value=8)
    await sync_to_async(server.start)()
    await expect(value).to_have_text("fan: 8 rpm")
    for history, course in (("[history]", "^M[^M]+$"), (":not([history])", "M.*M")):
        line = page.locator(f"live-chart{history} [part=line]")
        await expect(line).to_have_attribute("d", re.compile(course))


async def test_who_is_logged_out_sees_nothing_any_more(open_elements, values):
    """No element keeps what it showed, nor does one that comes later; and it is said, once."""
    ana = await sync_to_async(User.objects.create_user)("ana")
    page = await open_elements(user=ana)
    value, chart, table = (
        page.locator(f"live-{kind}").first for kind in ("value", "chart", "table")
    )
    await expect(chart.locator("[part=line]")).to_have_attribute("d", DRAWN)
    await table.hover()  # While somebody is at it rows stay, else.
    await Session.objects.all().adelete()
    for element in (value, chart, table):
        await expect(element).to_contain_text("\N{CIRCLED DIVISION SLASH} Log in to see this")
        await expect(element).not_to_contain_text(re.compile("7|1,482"))
    await expect(chart.locator("[part=line]")).to_have_attribute("d", "")
    await expect(table.locator("tbody tr")).to_have_count(0)
    said = page.get_by_role("status")
    await expect(said).to_have_text("You have been logged out. Log in again to see live values.")
    late = await put(page, f'<live-value stream="intlimits" pk="{values[0].pk}"></live-value>')
    await expect(late).to_have_text("\N{CIRCLED DIVISION SLASH} Log in to see this")


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<live-value stream="intval" pk="-1"></live-value>', "\N{EN DASH} Not there"),
        ('<live-value stream="nothing" pk="1"></live-value>', "◆ There is no such stream."),
        ('<live-value pk="1"></live-value>', "◆ The attribute stream is missing"),
        ('<live-value stream="intval" pk="{pk}" field="x"></live-value>', "◆ No field x"),
        ('<live-chart stream="intval" pk="{pk}" field="name"></live-chart>', "◆ name is no number"),
        (
            '<live-table stream="intval" params="["></live-table>',
            "◆ The attribute params is no JSON",
        ),
        (
            '<live-value stream="intval" pk="{pk}" stale-after="0.1"></live-value>',
            "◷ Unchanged since",
        ),
        (
            '<live-value stream="admin:values.textvalue" url="/admin/live/"></live-value>',
            "⊘ Log in to see this",
        ),
    ],
)
async def test_what_is_amiss_has_an_icon_and_a_word(open_elements, values, html, said):
    """Each state is told apart without colour, and says what to do where there is something."""
    page = await open_elements()
    element = await put(page, html.format(pk=values[0].pk))
    await expect(element).to_contain_text(said)


async def test_attributes_may_change(open_elements, values):
    """Another row, field or format is shown at once; out of the page, the stream is left."""
    page = await open_elements()
    element = await put(page, f'<live-value stream="intval" pk="{values[0].pk}"></live-value>')
    await expect(element).to_have_text("7")
    await element.evaluate("(element, pk) => element.setAttribute('pk', pk)", str(values[1].pk))
    await expect(element).to_have_text("1,482")
    await element.evaluate("(element) => element.setAttribute('format', 'number:2')")
    await expect(element).to_have_text("1,482.00")
    state = await page.evaluate(
        """async () => {
          const { shared } = await import("/static/databinding/elements.js");
          const stream = shared("/stream/").stream("intval");
          document.querySelector("live-value").remove();
          return new Promise((resolve) =>
            stream.on("state", ({ state }) => state === "closed" && resolve(state)));
        }"""
    )
    assert state == "closed"


async def test_rows_come_and_go_on_request_while_somebody_is_there(open_elements, values):
    """In a table that is pointed at or focused nothing moves until it is asked for, by keyboard."""
    page = await open_elements()
    table = page.locator("live-table")
    await table.locator("[role=region]").focus()
    await sync_to_async(IntegerValue.objects.create)(name="a new one", value=1)
    await change("fan", value=8)
    await expect(table.locator("[part=news]")).to_have_text(" 1 new")
    names = table.locator("tbody td:first-child")
    await expect(names).to_have_text(["fan", "pump"])
    await expect(table.locator("tbody tr").first).to_have_text("fan8")
    await page.keyboard.press("Tab")
    await expect(table.get_by_role("button", name="Apply")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(names).to_have_text(["a new one", "fan", "pump"])
    await expect(table.get_by_role("button")).to_have_count(0)
    await page.get_by_role("link", name="Live values").focus()
    await sync_to_async(IntegerValue.objects.filter(name="fan").delete)()
    await expect(names).to_have_text(["a new one", "pump"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_is_accessible(open_elements, values, scheme):
    """axe finds nothing wrong, connected or not."""
    page = await open_elements(color_scheme=scheme, bypass_csp=True)
    assert await axe.violations(page) == []
    open_elements.server.kill()
    await expect(page.locator("live-table")).to_contain_text("Offline since")
    assert await axe.violations(page) == []


async def test_a_phone_and_little_motion(open_elements, values):
    """Nothing sticks out on a phone, and a change is a dot where less motion is wanted."""
    page = await open_elements(reduced_motion="reduce", **PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shadow = "document.querySelector('live-value').shadowRoot"
    dot = f"""() => {{
      const changed = {shadow}.querySelector("[part=value].flash");
      return changed && getComputedStyle(changed, "::after").content;
    }}"""
    await watch(page, dot, shadow)
    await change("fan", value=8)
    assert await saw(page) == '" •"'


async def test_pages_style_them(open_elements, values):
    """Parts and custom properties reach into the elements."""
    page = await open_elements()
    themed = page.locator(".themed live-value [part=value]")
    assert await themed.evaluate("(one) => getComputedStyle(one).fontSize") == "28px"
    line = page.locator(".themed live-chart [part=line]")
    stroke = "(one) => getComputedStyle(one).stroke"
    other = page.locator("live-chart [part=line]").first
    assert await line.evaluate(stroke) != await other.evaluate(stroke)


async def test_many_changes_are_few_drawings(open_elements, values):
    """A value that changes all the time is drawn four times a second at most."""
    page = await open_elements()
    element = await put(page, f'<live-value stream="intval" pk="{values[0].pk}"></live-value>')
    await expect(element).to_have_text("7")
    drawn, seconds = await page.evaluate(
        """async (pk) => {
          const { shared } = await import("/static/databinding/elements.js");
          const { shadowRoot } = document.querySelector("live-value");
          const value = shadowRoot.querySelector("[part=value]");
          let drawn = 0;
          const observed = { childList: true, characterData: true, subtree: true };
          new MutationObserver(() => drawn++).observe(value, observed);
          const stream = shared("/stream/").stream("intval");
          const began = performance.now();
          const passed = () => (performance.now() - began) / 1000;
          for (let n = 0; passed() < 1 || drawn < 3; n++) {
            stream.emit("change", { created: [], updated: [{ pk }], deleted: [], reset: false });
            stream.rows.set(pk, { name: "fan", value: n });
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          return [drawn, passed()];
        }""",
        values[0].pk,
    )
    assert drawn <= 2 + 4 * seconds
