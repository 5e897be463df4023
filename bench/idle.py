"""CPU of a server with pages open and nothing happening, in percent of one core."""

import asyncio
import time

import psutil

PAGES = 10


async def measure(context, server, seconds):
    pages = [await context.new_page() for _ in range(PAGES)]
    for page in pages:
        await page.goto(server.url)
        await page.wait_for_function("document.body.dataset.standing === 'live'")
    await asyncio.sleep(2)
    process = psutil.Process(server.process.pid)
    before, began = process.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = process.cpu_times(), time.monotonic() - began
    for page in pages:
        await page.close()
    used = after.user + after.system - before.user - before.system
    return {
        "pages": PAGES,
        "percent_of_a_core": round(100 * used / took, 2),
        "memory_mib": round(process.memory_info().rss / 2**20, 1),
    }
