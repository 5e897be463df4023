"""A change anywhere in the database is on every open page."""

import shutil
import statistics
import subprocess
import sys
from contextlib import contextmanager

import pytest
from asgiref.sync import sync_to_async
from playwright.async_api import expect

from tests.acceptance.dashboard import shows, shows_the_database, standing
from tests.servers import PATIENCE, command, shell
from values.models import IntegerValue

IMPORT = "from values.models import IntegerValue as V\n"
# Without the program, Python's module: just as little Django in it.
SQLITE = (
    ["sqlite3", "-cmd", ".timeout 10000"]
    if shutil.which("sqlite3")
    else [sys.executable, "-c", "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); "
          "d.executescript(sys.argv[2])"]
)  # fmt: skip


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request, start_server):
    return start_server(request.param)


async def run(database, code):
    """Run code in a `manage.py shell` of its own to its end."""
    return await sync_to_async(shell)(database, IMPORT + code)


@sync_to_async
def sqlite(database, statement):
    """Have a process that knows nothing of Django execute this."""
    subprocess.run([*SQLITE, database, statement], check=True, timeout=PATIENCE)


async def test_an_edit_in_the_admin_is_seen_in_another_tab(server, open_page, admin_user):
    """What is saved in the admin's form, and in its list, is on a page that was open before."""
    pump = await IntegerValue.objects.acreate(name="pump", value=1)
    page = await open_page(server.url)
    await shows(page, {"pump": 1})

    form = f"{server.url}/admin/values/integervalue/{pump.pk}/change/"
    admin = await open_page(form, user=admin_user)
    await admin.fill("#id_value", "1500")
    await admin.click("[name=_save]")
    await shows(page, {"pump": 1500})
    await expect(admin.locator(".messagelist")).to_contain_text("was changed successfully")

    await admin.fill("#id_form-0-value", "-7")
    await admin.click("[name=_save]")
    await shows(page, {"pump": -7})


async def test_whatever_the_orm_writes_in_another_process_is_seen(server, database, open_page):
    """create, bulk_create, save, update(), bulk_update and delete of a shell move the page."""
    page = await open_page(server.url)
    await expect(page.locator("#empty")).to_be_visible()

    await run(database, "V.objects.create(name='a'); V.objects.bulk_create([V(name='b', value=2)])")
    await shows(page, {"a": 0, "b": 2})
    await run(database, "a = V.objects.get(name='a'); a.value = 5; a.save()")
    await shows(page, {"a": 5, "b": 2})
    await run(database, "from django.db.models import F; V.objects.update(value=F('value') + 10)")
    await shows(page, {"a": 15, "b": 12})
    await run(
        database,
        "rows = list(V.objects.all())\n"
        "for row in rows: row.name += '!'\n"
        "V.objects.bulk_update(rows, ['name'])\n"
        "V.objects.get(name='b!').delete()",
    )
    await shows(page, {"a!": 15})
    await shows_the_database(page)


async def test_a_write_without_django_is_seen(start_server, database, open_page):
    """Insert, update and delete by a `sqlite3` shell move the page."""
    page = await open_page(start_server("daphne").url)
    for statement, values in [
        ("insert into values_integervalue (name, value) values ('raw', 1), ('two', 2)",
         {"raw": 1, "two": 2}),
        ("update values_integervalue set value = value * 10", {"raw": 10, "two": 20}),
        ("delete from values_integervalue where name = 'raw'", {"two": 20}),
    ]:  # fmt: skip
        await sqlite(database, statement)
        await shows(page, values)


#: Saves row after row as it is told to, and prints when each was committed.
SAVES = """
import sys, time
rows = list(V.objects.order_by("pk"))
print("ready", flush=True)
for line, row in zip(sys.stdin, rows):
    row.value = 1
    row.save()
    print(time.time() * 1000, flush=True)
"""
#: When which tile's number first was 1, on the same clock.
WATCH = """() => {
  window.seen = {};
  new MutationObserver(() => {
    for (const tile of document.querySelectorAll(".tile"))
      if (tile.querySelector(".value").textContent === "1")
        window.seen[tile.querySelector(".name").textContent]
          ??= performance.timeOrigin + performance.now();
  }).observe(document.querySelector("#grid"), { subtree: true, childList: true,
                                                characterData: true });
}"""


#: How long the page waits for the server's shortest answer, in milliseconds.
ASKS = """async () => {
  const began = performance.now();
  await (await fetch("/healthz")).text();
  return performance.now() - began;
}"""


async def test_a_save_of_another_process_is_seen_at_once(start_server, database, open_page):
    """From another process's commit to the number on the page it is milliseconds."""
    names = [f"value {number:02}" for number in range(21)]
    await IntegerValue.objects.abulk_create(IntegerValue(name=name) for name in names)
    page = await open_page(start_server("daphne").url)
    await standing(page, "live")
    await page.evaluate(WATCH)

    committed, asked = {}, []
    with writer(database, SAVES) as process:
        assert process.stdout.readline() == "ready\n"
        for name in names:
            process.stdin.write("next\n")
            process.stdin.flush()
            committed[name] = float(process.stdout.readline())
            await page.wait_for_function("(name) => window.seen[name]", arg=name)
            asked.append(await page.evaluate(ASKS))
    seen = await page.evaluate("window.seen")

    took = [seen[name] - committed[name] for name in names]
    for what, times in (("From commit to page", took), ("An answer", asked)):
        print(f"{what}, in ms:", sorted(round(ms) for ms in times))
    # 15 ms on a laptop, 100 ms is promised; the rest is room for a machine that is busy, as much as
    # it takes for whatever else.
    assert statistics.median(took) < 250 + 5 * statistics.median(asked)


@contextmanager
def writer(database, code):
    process = command(
        database, "shell", "--verbosity", "0", "--command", IMPORT + code, stdin=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
