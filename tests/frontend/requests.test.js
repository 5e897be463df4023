/** Requests as promises, and what becomes of them when the connection doesn't last. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveWorld, World } from "./fakes.js";

test("resolves with the reply; by then the rows hold it", async () => {
  const { world, ints } = liveWorld();
  const created = ints.create({ name: "b", value: 2 });
  world.socket.batch([{ action: "create", pk: 2, data: { name: "b", value: 2 } }], "c2");
  world.socket.reply(2, { action: "create", response_status: 201, pk: 2, data: { name: "b", value: 2 } });
  assert.deepEqual(await created, { status: 201, pk: 2, data: { name: "b", value: 2 } });
  assert.equal(ints.rows.get(2).value, 2);
});

test("replies find their requests in any order", async () => {
  const { world, ints } = liveWorld();
  const first = ints.update(1, { value: 2 });
  const second = ints.update(2, { value: 3 });
  world.socket.reply(3, { action: "update", data: "second" });
  world.socket.reply(2, { action: "update", data: "first" });
  assert.equal((await first).data, "first");
  assert.equal((await second).data, "second");
});

test("a refusal says why, as a whole and by field", async () => {
  const { world, ints } = liveWorld();
  const asked = ints.create({});
  const errors = ["Both are wrong.", { name: ["This field is required."], value: ["Too big.", "Too odd."] }, { non_field_errors: ["Really."] }];
  world.socket.reply(2, { action: "create", response_status: 400, errors, data: { held: 1 } });
  await assert.rejects(asked, (error) => {
    assert.equal(error.message, "Both are wrong. This field is required. Too big. Too odd. Really.");
    assert.deepEqual({ ...error.fields }, {
      "": ["Both are wrong.", "Really."],
      name: ["This field is required."],
      value: ["Too big.", "Too odd."],
    });
    assert.equal(error.status, 400);
    assert.equal(error.stream, "intval");
    assert.deepEqual(error.data, { held: 1 });
    return true;
  });
});

test("a refusal without words still has some", async () => {
  const { world, ints } = liveWorld();
  const asked = ints.delete(1);
  world.socket.reply(2, { action: "delete", response_status: 500 });
  await assert.rejects(asked, /The server answered 500\./);
});

test("sent and not answered when the connection is lost: unknown", async () => {
  const { world, ints } = liveWorld();
  const asked = ints.request("update", { pk: 1, data: { value: 2 } });
  world.socket.end();
  await assert.rejects(asked, { name: "UnknownOutcomeError", message: "Connection lost; unknown whether it was applied." });
  world.pass(1000);
  world.socket.open();
  assert.deepEqual(world.socket.payloads("update"), [], "it isn't sent twice");
});

test("sent and never answered: unknown", async () => {
  const { world, ints } = liveWorld();
  const asked = ints.request("update", { pk: 1, data: { value: 2 } });
  for (let n = 0; n < 3; n++) {
    world.pass(10_000);
    world.socket.receive("pong!");
  }
  await assert.rejects(asked, { name: "UnknownOutcomeError", message: /No answer came/ });
});

test("asked without a connection it waits, and goes after the subscription", async () => {
  const world = new World();
  const ints = world.connect().stream("intval");
  const asked = ints.request("update", { pk: 1, data: { value: 2 } });
  world.pass(3000);
  world.socket.open();
  assert.deepEqual(world.socket.frames.map(({ payload }) => payload.action), ["subscribe", "update"]);
  world.socket.reply(2, { action: "update" });
  assert.equal((await asked).status, 200);
  world.pass(60_000);
  assert.equal(world.sockets[0].payloads("update").length, 1);
});

test("asked without a connection for too long it is rejected unsent", async () => {
  const { world, ints } = liveWorld();
  world.socket.end();
  const asked = ints.request("update", { pk: 1, data: { value: 2 } });
  world.pass(5000);
  await assert.rejects(asked, { name: "NotSentError", message: "Not connected; nothing was sent." });
  world.pass(20_000);
  world.socket.open();
  assert.deepEqual(world.socket.payloads("update"), []);
});

test("what waits when the connection is closed for good is rejected at once", async () => {
  const { world, live, ints } = liveWorld();
  world.socket.end();
  const asked = ints.request("update", { pk: 1, data: { value: 2 } });
  live.close();
  await assert.rejects(asked, { name: "NotSentError" });
});

test("a reply that comes too late or to nobody does no harm", () => {
  const { world, live, ints } = liveWorld();
  live.on("error", (error) => assert.fail(error));
  world.socket.reply(77, { action: "update" });
  world.socket.reply("x", { action: "update" });
  assert.equal(ints.rows.size, 1);
  assert.deepEqual(world.reported, []);
});
