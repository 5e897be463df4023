"""A browser's own EventSource, as docs/reference/sse.md uses it."""

import asyncio
import re

import pytest

from tests.servers import CHECKOUT, PATIENCE
from values.models import IntegerValue

(LISTEN,) = re.findall(
    r"```js\n(.*?)```", (CHECKOUT / "docs/reference/sse.md").read_text(), re.DOTALL
)
#: Holds on to what `listen` makes, and keeps the rows by the rules of the wire.
PAGE = """
const sources = [];
window.EventSource = class extends EventSource {
  constructor(address) { super(address); sources.push(this); }
};
const rows = new Map();
const resumed = [];
listen("/stream/intval/events", ({ payload }) => {
  if (payload.action === "subscribe") resumed.push(payload.data.resumed);
  if (payload.action === "snapshot") {
    rows.clear();
    for (const { pk, data } of payload.items) rows.set(pk, data);
  }
  if (payload.keep) for (const pk of rows.keys()) if (!payload.keep.includes(pk)) rows.delete(pk);
  for (const { action, pk, data } of payload.events ?? [])
    if (action === "delete") rows.delete(pk); else rows.set(pk, data);
});
"""
HAS = """(expected) => {
  const found = Object.fromEntries([...rows.values()].map(({ name, value }) => [name, value]));
  const names = Object.keys(expected);
  return Object.keys(found).length === names.length
    && names.every((name) => found[name] === expected[name]);
}"""


async def has_what_is_stored(page):
    stored = {row.name: row.value async for row in IntegerValue.objects.all()}
    await page.wait_for_function(HAS, arg=stored, timeout=PATIENCE * 1000)


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_it_resumes(kind, start_server, open_page):
    """After a killed server, and after an end for good, it comes back and gets what it missed."""
    await IntegerValue.objects.abulk_create(IntegerValue(name=name) for name in "abc")
    server = start_server(kind)
    page = await open_page(f"{server.url}/healthz", bypass_csp=True)  # Its scripts are inline.
    await page.add_script_tag(content=LISTEN)
    await page.add_script_tag(content=PAGE)
    await has_what_is_stored(page)
    await IntegerValue.objects.filter(name="a").aupdate(value=1)
    await has_what_is_stored(page)

    server.kill()
    await IntegerValue.objects.filter(name="b").adelete()
    await asyncio.to_thread(server.start)
    await has_what_is_stored(page)
    assert await page.evaluate("[sources.length, ...resumed]") == [1, False, True]

    await page.evaluate("sources[0].close()")
    await IntegerValue.objects.filter(name="c").aupdate(value=3)
    await page.evaluate("sources[0].dispatchEvent(new Event('error'))")
    await has_what_is_stored(page)
    assert await page.evaluate("[sources.length, ...resumed]") == [2, False, True, True]
