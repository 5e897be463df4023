/** The chat's parts that need no page: texts, order, and what isn't sent yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newKey } from "../../frontend/databinding/key.js";
import { inOrder, people } from "../../frontend/chat/order.js";
import { Outbox } from "../../frontend/chat/outbox.js";
import { parts, problem } from "../../frontend/chat/text.js";
import { liveWorld } from "./fakes.js";

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

/** An outbox in a room whose connection is live, and what became of its messages. */
function room() {
  const { world, live, ints } = liveWorld([]);
  const states = [];
  const outbox = new Outbox(ints, live.outbox, ({ state, reason }) => states.push(reason ? `${state}: ${reason}` : state));
  const written = { key: "k", handle: "Ada", message: "Hello", timestamp: "2026-01-01T00:00:00Z" };
  const answer = (payload) => {
    const { request_id: id } = world.socket.payloads("create").at(-1);
    world.socket.reply(id, { action: "create", ...payload });
  };
  return { world, outbox, states, written, answer };
}

test("what was sent is no longer in the outbox", async () => {
  const { world, outbox, written, answer } = room();
  const sending = outbox.add(written);
  assert.equal(outbox.messages.get("k").state, "pending");
  const [{ data, idempotency_key: key }] = world.socket.payloads("create");
  assert.deepEqual([data, key], [{ key: "k", handle: "Ada", message: "Hello" }, "k"]);
  answer({ response_status: 201, pk: 1 });
  await sending;
  assert.equal(outbox.messages.size, 0);
});

test("what is refused says why, and may be sent again or thrown away", async () => {
  const { outbox, states, written, answer } = room();
  let sending = outbox.add(written);
  answer({ response_status: 429, errors: ["Slowly."] });
  await sending;
  assert.deepEqual(states, ["failed: Slowly."]);
  sending = outbox.send(outbox.messages.get("k"));
  answer({ response_status: 400, errors: [{ message: ["No."] }] });
  await sending;
  assert.deepEqual(states.slice(1), ["pending", "failed: No."]);
  outbox.discard(outbox.messages.get("k"));
  assert.equal(outbox.messages.size, 0);
});

test("what has no answer waits for the connection, and is sent once more then", async () => {
  const { world, outbox, states, written, answer } = room();
  const sending = outbox.add(written);
  world.socket.end();
  assert.deepEqual(states, ["waiting"]);
  world.pass(1000);
  world.socket.open();
  assert.deepEqual(states, ["waiting", "pending"]);
  answer({ response_status: 201, pk: 1 });
  await sending;
  assert.equal(outbox.messages.size, 0);
});

test("what waits can be thrown away", async () => {
  const { world, outbox, states, written } = room();
  world.socket.end();
  const sending = outbox.add(written);
  assert.deepEqual(states, ["waiting"]);
  outbox.discard(outbox.messages.get("k"));
  await sending;
  assert.equal(outbox.messages.size, 0);
  world.pass(1000);
  world.socket.open();
  assert.deepEqual(world.socket.payloads("create"), []);
});
