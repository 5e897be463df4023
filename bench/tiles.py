"""The dashboard with many values, in a real Chromium: what they cost its main thread and memory.

2,000 tiles, 500 of which change each second, written by another process. What is measured, and how:

main thread   the CPU time of the page's tasks (`TaskDuration` of the DevTools protocol, counted in
              thread ticks), of script, style and layout within them, as shares of the clock's time
frame         the times between animation frames, while a callback asks for each; and the same
              while the page is scrolled down and up, 2,000 pixels (13 rows of tiles) a second
heap          `JSHeapUsedSize` after a forced collection, again and again; its slope is that of the
              line through all but the first minute, in which the lines of tiles in sight fill up
interactive   from the navigation, in a context without a cache, to the first frame in which tiles
              are drawn, the connection is live and no long task is under way

At the end, with nobody writing any more, every tile in sight must show what the database holds.
"""

import asyncio
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.async_api import async_playwright

from bench.machine import load_average
from tests.servers import PATIENCE, Server, environment

TILES = 2_000
RATE = 500
#: Changes in one transaction.
TOGETHER = 10
VIEWPORT = {"width": 1280, "height": 800}
#: Until so long after the first frame everything is new (s).
SETTLED = 60

WRITER = """
import random, signal, sys, time, django
django.setup()
from django.db.models import F
from values.models import IntegerValue
rate, together = int(sys.argv[1]), int(sys.argv[2])
keys = list(IntegerValue.objects.values_list("pk", flat=True))
random.Random(1).shuffle(keys)
running = True
def stop(*_):
    global running
    running = False
signal.signal(signal.SIGTERM, stop)
print("writing", flush=True)
began = due = time.monotonic()
written = at = 0
while running:
    some = [keys[(at + n) % len(keys)] for n in range(together)]
    at += together
    # Up and down, not all alike.
    changed = (F("value") + 7 + F("id") % 13) % 1000
    written += IntegerValue.objects.filter(pk__in=some).update(value=changed)
    due = max(due + together / rate, time.monotonic() - 1)
    time.sleep(max(0, due - time.monotonic()))
print(written / (time.monotonic() - began), flush=True)
"""

#: What happens while the page opens, by the clock that began with its navigation (ms).
OPENING = """
window.opening = { painted: null, live: null, busyUntil: 0, interactive: null };
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries())
    opening.busyUntil = Math.max(opening.busyUntil, startTime + duration);
}).observe({ type: "longtask", buffered: true });
requestAnimationFrame(function look(now) {
  if (document.querySelector(".tile .value")?.textContent) opening.painted ??= now;
  if (document.body?.dataset.standing === "live") opening.live ??= now;
  if (opening.painted !== null && opening.live !== null) opening.interactive = performance.now();
  else requestAnimationFrame(look);
});
"""
#: Times between animation frames for so many ms; `scrolled`: while it goes down and up.
FRAMES = """([ms, scrolled]) => new Promise((resolve) => {
  const times = [];
  const end = document.documentElement.scrollHeight - innerHeight;
  let before = performance.now();
  const began = before;
  requestAnimationFrame(function frame() {
    const now = performance.now();
    times.push(now - before);
    before = now;
    const share = (now - began) / ms;
    if (scrolled) scrollTo(0, Math.min(end, ms * (1 - Math.abs(1 - 2 * share))));
    if (share < 1) requestAnimationFrame(frame);
    else resolve(times);
  });
})"""
SHOWN = """() => Object.fromEntries([...document.querySelectorAll(".tile")].map((tile) =>
  [tile.querySelector(".name").textContent, Number(tile.querySelector(".value").textContent)]))"""


async def measure(browser, template, folder, *, seconds, frames, rounds):
    database = str(Path(folder, "tiles.sqlite3"))
    shutil.copy(template, database)
    server = Server("uvicorn", database, settings="bench.settings", SECRET_KEY="bench")
    server.start()
    writer = None
    try:
        loads = [await opened(browser, server) for _ in range(rounds)]
        page = await (await browser.new_context(viewport=VIEWPORT)).new_page()
        await page.goto(server.url)
        await live(page)
        writer = start_writer(database)
        await asyncio.to_thread(writer.stdout.readline)
        watched = await watch(page, seconds)
        still = await page.evaluate(FRAMES, [1000 * frames, False])
        scrolled = await page.evaluate(FRAMES, [1000 * frames, True])
        writer.terminate()
        rate = float(await asyncio.to_thread(writer.stdout.read))
        await converged(page, database)
        return {
            "tiles": TILES,
            "changes_per_second": round(rate),
            "load_average": load_average(),
            "opening_ms": {
                name: round(statistics.median(load[name] for load in loads))
                for name in ("painted", "live", "interactive")
            },
            **watched,
            "frame_ms": described(still),
            "frame_ms_scrolled": described(scrolled),
        }
    finally:
        if writer is not None:
            writer.kill()
            writer.wait()
        server.close()


def start_writer(database):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(RATE), str(TOGETHER)],
        env=environment(database, "bench.settings", SECRET_KEY="bench"),
        stdout=subprocess.PIPE,
        text=True,
    )


async def live(page):
    await page.wait_for_function("() => document.body.dataset.standing === 'live'")


async def opened(browser, server):
    """How the page opens where nothing of it is cached."""
    context = await browser.new_context(viewport=VIEWPORT)
    page = await context.new_page()
    await page.add_init_script(OPENING)
    await page.goto(server.url)
    await page.wait_for_function(
        "() => opening.interactive !== null && performance.now() > opening.busyUntil + 500"
    )
    found = await page.evaluate("opening")
    await context.close()
    found["interactive"] = max(found["interactive"], found["busyUntil"])
    return found


async def watch(page, seconds):
    """The page's main thread and heap for so many seconds."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def metrics():
        found = (await devtools.send("Performance.getMetrics"))["metrics"]
        return {metric["name"]: metric["value"] for metric in found} | {"at": time.monotonic()}

    busy, heap = [], []
    began = time.monotonic()
    step = max(2, min(15, seconds / 8))
    while time.monotonic() - began < seconds:
        before = await metrics()
        await asyncio.sleep(step)
        after = await metrics()
        took = after["at"] - before["at"]
        busy.append(
            {
                name: 100 * (after[f"{name}Duration"] - before[f"{name}Duration"]) / took
                for name in ("Task", "Script", "RecalcStyle", "Layout")
            }
        )
        # Not within what is counted as the page's.
        await devtools.send("HeapProfiler.collectGarbage")
        now = await metrics()
        heap.append((now["at"] - began, now["JSHeapUsedSize"] / 1024, now["Nodes"]))
    settled = [one for one in heap if one[0] > min(SETTLED, seconds / 2)]
    slope = statistics.linear_regression(
        [at for at, _, _ in settled], [kib for _, kib, _ in settled]
    ).slope
    return {
        "seconds": round(time.monotonic() - began),
        "main_thread_percent": {
            name: round(statistics.mean(one[name] for one in busy), 1) for name in busy[0]
        },
        "heap_mib": {
            "first": round(heap[0][1] / 1024, 2),
            "last": round(heap[-1][1] / 1024, 2),
            "slope_kib_per_minute": round(60 * slope, 1),
            "every_minute": [
                round(kib / 1024, 2) for _, kib, _ in heap[:: max(1, round(60 / step))]
            ],
        },
        "nodes": {"first": heap[0][2], "last": heap[-1][2]},
    }


async def converged(page, database):
    """Nobody writes any more: the tiles in sight are what the database holds, before long."""
    with sqlite3.connect(database) as connection:
        stored = dict(connection.execute("SELECT name, value FROM values_integervalue"))
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = await page.evaluate(SHOWN)
        if shown and all(stored[name] == value for name, value in shown.items()):
            return
        if time.monotonic() > deadline:
            raise RuntimeError("The page doesn't show what the database holds.")
        await asyncio.sleep(0.1)


def described(times):
    ordered = sorted(times[1:])
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * len(ordered))], 1),
        "longest": round(ordered[-1], 1),
        "frames": len(ordered),
    }


async def in_chromium(template, folder, **options):
    async with async_playwright() as started:
        browser = await started.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"]
        )
        try:
            return await measure(browser, template, folder, **options)
        finally:
            await browser.close()
