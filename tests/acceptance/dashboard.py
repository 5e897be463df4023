"""What the tests see and do on the dashboard.

page = await open_page(server.url)
await shows(page, {"pump": 1})          # waits until the tiles are these, no more and no less
await edit(page, "pump", "2")           # types it over the number, Enter
await standing(page, "live")            # waits for the connection to be in this state
await listen(page)                      # from now on it remembers what screen readers are told
await hears(page, "pump saved: 2.")     # waits until they were told this, however short it stood
await watch(page, MARKED)               # from now on it remembers what this function returns
await saw(page)                         # waits until it returned anything, and returns it
"""

import asyncio
import json
import time

from asgiref.sync import sync_to_async
from playwright.async_api import TimeoutError as PlaywrightTimeout
from playwright.async_api import expect

from tests.servers import PATIENCE
from values.models import IntegerValue

#: The tiles as {name: number}; thousands apart, minus as it is printed.
TILES = """() => Object.fromEntries([...document.querySelectorAll(".tile")].map((tile) => [
  tile.querySelector(".name").textContent,
  Number(tile.querySelector(".value").textContent.replaceAll(",", "").replace("\\u2212", "-")),
]))"""
EQUAL = f"""(expected) => {{
  const shown = ({TILES})();
  const names = Object.keys(expected);
  return Object.keys(shown).length === names.length
    && names.every((name) => shown[name] === expected[name]);
}}"""


async def shows(page, values):
    """Wait until the page shows these values and no others."""
    try:
        await page.wait_for_function(EQUAL, arg=values, timeout=PATIENCE * 1000)
    except PlaywrightTimeout:
        assert await page.evaluate(TILES) == values


async def shows_the_database(*pages):
    """Wait until the pages show what the database holds; nobody may be writing."""
    stored = await in_database()
    for page in pages:
        await shows(page, stored)


@sync_to_async
def in_database():
    return dict(IntegerValue.objects.values_list("name", "value"))


async def standing(page, *words):
    """Wait until the page says one of these of its connection; return which."""
    await page.wait_for_function(
        "(words) => words.includes(document.body.dataset.standing)",
        arg=words,
        timeout=PATIENCE * 1000,
    )
    return await page.evaluate("document.body.dataset.standing")


async def listen(page):
    """Have the page remember what screen readers are told: the next words take its place."""
    await page.evaluate(
        """() => {
          const region = document.querySelector("#announcer");
          window.heard = region.textContent;
          new MutationObserver(() => (window.heard += `${region.textContent}\\n`))
            .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )


async def hears(page, text):
    """Wait until they were told this, after what was waited for before."""
    await page.wait_for_function(
        """(text) => {
          const at = window.heard.indexOf(text);
          if (at !== -1) window.heard = window.heard.slice(at + text.length);
          return at !== -1;
        }""",
        arg=text,
    )


async def watch(page, look, root="document"):
    """Have the page remember the first that this function returns, but nothing, at any change
    under that root: what is there for a moment isn't missed, however slow the machine is."""
    await page.evaluate(
        f"""() => {{
          const look = {look};
          window.seen = look();
          new MutationObserver(() => (window.seen ||= look()))
            .observe({root}, {{ attributes: true, childList: true, characterData: true,
                                subtree: true }});
        }}"""
    )


async def saw(page):
    """Wait until it returned something; return that."""
    return await (await page.wait_for_function("() => window.seen")).json_value()


async def until(condition):
    """Wait for what only asking again and again can tell."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, f"{condition.__name__}: it did not become true."
        await asyncio.sleep(0.02)


def tile(page, name):
    return page.locator(".tile").filter(has=page.get_by_role("heading", name=name, exact=True))


async def edit(page, name, text):
    """Type this over the number, and Enter."""
    await open_editor(page, name)
    await page.keyboard.insert_text(text)
    await page.keyboard.press("Enter")


async def open_editor(page, name):
    """Click the number; the editor stands open with its text selected."""
    await tile(page, name).locator("button.value").click()
    await expect(tile(page, name).locator(".editor input")).to_be_focused()


async def tab_to(page, target):
    """Press Tab until the target has the focus, as somebody without a mouse would."""
    await expect(target).to_be_visible()
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await target.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"Tab doesn't reach {target}.")


class Frames:
    """What the server sent on a page's websockets: `open_page(url, prepare=frames.listen)`."""

    def __init__(self):
        self.received = []

    async def listen(self, page):
        page.on("websocket", lambda socket: socket.on("framereceived", self._take))

    def _take(self, text):
        if text != "pong!":
            self.received.append(json.loads(text))

    def resumed(self):
        """Of each subscription to the integers so far, whether it was resumed."""
        payloads = [frame["payload"] for frame in self.received if frame["stream"] == "intval"]
        return [one["data"]["resumed"] for one in payloads if one["action"] == "subscribe"]

    async def subscriptions(self, count):
        """Wait until so many subscriptions have been answered."""

        async def answered():
            return len(self.resumed()) >= count

        await until(answered)

    async def row(self, **data):
        """Wait until a batch has brought a row of the integers that holds this."""

        async def brought():
            rows = [
                event.get("data") or {}
                for frame in self.received
                if frame["stream"] == "intval"
                for event in frame["payload"].get("events", [])
            ]
            return any(data.items() <= row.items() for row in rows)

        await until(brought)
