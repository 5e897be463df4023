/** The live admin's parts that need no browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, page } from "../../frontend/databinding/admin/ask.js";
import { news } from "../../frontend/databinding/admin/news.js";
import { othersOf, peopleByRow } from "../../frontend/databinding/admin/presence.js";

const rows = (states) => Object.entries(states).map(([pk, state]) => ({ pk, state }));

test("an answer that never comes is given up, for another to be asked for", async () => {
  const { fetch, HTMLInputElement } = globalThis;
  const { timeout } = AbortSignal;
  const patience = new AbortController();
  globalThis.HTMLInputElement = class {};
  globalThis.fetch = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  AbortSignal.timeout = (ms) => (ms <= 60_000 ? patience.signal : timeout(ms));
  try {
    const asked = Promise.allSettled([ask("/rows/", { querySelector: () => null }, {}), page("/1/change/")]);
    patience.abort(new Error("nobody answers"));
    for (const { reason } of await asked) assert.match(String(reason), /nobody answers/);
  } finally {
    Object.assign(globalThis, { fetch, HTMLInputElement });
    AbortSignal.timeout = timeout;
  }
});

test("a list as it was has no news", () => {
  assert.equal(news(["1", "2"], ["1", "2"], rows({ 1: "here", 2: "here" })), "");
});

test("what came, left and was deleted is counted", () => {
  const said = news(["1", "2", "3"], ["8", "9", "1"], rows({ 1: "here", 2: "left", 3: "deleted" }));
  assert.equal(said, "2 new, 1 left the filter, 1 deleted");
});

test("what new ones push to the next page is no news of its own", () => {
  assert.equal(news(["1", "2"], ["9", "1"], rows({ 1: "here", 2: "here" })), "1 new");
});

test("another order is said, not done", () => {
  assert.equal(news(["1", "2"], ["2", "1"], rows({ 1: "here", 2: "here" })), "order changed");
});

test("a page whose own row has come before it is told so isn't another window", () => {
  const rows = new Map([[1, { row: "7", name: "Ana" }], [2, { row: "7", name: "Bo" }], [3, { row: "", name: "Ana" }]]);
  const places = (mine) => othersOf(rows, mine, "Ana").map(({ row, name }) => `${name}${row}`);
  assert.deepEqual(places(null), ["Bo7"]);
  assert.deepEqual(places(1), ["Bo7", "Ana"]);
});

test("people are shown once at each row, another window of one's own as that", () => {
  const said = [{ row: "7", name: "Bo" }, { row: "7", name: "Bo" }, { row: "7", name: "Ana" }, { row: "", name: "Cy" }];
  assert.deepEqual([...peopleByRow(said, "Ana")], [["7", ["Ana (you, in another window)", "Bo"]], ["", ["Cy"]]]);
});
