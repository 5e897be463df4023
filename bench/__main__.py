"""`scripts/bench`: all measurements in one run, as JSON under bench/results/."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import async_playwright

from bench import idle, latency, machine
from tests.servers import CHECKOUT, Server, environment

FILL = """
import django
django.setup()
from bench.latency import TILES
from values.models import IntegerValue
IntegerValue.objects.bulk_create(IntegerValue(name=f"tile{n}") for n in range(TILES))
"""


def program(database, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(database, "bench.settings", SECRET_KEY="bench"),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


async def in_browser(database, kind, quick):
    more = {"settings": "bench.settings", "application": "bench.asgi:application"}
    server = Server(kind, database, SECRET_KEY="bench", **more)
    server.environment = environment(database, "bench.settings", SECRET_KEY="bench")
    server.start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"]
        )
        context = await browser.new_context()
        try:
            return {
                "idle": await idle.measure(context, server, 5 if quick else 30),
                "commit_to_dom": await latency.measure(context, server, 30 if quick else 200),
            }
        finally:
            await browser.close()
            server.close()


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, for a look")
    options = parser.parse_args()
    result = {"machine": machine.described(), "measured": datetime.now(UTC).isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "bench.sqlite3"))
        program(database, "manage.py", "migrate", "--verbosity", "0", "--run-syncdb")
        program(database, "-c", FILL)
        for kind in ("uvicorn", "daphne"):
            print(f"browser and {kind} …", flush=True)
            result[kind] = asyncio.run(in_browser(database, kind, options.quick))
        print("writers …", flush=True)
        rounds = "3" if options.quick else "25"
        result["writer"] = json.loads(program(database, "-m", "bench.writer", rounds))
    text = json.dumps(result, indent=2)
    print(text)
    if not options.quick:
        name = f"{result['measured'][:10]}-{result['machine']['commit']}.json"
        Path(CHECKOUT, "bench", "results", name).write_text(text + "\n")


if __name__ == "__main__":
    main()
