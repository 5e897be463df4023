/** The dashboard's parts that need no browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Edit } from "../../frontend/dashboard/edit.js";
import { formatAge, formatDelta, formatNumber, parseWhole, whyNotWhole } from "../../frontend/dashboard/format.js";
import { standing } from "../../frontend/databinding/standing.js";

test("whole numbers are read as people type them, anything else is none", () => {
  for (const [text, value] of [["42", 42], [" -7 ", -7], ["−7", -7], ["+3", 3], ["1 482", 1482], ["1,482,000", 1482000], ["1\u202f482", 1482], ["007", 7]])
    assert.equal(parseWhole(text), value, text);
  for (const text of ["", " ", "abc", "1.5", "1e3", "0x10", "1,48", "14,82", "1,482,00", "--1", "9".repeat(20), "Infinity"])
    assert.equal(parseWhole(text), null, text);
});

test("what is no whole number is told from what is too large", () => {
  assert.equal(whyNotWhole("1.5"), "Enter a whole number.");
  assert.equal(whyNotWhole("9".repeat(20)), "That number is too large.");
});

test("numbers have a true minus, deltas always a sign", () => {
  assert.equal(formatNumber(-5), "−5");
  assert.equal(formatNumber(null), "–");
  assert.equal(formatDelta(5), "+5");
  assert.equal(formatDelta(-5), "−5");
});

test("ages go in coarse steps", () => {
  const ages = [0, 4999, 5000, 14_000, 60_000, 3_600_000, 90_000_000].map(formatAge);
  assert.deepEqual(ages, ["just now", "just now", "5 s ago", "10 s ago", "1 min ago", "1 h ago", "1 d ago"]);
  assert.equal(formatAge(-1000), "just now");
});

/** An edit from 10 to 20 that was submitted. */
function submitted() {
  const edit = new Edit();
  edit.begin(10);
  edit.submit(20);
  return edit;
}

test("an edit ends with its confirmation", () => {
  const edit = submitted();
  assert.equal(edit.state, "pending");
  edit.confirm();
  assert.equal(edit.state, "idle");
});

test("a rejected edit says why and keeps the draft until it is let go", () => {
  const edit = submitted();
  edit.reject("Too big.");
  assert.deepEqual([edit.state, edit.message, edit.desired], ["failed", "Too big.", 20]);
  edit.dismiss();
  assert.deepEqual([edit.state, edit.message, edit.desired], ["idle", "", null]);
});

test("an edit without a connection is queued, and pending again when it is back", () => {
  const edit = submitted();
  edit.queue(true);
  assert.deepEqual([edit.state, edit.underway], ["queued", true]);
  edit.queue(false);
  assert.equal(edit.state, "pending");
  edit.confirm();
  edit.queue(true);
  assert.equal(edit.state, "idle");
});

test("a conflict keeps base and draft until somebody decides", () => {
  const edit = submitted();
  edit.conflict();
  assert.deepEqual([edit.state, edit.base, edit.desired, edit.underway], ["conflict", 10, 20, false]);
  edit.mine();
  assert.deepEqual([edit.state, edit.desired], ["pending", 20]);
  edit.conflict();
  edit.dismiss();
  assert.equal(edit.state, "idle");
});

test("answers to an edit that was let go change nothing", () => {
  const edit = submitted();
  edit.confirm();
  edit.begin(20);
  edit.reject("Late.");
  edit.confirm();
  edit.queue(true);
  edit.conflict();
  edit.mine();
  assert.equal(edit.state, "editing");
});

test("live is said only if connection and stream are", () => {
  const of = (connection, stream) => standing({ state: connection }, stream);
  assert.equal(of("live", "live"), "live");
  assert.equal(of("live", "subscribing"), "catching up");
  assert.equal(of("live", "idle"), "catching up");
  assert.equal(of("live", "refused"), "refused");
  assert.equal(of("reconnecting", "live"), "reconnecting");
  assert.equal(of("offline", "refused"), "offline");
  assert.equal(of("closed", "live"), "ended");
});
