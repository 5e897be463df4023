"""How a page looks in a state: to axe, and to whoever looks at its pictures.

page = await open_page(address, **OPTIONS)
await looked_at(page, "empty")      # with STATES=/tmp/states in the environment it leaves pictures
"""

import os

from tests.acceptance import axe

FOLDER = os.environ.get("STATES")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
OPTIONS = {"viewport": DESKTOP, "bypass_csp": True, "locale": "en-US"}
FITS = "() => document.documentElement.scrollWidth <= innerWidth"


async def looked_at(page, name):
    """In light and dark axe finds nothing, neither on a phone, where nothing sticks out."""
    for width, place in ((DESKTOP, ""), (PHONE, "-phone")):
        await page.set_viewport_size(width)
        await page.wait_for_function(FITS)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await axe.violations(page) == [], (name, place, scheme)
            await picture(page, f"{name}{place}-{scheme}")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(DESKTOP)


async def picture(page, name):
    if FOLDER:
        await page.screenshot(path=f"{FOLDER}/{name}.png")
