/** Values of all kinds on the dashboard: read, judged, arranged. No browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, groupOf, matches } from "../../frontend/dashboard/arrangement.js";
import { formatDecimal, parseDecimal, whyNotDecimal } from "../../frontend/dashboard/format.js";
import { isStale, reportedAt } from "../../frontend/dashboard/freshness.js";
import { format, formatChange, formatWithUnit, gauge, judge, parse } from "../../frontend/dashboard/kinds.js";

test("decimals are read as people type them, anything else is none", () => {
  for (const [text, value] of [["1.5", 1.5], ["-0.25", -0.25], ["−3", -3], [".5", 0.5], ["1,482.25", 1482.25], ["1e3", 1000], ["2.", 2]])
    assert.equal(parseDecimal(text), value, text);
  for (const text of ["", " ", "abc", "1.2.3", "Infinity", "NaN", "0x10", "1e999", "--1"]) assert.equal(parseDecimal(text), null, text);
  assert.equal(whyNotDecimal("1e999"), "That number is too large.");
  assert.equal(whyNotDecimal("abc"), "Enter a number.");
});

test("each kind is written in its way, with its unit", () => {
  assert.equal(format("floatval", 2, { decimals: 1 }), "2.0");
  assert.equal(format("boolval", false, {}), "No");
  assert.equal(format("textval", "", {}), "");
  assert.equal(format("intval", null, {}), "–");
  assert.equal(formatWithUnit("intval", 1482, { unit: "rpm" }), "1,482\u202frpm");
  assert.equal(formatDecimal(-0.5, 2), "−0.50");
  assert.equal(formatChange("floatval", 1, 0.75, { decimals: 2 }), "−0.25");
  // Less than is shown is no change to speak of.
  assert.equal(formatChange("floatval", 1.001, 1.002, { decimals: 2 }), "");
  assert.equal(formatChange("boolval", true, false, {}), "");
});

test("what is typed is held to the range of a number, and to the words of a state", () => {
  const about = { minimum: 0, maximum: 10 };
  assert.deepEqual(parse("intval", "7", about), { value: 7, why: null });
  assert.deepEqual(parse("intval", "-1", about), { value: null, why: "This must be 0 or more." });
  assert.deepEqual(parse("floatval", "10.5", about), { value: null, why: "This must be 10 or less." });
  assert.deepEqual(parse("intval", "1.5", about), { value: null, why: "Enter a whole number." });
  assert.deepEqual(parse("boolval", " Yes ", {}), { value: true, why: null });
  assert.equal(parse("boolval", "maybe", {}).value, null);
  assert.equal(parse("textval", "x".repeat(501), {}).value, null);
  assert.deepEqual(parse("textval", " a ", {}), { value: " a ", why: null });
});

test("thresholds are reached from themselves on, the worst one tells", () => {
  const about = { critical_low: 0, warn_low: 10, warn_high: 80, critical_high: 95 };
  const words = [-1, 0, 5, 10, 50, 80, 94, 95].map((value) => judge(value, about).word);
  assert.deepEqual(words, ["very low", "very low", "low", "low", "", "high", "high", "very high"]);
  assert.equal(judge(50, {}).level, "ok");
  assert.deepEqual([true, false].map((value) => judge(value, { warn_on: "yes", critical_on: "no" }).level), ["warn", "critical"]);
  assert.equal(judge("very high", about).level, "ok");
});

test("a gauge is for numbers with both ends, and never runs over them", () => {
  const about = { minimum: 0, maximum: 200, warn_high: 100, critical_high: 300 };
  assert.deepEqual(gauge(50, about), { at: 0.25, marks: [{ at: 0.5, level: "warn" }] });
  assert.equal(gauge(900, about)?.at, 1);
  assert.equal(gauge(50, { minimum: 0 }), null);
  assert.equal(gauge(true, about), null);
});

test("a value is stale after three of its intervals without report or change", () => {
  const about = { expected_interval: 2, reported_at: "2026-01-01T00:00:10Z" };
  const reported = Date.parse(about.reported_at);
  assert.equal(isStale(about, 0, 0, reported + 6000), false);
  assert.equal(isStale(about, 0, 0, reported + 6001), true);
  assert.equal(isStale(about, reported + 3000, 0, reported + 6001), false);
  assert.equal(isStale(about, 0, 500, reported + 6001), false); // our clock is ahead
  assert.equal(isStale({ reported_at: about.reported_at }, 0, 0, reported + 1e9), false);
  assert.equal(reportedAt({ expected_interval: 1 }, 0, 0), null);
});

const tile = (/** @type {string} */ name, more = {}) => ({ id: name, data: { name }, pinned: false, rank: 0, ...more });
const shown = (/** @type {any[]} */ tiles, more = {}) =>
  arrange(tiles, { search: "", sort: "name", grouped: true, ...more }).map(({ title, tiles }) => [title, tiles.map(({ id }) => id)]);

test("groups are by the part before the first dot; what has none comes last", () => {
  assert.equal(groupOf("cpu.core.1"), "cpu");
  assert.equal(groupOf(".hidden"), "");
  assert.deepEqual(shown([tile("net.in"), tile("zoo"), tile("cpu.10"), tile("cpu.9")]), [["cpu", ["cpu.9", "cpu.10"]], ["net", ["net.in"]], ["Others", ["zoo"]]]);
  assert.deepEqual(shown([tile("b"), tile("a")]), [["", ["a", "b"]]]);
});

test("pinned ones come first, and nowhere else", () => {
  assert.deepEqual(shown([tile("a.1", { pinned: true }), tile("a.2")]), [["Pinned", ["a.1"]], ["a", ["a.2"]]]);
});

test("each word of a search is somewhere in the name", () => {
  assert.ok(matches("pump.Running", "run pu"));
  assert.ok(!matches("pump.running", "run x"));
  assert.deepEqual(shown([tile("cpu.busy"), tile("net.in")], { search: "cp" }), [["cpu", ["cpu.busy"]]]);
});

test("an order by rank is from the highest down, by name among equals", () => {
  assert.deepEqual(shown([tile("a"), tile("c", { rank: 3 }), tile("b", { rank: 3 })], { sort: "problems", grouped: false }), [["", ["b", "c", "a"]]]);
});
