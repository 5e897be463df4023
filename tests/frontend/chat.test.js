/** The chat's parts that need no page: texts, order, and what isn't sent yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newKey } from "../../frontend/chat/key.js";
import { inOrder, people } from "../../frontend/chat/order.js";
import { Outbox } from "../../frontend/chat/outbox.js";
import { parts, problem } from "../../frontend/chat/text.js";
import { RequestError, UnknownOutcomeError } from "../../frontend/databinding/index.js";

const links = (text) => parts(text).filter((part) => typeof part !== "string").map(({ text }) => text);

test("addresses of the web are links, and the sentence around them isn't", () => {
  for (const [text, found] of [
    ["see https://example.com.", ["https://example.com"]],
    ["(https://example.com/a_(b)) and http://b.org/?q=1#x, too!", ["https://example.com/a_(b)", "http://b.org/?q=1#x"]],
    ["<https://example.com/>", ["https://example.com/"]],
    ['"https://example.com"', ["https://example.com"]],
    ["HTTPS://EXAMPLE.COM/x[1]]…", ["HTTPS://EXAMPLE.COM/x[1]"]],
    ["https://例え.jp/パス", ["https://例え.jp/パス"]],
    ["nothing here", []],
    ["", []],
  ])
    assert.deepEqual(links(text), found, text);
});

test("nothing else is a link", () => {
  for (const text of ["javascript:alert(1)", "data:text/html,x", "ftp://x.org", "xhttps://a.org", "https://", "http://[", "//a.org", "www.a.org"])
    assert.deepEqual(links(text), [], text);
});

test("a text is the sum of its parts", () => {
  for (const text of ["a https://b.org, c", "https://b.org", "http://[ and https://c.org)\n\n", " "])
    assert.equal(parts(text).map((part) => (typeof part === "string" ? part : part.text)).join(""), text);
});

test("a message needs some text, not too much, and a name", () => {
  assert.equal(problem("Ada", "x", 3), null);
  assert.equal(problem("Ada", " 👩👩👩 ", 3), null);
  assert.deepEqual(problem("Ada", " \n", 3), { field: "message", words: "Write something first." });
  assert.deepEqual(problem("Ada", "abcd", 3), { field: "message", words: "Too long: 4 of at most 3 characters." });
  assert.deepEqual(problem(" ", "x", 3), { field: "handle", words: "Say who you are first." });
});

test("a key is a random UUID", () => {
  const keys = new Set(Array.from({ length: 100 }, newKey));
  assert.equal(keys.size, 100);
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("messages stand in the order of their times, then of their keys; what isn't sent yet is last", () => {
  const row = (key, timestamp) => ({ key, timestamp, handle: "A", message: "m" });
  const rows = new Map([
    [10, row("c", "2026-01-01T00:00:01.5Z")],
    [9, row("b", "2026-01-01T00:00:01.500Z")],
    [1, row("d", "2026-01-01T00:00:02Z")],
    [12, row("a", "2026-01-01T00:00:01Z")],
  ]);
  const outgoing = [row("d", "2026-01-01T00:00:00Z"), row("e", "2026-01-01T00:00:00Z")].map((one) => ({ ...one, state: "pending", reason: "" }));
  const shown = inOrder(rows, outgoing);
  assert.deepEqual(shown.map(({ key }) => key), ["a", "b", "c", "d", "e"]);
  assert.deepEqual(shown.map(({ state }) => state), ["sent", "sent", "sent", "sent", "pending"]);
});

test("who has several pages open is here once", () => {
  assert.deepEqual(people([{ handle: "Bob" }, { handle: "ada" }, { handle: "Bob" }]), ["ada", "Bob"]);
});

/** A stream that answers as told: `answers` are what `create` resolves or rejects with, in turn. */
function outboxOf(answers, rows = new Map()) {
  const created = [];
  const stream = {
    rows,
    state: "idle",
    async create(data) {
      created.push(data.key);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
    },
  };
  const states = [];
  const outbox = new Outbox(stream, ({ state, reason }) => states.push(reason ? `${state}: ${reason}` : state));
  const written = { key: "k", handle: "Ada", message: "Hello", timestamp: "2026-01-01T00:00:00Z" };
  return { outbox, stream, created, states, written };
}
const refusal = (status, errors) => new RequestError({ response_status: status, errors });

test("what was sent is no longer in the outbox", async () => {
  const { outbox, written } = outboxOf([null]);
  const sending = outbox.add(written);
  assert.equal(outbox.messages.get("k").state, "pending");
  await sending;
  assert.equal(outbox.messages.size, 0);
});

test("what is refused says why, and may be sent again or thrown away", async () => {
  const { outbox, states, written, created } = outboxOf([refusal(429, ["Slowly."]), refusal(400, [{ message: ["No."] }])]);
  await outbox.add(written);
  assert.deepEqual(states, ["pending", "failed: Slowly."]);
  outbox.settle();
  assert.deepEqual(created, ["k"]);
  await outbox.send(outbox.messages.get("k"));
  assert.equal(states.at(-1), "failed: No.");
  outbox.discard(outbox.messages.get("k"));
  assert.equal(outbox.messages.size, 0);
});

test("what has no answer waits for the connection, and is sent once more then", async () => {
  const { outbox, stream, states, written, created } = outboxOf([new UnknownOutcomeError("Lost."), null]);
  await outbox.add(written);
  assert.deepEqual(states, ["pending", "waiting"]);
  stream.state = "live";
  outbox.settle();
  assert.deepEqual(created, ["k", "k"]);
  await new Promise(setImmediate);
  assert.equal(outbox.messages.size, 0);
});

test("what had come although its answer was lost isn't sent again", async () => {
  const rows = new Map([[7, { key: "k" }]]);
  const { outbox, written, created } = outboxOf([new UnknownOutcomeError("Lost.")], rows);
  await outbox.add(written);
  outbox.settle();
  assert.deepEqual(created, ["k"]);
  assert.equal(outbox.messages.size, 0);
});

test("what the server has already, further back than the page looks, counts as sent", async () => {
  const { outbox, written } = outboxOf([refusal(400, [{ key: ["There is one."] }])]);
  await outbox.add(written);
  assert.equal(outbox.messages.size, 0);
});
