"""`scripts/screenshots`: the README's pictures, taken of the running product.

A server of its own, on a database of its own with the values of a small plant (always the same,
with the same past), a real Chromium. As long as the page's sources are those of the last time, a
picture that is what it was, but for times of day and the edges of lines, is left as it is.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import math
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import async_playwright, expect

from tests.servers import CHECKOUT, PATIENCE, Server, environment

FOLDER = CHECKOUT / "docs" / "pictures"
MADE = FOLDER / "made.json"
#: What each shows, by the name of its file.
PICTURES = {
    "dashboard-light": "The dashboard: values of a plant in groups, live",
    "dashboard-dark": "The dashboard in dark, beside the tiles one value's past and who changed it",
    "dashboard-phone": "The dashboard on a phone",
    "admin-conflict": "Django's admin asks whose change is to be kept",
}
#: All of them together, in bytes: a README is opened by telephone, too.
MOST = 450_000
#: What the pictures show: when it has changed since, they may be stale.
SOURCES = ("frontend/dashboard", "frontend/databinding/admin", "dashboard/templates/dashboard")
#: Times of day and the last points of lines differ from run to run, and are no reason for other
#: pictures of the same page (share of a picture).
TOLERANCE = 0.03

DESKTOP = {"viewport": {"width": 1200, "height": 750}}
PHONE = {"viewport": {"width": 390, "height": 750}, "is_mobile": True, "has_touch": True}
#: The share of pixels that are seen to differ between two PNGs.
DIFFERENCE = """async (both) => {
  const [one, other] = await Promise.all(both.map(async (png) => {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    canvas.drawImage(bitmap, 0, 0);
    return canvas.getImageData(0, 0, bitmap.width, bitmap.height);
  }));
  if (one.width !== other.width || one.height !== other.height) return 1;
  let differ = 0;
  const apart = (at) => Math.abs(one.data[at] - other.data[at]) > 32;
  for (let at = 0; at < one.data.length; at += 4)
    if (apart(at) || apart(at + 1) || apart(at + 2)) differ++;
  return (4 * differ) / one.data.length;
}"""


# The plant

#: Numbers: how each is shown, its mean, how far it swings, in how many minutes.
NUMBERS = {
    "boiler.pressure": ({"unit": "bar", "minimum": 0, "maximum": 4, "warn_high": 3}, 2.4, 0.35, 23),
    "boiler.temperature": ({"unit": "°C", "decimals": 1, "warn_high": 78}, 76, 5, 17),
    "boiler.starts": ({}, 38, 0, 60),
    "grid.frequency": ({"unit": "Hz"}, 49.99, 0.03, 7),
    "grid.power": ({"unit": "kW"}, 3.8, 1.6, 29),
    "grid.voltage": ({"unit": "V", "decimals": 1, "minimum": 200, "maximum": 260}, 231, 3, 11),
    "pump.flow": ({"unit": "l/min", "decimals": 1}, 42.7, 6, 13),
    "pump.rpm": ({"unit": "rpm", "warn_high": 1500, "critical_high": 1700}, 1420, 160, 19),
    "pump.tank_level": ({"unit": "%", "minimum": 0, "maximum": 100, "warn_low": 20}, 63, 18, 47),
}
INTEGERS = {"boiler.starts", "pump.rpm", "pump.tank_level"}
STATES = {"boiler.burner": ({}, True), "pump.door_open": ({"critical_on": "yes"}, True)}
TEXTS = {"pump.note": "Bearing replaced; watch the temperature"}
#: A source that has been silent for a while.
SILENT = "boiler.outside"
#: Of those in sight on every page.
LAST = "boiler.starts"
STEP, PAST = 5, 75 * 60


def reading(name, ago):
    """What a number of the plant was so many seconds ago: always the same."""
    _, mean, swing, minutes = NUMBERS[name]
    noise = random.Random(f"{name} {ago}").uniform(-1, 1)
    wave = math.sin(2 * math.pi * (len(name) / 9 - ago / (60 * minutes)))
    return mean + swing * (0.85 * wave + 0.15 * noise)


def fill():
    """The plant, with a past of more than an hour, and two who work there."""
    from django.contrib.auth.models import User

    from tests.values.past import kept
    from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

    now = time.time()
    fresh = {"expected_interval": 60, "reported_at": datetime.fromtimestamp(now, UTC)}
    for name, (shown, *_) in NUMBERS.items():
        model, whole = (IntegerValue, round) if name in INTEGERS else (FloatValue, float)
        row = model.objects.create(name=name, value=whole(reading(name, 0)), **shown, **fresh)
        agos = range(PAST, STEP, -STEP if NUMBERS[name][2] else -PAST)
        kept(row, [(now - ago, whole(reading(name, ago))) for ago in agos])
    for name, (shown, state) in STATES.items():
        BooleanValue.objects.create(name=name, value=not state, **shown)
    TextValue.objects.create(name="pump.note")
    silent = fresh["reported_at"] - timedelta(minutes=12)
    row = FloatValue.objects.create(
        name=SILENT, value=8.4, unit="°C", decimals=1, expected_interval=5, reported_at=silent
    )
    kept(row, [(now - PAST, 7.9), (now - 2000, 8.1), (now - 900, 8.4)])
    for name in ("ana", "bo"):
        User.objects.create_superuser(name, first_name=name.title(), password=None)


def report():
    """All of it is reported once more, after pages have been opened; and Ana sets the pump."""
    from django.contrib.auth.models import User

    from databinding.acting import acting
    from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

    for name, (shown, *_) in NUMBERS.items():
        model = IntegerValue if name in INTEGERS else FloatValue
        digits = 0 if name in INTEGERS else shown.get("decimals", 2)
        model.objects.filter(name=name).update(value=round(reading(name, -STEP), digits))
    for name, (_, state) in STATES.items():
        BooleanValue.objects.filter(name=name).update(value=state)
    TextValue.objects.filter(name="pump.note").update(value=TEXTS["pump.note"])
    for who, value in (("bo", 1480), ("ana", 1525)):
        with acting(User.objects.get(username=who)):
            IntegerValue.objects.filter(name="pump.rpm").update(value=value)
    # The last one: pages that show it show all.
    IntegerValue.objects.filter(name=LAST).update(value=39)


# The pictures


class Studio:
    """A browser before the running product."""

    def __init__(self, browser, url):
        self._browser = browser
        self._url = url
        self.taken = {}

    async def open(self, path="/", user="ana", **options):
        context = await self._browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        await context.add_cookies([await asyncio.to_thread(session_cookie, user, self._url)])
        page = await context.new_page()
        await page.goto(self._url + path)
        await page.wait_for_function(
            "() => (document.body.dataset.standing ?? document.body.dataset.live) === 'live'"
        )
        return page

    async def take(self, page, name):
        await page.mouse.move(0, 0)
        # Flashes have faded, lines and charts have their points.
        await page.wait_for_load_state("networkidle")
        await page.evaluate(
            "() => Promise.all(document.getAnimations().map(({ finished }) => finished))"
        )
        self.taken[name] = await page.screenshot()
        await page.context.close()

    async def of_the_dashboard(self):
        light = await self.open(**DESKTOP)
        dark = await self.open(color_scheme="dark", **DESKTOP)
        await dark.get_by_role("link", name="pump.rpm").click()
        await expect(dark.locator("#chart canvas")).to_be_visible()
        phone = await self.open(**PHONE)
        await asyncio.to_thread(report)
        for page in (light, dark, phone):
            await expect(page.locator(".tile", has_text=LAST)).to_contain_text("39")
        await expect(dark.locator("#panel-changes")).to_contain_text("by ana")
        # The chart asks again soon.
        async with dark.expect_response("**/history/?**"):
            pass
        for name, page in (("light", light), ("dark", dark), ("phone", phone)):
            await self.take(page, f"dashboard-{name}")

    async def of_the_admin(self):
        from values.models import IntegerValue

        row = await IntegerValue.objects.aget(name="pump.rpm")
        form = f"/admin/values/integervalue/{row.pk}/change/"
        mine = await self.open(form, user="ana", **DESKTOP)
        theirs = await self.open(form, user="bo", **DESKTOP)
        await mine.fill("#id_value", "1480")
        await theirs.fill("#id_value", "1500")
        await theirs.click("[name=_continue]")
        await expect(mine.locator(".field-value .live-mark")).to_contain_text("now 1500")
        await mine.press("#id_value", "Enter")
        await expect(mine.get_by_role("group", name="Value")).to_be_visible()
        await mine.wait_for_function("() => document.body.dataset.live === 'live'")
        await self.take(mine, "admin-conflict")


def session_cookie(user, url):
    """What a browser holds after this user has logged in."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get(username=user))
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": url}


async def take(url):
    """The pictures by name, and of each by how much it differs from the one that is there."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"]
        )
        expect.set_options(timeout=PATIENCE * 1000)
        studio = Studio(browser, url)
        await studio.of_the_dashboard()
        await studio.of_the_admin()
        page = await browser.new_page()
        differences = {}
        for name, png in studio.taken.items():
            held = FOLDER / f"{name}.png"
            differences[name] = 1
            if held.exists():
                both = [base64.b64encode(one).decode() for one in (png, held.read_bytes())]
                differences[name] = await page.evaluate(DIFFERENCE, both)
        await browser.close()
    return studio.taken, differences


def make():
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "plant.sqlite3"))
        os.environ.update(environment(database, SECRET_KEY="pictures", ASKING_RATE=""))
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        fill()
        connections.close_all()
        server = Server("uvicorn", database, SECRET_KEY="pictures", ASKING_RATE="")
        server.start()
        try:
            taken, differences = asyncio.run(take(server.url))
        finally:
            server.close()
    FOLDER.mkdir(exist_ok=True)
    now = sources()
    known = MADE.exists() and json.loads(MADE.read_text())["sources"] == now
    for name, png in taken.items():
        new = differences[name] > (TOLERANCE if known else 0)
        if new:
            (FOLDER / f"{name}.png").write_bytes(png)
        said = "new" if new else f"as it was ({100 * differences[name]:.1f} % differ)"
        print(f"{name}.png: {said}, {(FOLDER / f'{name}.png').stat().st_size // 1024} KiB")
    for stranger in {path.stem for path in FOLDER.glob("*.png")} - set(PICTURES):
        (FOLDER / f"{stranger}.png").unlink()
    said = {"made": datetime.now(UTC).date().isoformat(), "sources": now}
    MADE.write_text(json.dumps(said, indent=2) + "\n")


def sources():
    """A digest of all that the pictures show."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if path.suffix in (".js", ".css", ".svg", ".html"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def check():
    """Whether what they show is still what they were taken of."""
    made = json.loads(MADE.read_text())
    if made["sources"] == sources():
        print(f"The pictures of {made['made']} are of these sources.")
        return 0
    print(
        f"The pictures of {made['made']} are of other sources: run scripts/screenshots, and look."
    )
    return 1


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name + '.png':22}{what}" for name, what in PICTURES.items()),
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether page or admin have changed since"
    )
    options = parser.parse_args()
    if options.check:
        sys.exit(check())
    make()


if __name__ == "__main__":
    main()
