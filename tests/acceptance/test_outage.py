"""The server goes away under the page, by crash, restart or reload, and nothing is lost."""

import asyncio
import os
import re
import shutil
import subprocess
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import expect

from tests.acceptance.dashboard import (
    Frames,
    in_database,
    shows,
    shows_the_database,
    standing,
    until,
)
from tests.servers import CHECKOUT, PATIENCE, command, shell
from values.models import IntegerValue

#: Saves, creates, deletes and updates without end, until its input ends.
BUSY = """
import itertools, sys, threading
from django.db.models import F
from values.models import IntegerValue as V

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
for count in itertools.count():
    row, _ = V.objects.get_or_create(name=f"row {count % 7}")
    row.value = count
    row.save()
    V.objects.filter(name=f"row {count % 5}").delete()
    V.objects.filter(name="growing").update(value=F("value") + 1)
    if ended.wait(0.02):
        break
"""
#: A mark that a reload would wipe out, and a look at whether what only grows is seen to shrink.
WATCH = """() => {
  window.shrunk = [];
  let last = 0;
  const growing = [...document.querySelectorAll(".tile")].find((tile) =>
    tile.querySelector(".name").textContent === "growing").querySelector(".value");
  new MutationObserver(() => {
    const value = Number(growing.textContent.replaceAll(",", ""));
    if (value < last) window.shrunk.push([last, value]);
    last = value;
  }).observe(growing, { childList: true, characterData: true, subtree: true });
}"""
#: Are all tiles marked as of then, or none of them?
MARKED = """(marked) => {
  const ages = [...document.querySelectorAll(".tile .age")];
  return ages.length > 0 && ages.every((age) => age.textContent.includes("as of") === marked);
}"""


@asynccontextmanager
async def busy_writer(database):
    """Another process that writes all the while; when this is left, it has ended."""
    shell = ("shell", "--verbosity", "0", "--command", BUSY)
    with command(database, *shell, stdin=subprocess.PIPE) as process:
        try:
            await writes(1)
            yield
            _, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
            assert process.returncode == 0, errors
        finally:
            process.kill()


async def writes(count):
    """Wait until the busy writer has gone round this often from now."""
    goal = (await in_database())["growing"] + count

    async def written():
        return (await in_database())["growing"] >= goal

    await until(written)


@pytest.fixture
def frames():
    return Frames()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_killed_server_comes_back_under_the_page(
    kind, start_server, database, open_page, frames
):
    """While it is gone everything is marked; then the page resumes and ends equal, unreloaded."""
    await IntegerValue.objects.abulk_create(
        [IntegerValue(name="growing"), IntegerValue(name="quiet", value=42)]
    )
    server = start_server(kind)
    page = await open_page(server.url, prepare=frames.listen)
    await standing(page, "live")
    await page.evaluate(WATCH)

    async with busy_writer(database):
        server.kill()
        await standing(page, "reconnecting", "offline")
        await expect(page.locator("#banner")).to_contain_text("The numbers below are from then.")
        await page.wait_for_function(MARKED, arg=True)
        await writes(20)
        await asyncio.to_thread(server.start)
        await standing(page, "live")
        await writes(20)
    await shows_the_database(page)

    await expect(page.locator("#banner")).to_be_hidden()
    await page.wait_for_function(MARKED, arg=False)
    assert await page.evaluate("window.shrunk") == []
    assert frames.resumed() == [True] * len(frames.resumed())
    assert len(frames.resumed()) >= 2


async def test_a_line_has_no_gap_of_what_only_the_page_has_missed(start_server, open_page):
    """What values were while there was no connection is drawn once there is one; nobody who just
    came is told that they changed while he was away."""
    for name in ("held", "moved"):
        await IntegerValue.objects.acreate(name=name, value=1)
    server = start_server()

    async def slow_to_connect(page):
        async def connect(route):
            await IntegerValue.objects.filter(name="moved", value=1).aupdate(value=2)
            route.connect_to_server()

        await page.route_web_socket("**/stream/", connect)

    page = await open_page(server.url, prepare=slow_to_connect)
    await shows(page, {"held": 1, "moved": 2})
    tiles = page.locator(".tile")
    await expect(tiles.filter(has_text="moved").locator(".age")).to_have_text(
        re.compile("^changed (just now|.+ ago)$")
    )

    server.kill()
    await page.wait_for_function(MARKED, arg=True)
    for value in (3, 4):
        await IntegerValue.objects.filter(name="moved").aupdate(value=value)
    await asyncio.to_thread(server.start)
    await shows(page, {"held": 1, "moved": 4})
    await expect(tiles.filter(has_text="moved").locator(".age")).to_have_text("changed while away")
    for name in ("held", "moved"):
        line = tiles.filter(has_text=name).locator(".sparkline .line")
        await expect(line).to_have_attribute("d", re.compile("^M[^M]+$"))


async def test_a_page_that_was_away_for_too_long_gets_a_snapshot(
    start_server, database, open_page, frames
):
    """What the journal can't tell any more, a snapshot does; the page isn't reloaded either."""
    await IntegerValue.objects.abulk_create(
        IntegerValue(name=name) for name in ("growing", "going", "staying")
    )
    server = start_server()
    page = await open_page(server.url, prepare=frames.listen)
    await standing(page, "live")
    await page.evaluate(WATCH)

    server.kill()
    await IntegerValue.objects.filter(name="going").adelete()
    await IntegerValue.objects.acreate(name="coming", value=1)
    await IntegerValue.objects.filter(name="growing").aupdate(value=9)
    with command(database, "databinding_prune", "--retention", "0") as prune:
        printed, errors = await asyncio.to_thread(prune.communicate, timeout=PATIENCE)
    assert "keys dropped" in printed, errors
    await standing(page, "offline")
    await asyncio.to_thread(server.start)
    await standing(page, "live")

    await shows_the_database(page)
    assert await page.evaluate("window.shrunk") == []
    assert frames.resumed() == [True, False]


async def test_runserver_reloads_under_the_page(
    start_server, database, open_page, frames, tmp_path
):
    """A changed module restarts `manage.py runserver`, and the page comes back by itself."""
    for folder in ("databinding", "dashboard", "values", "chat", "frontend/databinding",
                   "frontend/dashboard", "frontend/chat"):  # fmt: skip
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    shutil.copy(CHECKOUT / "manage.py", tmp_path)
    await IntegerValue.objects.acreate(name="growing")
    server = start_server("runserver", folder=tmp_path, DEBUG="on")
    page = await open_page(server.url, prepare=frames.listen)
    await standing(page, "live")
    await page.evaluate(WATCH)

    os.utime(tmp_path / "values" / "models.py")
    await frames.subscriptions(2)
    await asyncio.to_thread(
        shell, database, "from values.models import *; IntegerValue.objects.update(value=3)"
    )
    await shows_the_database(page)
    assert await page.evaluate("window.shrunk") == []
    assert frames.resumed() == [True, True]
    assert "reloading" in server.log()
