/** Moments of the past, orders of one's own, and lines that end at a moment: what needs no browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, moved } from "../../frontend/dashboard/arrangement.js";
import { formatStep, fromAddress, SPANS, stretch, toAddress, toLocal } from "../../frontend/dashboard/journey.js";

const bounds = { earliest: 0, now: 10_000 };

test("a moment of the last hour is slid to within the last hour", () => {
  assert.deepEqual(stretch(9_000, 3600, bounds), { begin: 6_400, end: 10_000 });
});

test("an earlier moment stands in the middle, as far as the past goes", () => {
  assert.deepEqual(stretch(5_000, 3600, bounds), { begin: 3_200, end: 6_800 });
  assert.deepEqual(stretch(100, 3600, bounds), { begin: 0, end: 1_900 });
});

test("the stretch stays as long as the moment is in it", () => {
  const held = stretch(5_000, 3600, bounds);
  assert.equal(stretch(6_700, 3600, bounds, held), held);
  assert.notEqual(stretch(6_900, 3600, bounds, held), held);
});

test("a stretch that ended now goes on to end now", () => {
  const held = stretch(9_990, 3600, bounds);
  assert.equal(stretch(9_990, 3600, { earliest: 0, now: 10_030 }, held).end, 10_030);
});

test("a moment before all that is kept is in its stretch, too", () => {
  assert.deepEqual(stretch(50, 900, { earliest: 9_000, now: 10_000 }), { begin: 50, end: 500 });
});

test("addresses have moments in whole seconds, and anything else is none", () => {
  assert.equal(toAddress(1_795_680_000.4), "2026-11-26T08:00:00Z");
  assert.equal(fromAddress("2026-11-26T08:00:00Z"), 1_795_680_000);
  for (const text of [null, "", "yesterday"]) assert.equal(fromAddress(text), null);
});

test("a local time names the same moment", () => {
  for (const at of [1_795_680_000, 1_783_000_001]) assert.equal(new Date(toLocal(at)).getTime(), at * 1000);
});

test("each step is a small part of its stretch, in round words", () => {
  for (const { seconds, step } of Object.values(SPANS)) assert.ok(seconds % step === 0 && seconds / step >= 50, String(step));
  assert.deepEqual([10, 900, 7200].map(formatStep), ["10 s", "15 min", "2 h"]);
});

test("one moved takes another's place, and those between close up", () => {
  const ids = ["a", "b", "c", "d"];
  assert.deepEqual(moved(ids, "a", "c"), ["b", "c", "a", "d"]);
  assert.deepEqual(moved(ids, "d", "b"), ["a", "d", "b", "c"]);
  assert.deepEqual(moved(ids, "x", "b"), ids);
  assert.deepEqual(ids, ["a", "b", "c", "d"]);
});

test("an own order holds within groups and pins; what was never placed is last, by name", () => {
  const ranks = { "x.b": 3, "x.a": 2, "y.a": 4 };
  const tiles = ["x.a", "x.b", "x.d", "x.c", "y.a", "y.p"].map((name) => ({ id: name, data: { name }, pinned: name === "y.p", rank: ranks[name] ?? 0 }));
  const names = (grouped) => arrange(tiles, { search: "", sort: "own", grouped }).map(({ tiles }) => tiles.map(({ id }) => id));
  assert.deepEqual(names(true), [["y.p"], ["x.b", "x.a", "x.c", "x.d"], ["y.a"]]);
  assert.deepEqual(names(false), [["y.p"], ["y.a", "x.b", "x.a", "x.c", "x.d"]]);
});
