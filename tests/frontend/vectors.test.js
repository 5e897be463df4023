/** The wire vectors that the Python tests read too. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { liveWorld, record, World } from "./fakes.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8"));

/** Rows in a form that doesn't depend on their order but on the type of their pks. */
function sorted(rows) {
  return [...rows].map((row) => JSON.stringify(row)).sort();
}

for (const { name, start, frames, rows, cursor } of vectors.apply) {
  test(`apply: ${name}`, () => {
    const world = new World();
    const live = world.connect();
    const items = start.map(([pk, data]) => ({ pk, data }));
    const ints = live.stream("intval", { initial: { items, cursor: null } });
    const errors = record(live, "error");
    world.socket.open();
    world.socket.reply(1, { action: "subscribe", data: { resumed: false } });
    for (const frame of frames) world.socket.receive(frame);
    assert.deepEqual(sorted(ints.rows), sorted(rows));
    assert.equal(ints.cursor, cursor);
    assert.deepEqual(errors, []);
    assert.deepEqual(world.reported, []);
  });
}

for (const { name, options, call, frame } of vectors.client) {
  test(`client: ${name}`, () => {
    const world = new World();
    const ints = world.connect().stream("intval", options);
    world.socket.open();
    if (call.method === "ack") {
      world.socket.reply(1, { action: "subscribe", data: { resumed: false } });
      for (let n = 0; n < call.args[0]; n++) world.socket.batch([], `c${n}`);
      world.paint();
    } else if (call.method !== "subscribe") {
      world.socket.reply(1, { action: "subscribe", data: { resumed: false } });
      ints[call.method](...call.args).catch(() => {});
    }
    assert.deepEqual(world.socket.frames.at(-1), frame);
  });
}

for (const { name, frame, settles } of vectors.server) {
  test(`server: ${name}`, async () => {
    const { world, live, ints } = liveWorld();
    const errors = record(live, "error");
    const { request_id: id, action, errors: messages, response_status: status, pk, data } = frame.payload;
    if (settles === "event") {
      world.socket.receive(frame);
      assert.equal(errors.length, 1);
      assert.equal(errors[0].status, status);
      assert.deepEqual(errors[0].errors, messages);
      return;
    }
    const asked = ints.request(action, { pk: 1 });
    world.socket.receive({ ...frame, payload: { ...frame.payload, request_id: world.socket.frames.at(-1).payload.request_id } });
    assert.ok(id > 0);
    if (settles === "resolved") assert.deepEqual(await asked, { status, pk: pk ?? null, data });
    else
      await assert.rejects(asked, (error) => {
        assert.equal(error.name, "RequestError");
        assert.equal(error.status, status);
        assert.deepEqual(error.errors, messages);
        assert.deepEqual(error.data, data);
        return true;
      });
    assert.deepEqual(errors, []);
  });
}

for (const { name, call, frame, data } of vectors.connection) {
  test(`connection: ${name}`, async () => {
    const world = new World();
    const live = world.connect(call === "connect" ? { token: "TOKEN" } : {});
    world.socket.open();
    const answered = call === "connect" ? null : live[call]();
    await null;
    assert.deepEqual(world.socket.frames, [frame]);
    world.socket.reply(1, { ...frame.payload, data }, null);
    if (answered) assert.deepEqual(await answered, data);
  });
}
