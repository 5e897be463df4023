"""From a commit to the page's DOM, in a real Chromium: median and 99th percentile in ms.

The writer notes the time at which its save() has returned; the page notes when the number in the
tile is another text. Both read the clock of one machine.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import urllib.request

TILES = 10
#: A tile's text changes at most a few times a second, so each is written less often than that.
PAUSE = 0.06

WATCH = """
() => {
  window.seen = {};
  new MutationObserver(() => {
    const now = performance.timeOrigin + performance.now();
    for (const tile of document.querySelectorAll("#grid > *")) {
      const value = tile.querySelector(".value").textContent.replace(/[^0-9]/g, "");
      window.seen[value] ??= now;
    }
  }).observe(
    document.getElementById("grid"), {subtree: true, childList: true, characterData: true}
  );
}
"""

OTHER_PROCESS = """
import json, sys, time, django
django.setup()
from values.models import IntegerValue
rows = {row.name: row for row in IntegerValue.objects.all()}
for line in sys.stdin:
    name, value = json.loads(line)
    rows[name].value = value
    rows[name].save()
    print(json.dumps(time.time()), flush=True)
"""


def start_writer(server):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS],
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def measure(context, server, edits):
    page = await context.new_page()
    await page.goto(server.url)
    await page.wait_for_function("document.body.dataset.standing === 'live'")
    await page.evaluate(WATCH)
    results = {}
    writer = start_writer(server)

    def from_other_process(name, value):
        writer.stdin.write(json.dumps([name, value]) + "\n")
        writer.stdin.flush()
        return json.loads(writer.stdout.readline())

    def from_same_process(name, value):
        address = f"{server.url}/bench/save?name={name}&value={value}&to=page"
        with urllib.request.urlopen(address) as answer:
            return json.load(answer)

    value = 1_000_000
    committed = {"another process": {}, "the server's process": {}}
    for number in range(edits):
        for where, write in (
            ("another process", from_other_process),
            ("the server's process", from_same_process),
        ):
            value += 1
            name = f"tile{(2 * number + (where != 'another process')) % TILES}"
            committed[where][value] = await asyncio.to_thread(write, name, value)
            await asyncio.sleep(PAUSE)
    await page.wait_for_function(f"window.seen['{value}'] !== undefined")
    seen = await page.evaluate("window.seen")
    writer.stdin.close()
    writer.wait()
    for where, times in committed.items():
        took = sorted(seen[str(value)] - time * 1000 for value, time in times.items())
        results[where] = {
            "edits": len(took),
            "median_ms": round(statistics.median(took), 1),
            "p99_ms": round(took[int(len(took) * 0.99) - 1], 1),
        }
    await page.close()
    return results
