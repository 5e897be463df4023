/** The elements' parts that need no browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatValue, isNumeric } from "../../frontend/databinding/elements/format.js";
import { lookOf } from "../../frontend/databinding/elements/look.js";
import { compare, membership } from "../../frontend/databinding/elements/members.js";
import { mainField } from "../../frontend/databinding/elements/parts.js";

test("values are shown by their kind", () => {
  const shown = [1482, -5, 0, true, false, "on", null, undefined, "", [1, 2], { a: 1 }, "12.50"].map((value) => formatValue(value));
  assert.deepEqual(shown, ["1,482", "−5", "0", "Yes", "No", "on", "–", "–", "–", "[1,2]", '{"a":1}', "12.50"]);
});

test("a format says how", () => {
  for (const [value, format, text] of [
    [1.5, "number:2", "1.50"], ["12.5", "number:1", "12.5"], [1482, "number", "1,482"], ["abc", "number:2", "abc"],
    [42, "percent", "42%"], [42.25, "percent:1", "42.3%"], [512, "bytes", "512 B"], [1536, "bytes", "1.5 KiB"],
    [-(2 ** 40), "bytes", "−1.0 TiB"], [5, "text", "5"], ["nonsense", "date", "nonsense"], [5, "no-such", "5"],
  ]) assert.equal(formatValue(value, format), text, `${value} as ${format}`);
});

test("a date is that day in every time zone", () => {
  assert.match(formatValue("2026-11-26", "date"), /26/);
  const moment = "2026-11-26T09:30:00Z"; // Not every time zone is whole hours away.
  const minutes = String(new Date(moment).getMinutes()).padStart(2, "0");
  assert.match(formatValue(moment, "datetime"), new RegExp(`2026.*:${minutes}:00`));
});

test("Django's texts of decimals are numbers, other texts are not", () => {
  assert.deepEqual([1, "1.50", "-3", "", " ", "1,5", "abc", null, true].map(isNumeric), [true, true, true, false, false, false, false, false, false]);
});

test("the main field is value, or the first number, or the first", () => {
  assert.equal(mainField({ name: "a", n: 1, value: "x" }), "value");
  assert.equal(mainField({ name: "a", n: 1 }), "n");
  assert.equal(mainField({ name: "a" }), "name");
  assert.equal(mainField(undefined), "");
});

const live = { state: "live", since: 0 };
const stream = { state: "live", loaded: true, error: null };

test("how an element stands has an icon and a word, but where all is well", () => {
  const facts = { connection: live, stream, there: true, staleSince: null };
  assert.deepEqual(lookOf(facts), { state: "live", icon: "", word: "" });
  const others = [
    [{ stream: { ...stream, state: "subscribing", loaded: false } }, "loading", "Loading"],
    [{ connection: { state: "offline", since: 0 } }, "offline", "Offline since"],
    [{ connection: { state: "reconnecting", since: 0 } }, "offline", "Offline since"],
    [{ connection: { state: "closed", since: 0, reason: null } }, "offline", "Offline since"],
    [{ connection: { state: "closed", since: 0, reason: "session over" } }, "refused", "Log in to see this"],
    [{ connection: { state: "closed", since: 0, reason: "forbidden" } }, "refused", "No permission"],
    [{ stream: { ...stream, state: "refused", error: { status: 401 } } }, "refused", "Log in to see this"],
    [{ stream: { ...stream, state: "refused", error: { status: 403 } } }, "refused", "No permission"],
    [{ stream: { ...stream, state: "refused", error: { status: 404, message: "There is no such stream." } } }, "wrong", "There is no such stream."],
    [{ there: false }, "missing", "Not there"],
    [{ staleSince: 0 }, "stale", "Unchanged since"],
  ];
  for (const [differing, state, word] of others) {
    const look = lookOf({ ...facts, ...differing });
    assert.equal(look.state, state);
    assert.ok(look.word.startsWith(word), look.word);
    assert.notEqual(look.icon, "");
  }
});

test("what stood before the first connection is not called offline until it fails", () => {
  const facts = { connection: { state: "connecting", since: 0 }, stream: { ...stream, state: "idle" }, there: true, staleSince: null };
  assert.equal(lookOf(facts).state, "live");
});

test("rows are ordered by fields, the key last", () => {
  const rows = [[1, { a: 2, b: "x" }], [2, { a: 1, b: "y" }], [3, { a: 2, b: "x10" }], [4, { a: 2, b: "x9" }]];
  const keys = (order) => [...rows].sort(compare(order)).map(([pk]) => pk);
  assert.deepEqual(keys(""), [1, 2, 3, 4]);
  assert.deepEqual(keys("-a b"), [1, 4, 3, 2]);
  assert.deepEqual(keys("a,-b"), [2, 3, 4, 1]);
});

test("a table's news are told in words", () => {
  assert.equal(membership([1, 2], [1, 2]), "");
  assert.equal(membership([1, 2], [2, 3, 4]), "2 new, 1 left");
  assert.equal(membership([1, 2], [2, 1]), "order changed");
});
