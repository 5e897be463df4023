/** A stream: subscribing, resuming, changes, acks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveWorld, record, World } from "./fakes.js";

const A = { name: "a", value: 1 };
const B = { name: "b", value: 2 };

test("starts from the rows of the page and resumes at their cursor", () => {
  const world = new World();
  const live = world.connect();
  const ints = live.stream("intval", { initial: { items: [{ pk: 1, data: A }], cursor: "c0" } });
  assert.deepEqual([...ints.rows], [[1, A]]);
  assert.ok(ints.loaded);
  const changes = record(ints, "change");
  world.socket.open();
  assert.deepEqual(world.socket.payloads("subscribe"), [{ action: "subscribe", request_id: 1, window: 8, cursor: "c0" }]);
  world.socket.reply(1, { action: "subscribe", data: { resumed: true } });
  assert.equal(ints.state, "subscribing");
  world.socket.batch([{ action: "create", pk: 2, data: B }], "c1");
  assert.equal(ints.state, "live");
  assert.deepEqual(changes, [{ created: [{ pk: 2, data: B, before: null }], updated: [], deleted: [], reset: false, resumed: true }]);
  world.socket.batch([{ action: "delete", pk: 2 }], "c2");
  assert.equal(changes[1].resumed, false);
});

test("without rows in the page it subscribes for a snapshot", () => {
  const world = new World();
  const ints = world.connect().stream("intval", { initial: { items: null, cursor: null }, params: { room: 3 } });
  assert.equal(ints.loaded, false);
  world.socket.open();
  assert.deepEqual(world.socket.payloads("subscribe"), [{ action: "subscribe", request_id: 1, window: 8, room: 3 }]);
});

test("a stream asked for on a live connection subscribes at once", () => {
  const { world, live } = liveWorld();
  live.stream("floatval");
  assert.equal(world.socket.frames.at(-1).stream, "floatval");
});

test("one name is one stream; other parameters are an error", () => {
  const { live, ints } = liveWorld();
  assert.equal(live.stream("intval"), ints);
  assert.throws(() => live.stream("intval", { params: { room: 1 } }), /other parameters/);
});

test("the client decides what is created and what updated", () => {
  const { world, ints } = liveWorld([[1, A]]);
  const changes = record(ints, "change");
  world.socket.batch(
    [
      { action: "create", pk: 1, data: { name: "a", value: 5 } },
      { action: "update", pk: 2, data: B },
      { action: "delete", pk: 3 },
    ],
    "c2",
  );
  assert.deepEqual(changes, [
    {
      created: [{ pk: 2, data: B, before: null }],
      updated: [{ pk: 1, data: { name: "a", value: 5 }, before: A }],
      deleted: [],
      reset: false,
      resumed: false,
    },
  ]);
});

test("what changes nothing is no change", () => {
  const { world, ints } = liveWorld([[1, A]]);
  const changes = record(ints, "change");
  world.socket.batch([], "c2");
  world.socket.batch([{ action: "update", pk: 1, data: { ...A } }], "c3");
  assert.deepEqual(changes, []);
  assert.equal(ints.cursor, "c3");
});

test("a snapshot comes as one change: the difference, and nothing before it is complete", () => {
  const { world, ints } = liveWorld([[1, A], [2, B]]);
  const rows = ints.rows;
  const changes = record(ints, "change");
  const chunk = (items, complete, cursor) =>
    world.socket.receive({ stream: "intval", payload: { action: "snapshot", items, complete }, cursor });
  chunk([{ pk: 1, data: { ...A } }], false, "");
  assert.deepEqual([...rows.keys()], [1, 2]);
  assert.deepEqual(changes, []);
  chunk([{ pk: 3, data: B }], true, "c2");
  assert.deepEqual([...rows.keys()], [1, 3]);
  assert.equal(ints.rows, rows);
  assert.deepEqual(changes, [
    {
      created: [{ pk: 3, data: B, before: null }],
      updated: [],
      deleted: [{ pk: 2, data: B, before: B }],
      reset: true,
      resumed: false,
    },
  ]);
});

test("after a lost connection it resumes with the last cursor applied", () => {
  const { world, ints } = liveWorld();
  world.socket.batch([{ action: "create", pk: 2, data: B }], "c2");
  world.socket.end(1012);
  assert.equal(ints.state, "idle");
  assert.equal(ints.rows.size, 2);
  world.pass(1000);
  world.socket.open();
  assert.equal(world.socket.payloads("subscribe")[0].cursor, "c2");
  assert.equal(ints.state, "subscribing");
});

test("a snapshot cut short by a lost connection is forgotten", () => {
  const { world, ints } = liveWorld([[1, A]]);
  world.socket.receive({ stream: "intval", payload: { action: "snapshot", items: [{ pk: 9, data: B }], complete: false } });
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  world.socket.reply(world.socket.payloads("subscribe")[0].request_id, { action: "subscribe", data: { resumed: false } });
  world.socket.snapshot([[2, B]], "c2");
  assert.deepEqual([...ints.rows.keys()], [2]);
});

test("a snapshot that the server breaks off is forgotten, and its frames are acknowledged as any", () => {
  const { world, live, ints } = liveWorld([[1, A]]);
  const messages = record(ints, "message");
  world.paint();
  world.pass(250);
  const before = acks(world).length;
  world.socket.receive({ stream: "intval", payload: { action: "snapshot", items: [{ pk: 9, data: B }], complete: false }, cursor: "" });
  const payload = { action: "subscribe", request_id: null, response_status: 200, errors: [], data: { resumed: false } };
  world.socket.receive({ stream: "intval", payload });
  world.socket.snapshot([[2, B]], "c2");
  assert.deepEqual([...ints.rows.keys()], [2]);
  assert.deepEqual(messages, []);
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(world).slice(before), [2]);
});

test("a malformed batch is applied not at all, and no cursor is good until its stream begins anew", () => {
  const { world, live, ints } = liveWorld([[1, A]]);
  const errors = record(live, "error");
  const bad = [
    { action: "batch", events: [{ action: "delete", pk: 1 }, { action: "update", pk: 2 }] },
    { action: "batch", events: [{ action: "delete", pk: null }] },
    { action: "batch", events: [{ action: "upsert", pk: 1, data: {} }] },
    { action: "batch", events: [null] },
    { action: "batch" },
    { action: "batch", events: [], keep: 1 },
    { action: "snapshot", items: [{ pk: 1 }], complete: true },
    { action: "snapshot", complete: true },
  ];
  for (const payload of bad) world.socket.receive({ stream: "intval", payload, cursor: "cx" });
  assert.equal(errors.length, bad.length);
  assert.equal(errors[0].stream, "intval");
  assert.deepEqual([...ints.rows], [[1, A]]);
  world.socket.batch([{ action: "create", pk: 2, data: B }], "c9");
  assert.equal(ints.rows.size, 2);
  assert.equal(ints.cursor, null);
  world.socket.snapshot([], "c10");
  assert.equal(ints.cursor, "c10");
});

test("after a malformed frame the rows are asked for anew, and until they have come it isn't live", () => {
  const { world, live, ints } = liveWorld([[1, A]]);
  live.on("error", () => {});
  const asked = () => world.socket.payloads("subscribe").length;
  const before = asked();
  for (let i = 0; i < 3; i++) world.socket.receive({ stream: "intval", payload: { action: "batch" }, cursor: "c2" });
  assert.equal(ints.state, "subscribing");
  world.socket.batch([{ action: "create", pk: 2, data: B }], "c3");
  assert.equal(ints.state, "subscribing");
  world.pass(2000);
  assert.equal(asked(), before + 1);
  const { request_id, cursor } = world.socket.payloads("subscribe").at(-1);
  assert.equal(cursor, undefined);
  world.socket.reply(request_id, { action: "subscribe", data: { resumed: false } });
  world.socket.snapshot([[3, B]], "c4");
  assert.equal(ints.state, "live");
  assert.deepEqual([...ints.rows.keys()], [3]);
  world.pass(9000);
  assert.equal(asked(), before + 1);
});

test("frames of a stream that was unsubscribed aren't those of the next one of its name", async () => {
  const { world, live, ints } = liveWorld([[1, A]]);
  const ended = ints.unsubscribe();
  const other = live.stream("intval", { params: { room: 2 } });
  world.socket.batch([{ action: "update", pk: 1, data: B }], "c2"); // on its way already
  assert.equal(other.state, "subscribing");
  assert.equal(other.rows.size, 0);
  assert.equal(other.cursor, null);
  const [left] = world.socket.payloads("unsubscribe");
  world.socket.reply(left.request_id, { action: "unsubscribe" });
  await ended;
  const { request_id } = world.socket.payloads("subscribe").at(-1);
  world.socket.reply(request_id, { action: "subscribe", data: { resumed: false } });
  world.socket.snapshot([[2, B]], "c3");
  assert.equal(other.state, "live");
  assert.deepEqual([...other.rows.keys()], [2]);
});

test("a refused subscription is that stream's state, the others go on", () => {
  const { world, live, ints } = liveWorld();
  const secret = live.stream("secret");
  const errors = record(secret, "error");
  const all = record(live, "error");
  world.socket.reply(2, { action: "subscribe", response_status: 403, errors: ["You may not."] }, "secret");
  assert.equal(secret.state, "refused");
  assert.equal(secret.error.status, 403);
  assert.equal(secret.error.message, "You may not.");
  assert.equal(errors.length, 1);
  assert.equal(all[0].stream, "secret");
  world.pass(15_000);
  assert.equal(world.socket.payloads("subscribe").length, 2);
  world.socket.batch([{ action: "delete", pk: 1 }], "c2");
  assert.equal(ints.rows.size, 0);
});

test("a subscription the server can't serve just now is tried again", () => {
  for (const status of [429, 500, 503]) {
    const { world, live } = liveWorld();
    const other = live.stream("other");
    live.on("error", () => {});
    world.socket.reply(2, { action: "subscribe", response_status: status, errors: ["Later."] }, "other");
    assert.equal(other.state, "idle");
    world.pass(2000);
    assert.equal(world.socket.payloads("subscribe").length, 3);
    assert.equal(other.state, "subscribing");
  }
});

test("a subscription that came too often waits as long as the server says, and is still refused in words", () => {
  const { world, live } = liveWorld();
  const other = live.stream("other");
  const errors = record(other, "error");
  world.socket.reply(2, { action: "subscribe", response_status: 429, errors: ["Slowly."], retry_after: 5 }, "other");
  assert.equal(errors[0].retryAfter, 5);
  assert.equal(errors[0].message, "Slowly.");
  world.pass(4_900);
  assert.equal(world.socket.payloads("subscribe").length, 2);
  world.pass(2_200);
  assert.equal(world.socket.payloads("subscribe").length, 3);
});

test("other payloads are messages, late replies are not", () => {
  const { world, ints } = liveWorld();
  const messages = record(ints, "message");
  world.socket.receive({ stream: "intval", payload: { action: "typing", who: "ana" } });
  world.socket.reply(99, { action: "update" });
  assert.deepEqual(messages, [{ action: "typing", who: "ana" }]);
});

test("unsubscribe tells the server and ends it for the next connection too", async () => {
  const { world, live, ints } = liveWorld();
  const done = ints.unsubscribe();
  world.socket.reply(2, { action: "unsubscribe" });
  await done;
  world.socket.batch([{ action: "delete", pk: 1 }], "c2");
  assert.equal(ints.rows.size, 1);
  assert.equal(ints.state, "closed");
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  assert.deepEqual(world.socket.frames, []);
  assert.notEqual(live.stream("intval"), ints);
});

const acks = (world) => world.socket.payloads("ack").map(({ frames }) => frames);

test("a frame is acknowledged when it is painted: at half the window at once", () => {
  const { world } = liveWorld();
  world.paint();
  for (let n = 0; n < 3; n++) world.socket.batch([], `c${n}`);
  assert.deepEqual(acks(world), []);
  world.paint();
  assert.deepEqual(acks(world), [4]);
});

test("fewer are acknowledged after 250 ms", () => {
  const { world } = liveWorld();
  world.paint();
  world.pass(100);
  world.socket.batch([], "c2");
  world.paint();
  assert.deepEqual(acks(world), []);
  world.pass(150);
  assert.deepEqual(acks(world), [2]);
});

test("frames without a cursor don't count", () => {
  const { world } = liveWorld();
  world.socket.receive({ stream: "intval", payload: { action: "snapshot", items: [], complete: false } });
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(world), [1]);
});

test("each frame of a large snapshot counts, and only the last one makes the stream live", () => {
  const world = new World();
  const ints = world.connect().stream("intval", { window: 4 });
  world.socket.open();
  world.socket.reply(1, { action: "subscribe", data: { resumed: false } });
  const chunk = (pk, complete, cursor) =>
    world.socket.receive({ stream: "intval", payload: { action: "snapshot", items: [{ pk, data: A }], complete }, cursor });
  for (const pk of [1, 2]) chunk(pk, false, "");
  world.paint();
  assert.deepEqual(acks(world), [2]);
  assert.equal(ints.state, "subscribing");
  assert.equal(ints.cursor, null);
  chunk(3, true, "c1");
  assert.equal(ints.state, "live");
  assert.deepEqual([...ints.rows.keys()], [1, 2, 3]);
});

test("a malformed frame with a cursor counts: the window must not shrink", () => {
  const { world, live } = liveWorld();
  live.on("error", () => {});
  world.socket.receive({ stream: "intval", payload: { action: "batch" }, cursor: "c2" });
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(world), [2]);
});

test("a page that doesn't paint doesn't acknowledge", () => {
  const { world } = liveWorld();
  world.socket.batch([], "c2");
  world.pass(900);
  assert.deepEqual(acks(world), []);
  world.pass(100); // shown, but never painted: out of sight
  assert.deepEqual(acks(world), [2]);
});

test("a hidden page acknowledges by timer", () => {
  const { world } = liveWorld();
  world.paint();
  world.pass(250);
  world.hide(true);
  for (let n = 0; n < 6; n++) world.socket.batch([], `c${n}`);
  assert.deepEqual(acks(world), [1]);
  world.pass(250);
  assert.deepEqual(acks(world), [1, 6]);
});

test("a page hidden between frame and paint acknowledges by timer, and once", () => {
  const { world } = liveWorld();
  world.hide(true);
  world.pass(250);
  assert.deepEqual(acks(world), [1]);
  world.hide(false);
  world.paint();
  world.pass(1000);
  assert.deepEqual(acks(world), [1]);
});

test("frames of a lost connection are not acknowledged on the next", () => {
  const { world } = liveWorld();
  world.socket.end();
  world.pass(600);
  world.socket.open();
  world.paint();
  world.pass(2000);
  assert.deepEqual(acks(world), []);
});

test("with a window of one every painted frame is acknowledged at once", () => {
  const { world } = liveWorld([], { window: 1 });
  world.paint();
  assert.deepEqual(acks(world), [1]);
});

const reply = (world, id, payload) => world.socket.reply(id, { action: "subscribe", data: { resumed: false }, ...payload });
/** What became of a promise so far. */
async function outcome(promise) {
  let became = "pending";
  promise.then(
    () => (became = "resolved"),
    (error) => (became = error.message),
  );
  await turn();
  return became;
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("other parameters replace the rows in one change, and they are live until then", async () => {
  const { world, ints } = liveWorld([[1, A]]);
  const [changes, states] = [record(ints, "change"), record(ints, "state")];
  const moved = ints.subscribe({ limit: 2 });
  assert.deepEqual(world.socket.payloads("subscribe")[1], { action: "subscribe", request_id: 2, window: 8, limit: 2, cursor: "c1" });
  world.socket.batch([{ action: "update", pk: 1, data: { ...A, value: 2 } }], "c2");
  assert.equal(ints.rows.get(1).value, 2);
  await turn();
  assert.equal(await outcome(moved), "pending");
  reply(world, 2);
  world.socket.snapshot([[1, { ...A, value: 2 }], [2, B]], "c3");
  await moved;
  assert.deepEqual(changes.at(-1), { created: [{ pk: 2, data: B, before: null }], updated: [], deleted: [], reset: true, resumed: false });
  assert.deepEqual(states, []);
  assert.deepEqual(ints.params, { limit: 2 });
});

/** A live stream of which all frames are acknowledged; and of how many each ack has told since. */
function acknowledgedWorld() {
  const { world, ints } = liveWorld();
  world.paint();
  world.pass(250);
  const before = world.socket.payloads("ack").length;
  return { world, ints, acks: () => world.socket.payloads("ack").slice(before).map(({ frames }) => frames) };
}

test("frames of the subscription before are not acknowledged to the new one", () => {
  const { world, ints, acks } = acknowledgedWorld();
  for (let n = 2; n < 8; n++) world.socket.batch([], `c${n}`);
  void ints.subscribe({ limit: 2 });
  reply(world, 2);
  world.socket.snapshot([[1, A]], "c9");
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(), [1]);
});

test("frames painted while the subscription before ended are not acknowledged to the new one", () => {
  const { world, ints, acks } = acknowledgedWorld();
  void ints.subscribe({ limit: 2 });
  for (let n = 2; n < 8; n++) world.socket.batch([], `c${n}`);
  world.platform.requestAnimationFrame(() => reply(world, 2));
  world.paint();
  world.pass(2000);
  assert.deepEqual(acks(), []);
});

test("nothing is acknowledged while another subscription is asked for, since it might count for that one", () => {
  const { world, ints, acks } = acknowledgedWorld();
  void ints.subscribe({ limit: 2 });
  for (let n = 2; n < 8; n++) world.socket.batch([], `c${n}`);
  world.paint();
  world.pass(5000);
  assert.deepEqual(acks(), []);
  reply(world, 2);
  world.socket.snapshot([[1, A]], "c9");
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(), [1]);
});

test("where it is refused, what came meanwhile is acknowledged, and all that comes", async () => {
  const { world, ints, acks } = acknowledgedWorld();
  const moved = ints.subscribe({ limit: 9999 });
  for (let n = 2; n < 5; n++) world.socket.batch([], `c${n}`);
  world.paint();
  world.pass(250);
  world.socket.batch([], "c5");
  reply(world, 2, { response_status: 400, errors: ["Too many."], data: null });
  await assert.rejects(moved, { name: "RequestError" });
  world.paint();
  world.pass(250);
  assert.deepEqual(acks(), [3, 1]);
});

test("refused parameters leave the subscription as it was", async () => {
  const { world, ints } = liveWorld([[1, A]]);
  const moved = ints.subscribe({ limit: 9999 });
  reply(world, 2, { response_status: 400, errors: ["Too many."], data: null });
  await assert.rejects(moved, { name: "RequestError", message: "Too many." });
  assert.deepEqual(ints.params, {});
  assert.equal(ints.state, "live");
  world.socket.batch([{ action: "create", pk: 2, data: B }], "c2");
  assert.equal(ints.rows.size, 2);
});

test("a connection lost on the way comes back with the new parameters", async () => {
  const { world, ints } = liveWorld();
  const moved = ints.subscribe({ limit: 2 });
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  const [again] = world.socket.payloads("subscribe");
  assert.equal(again.limit, 2);
  assert.equal(await outcome(moved), "pending");
  reply(world, again.request_id);
  world.socket.snapshot([[2, B]], "c2");
  await moved;
  assert.deepEqual([...ints.rows.keys()], [2]);
});

test("parameters that are refused when the connection is back leave the subscription as it was, if that is still granted", async () => {
  for (const [status, state, held] of [
    [200, "live", [1, 2]],
    [401, "refused", []],
  ]) {
    const { world, ints } = liveWorld([[1, B], [2, B]]);
    ints.on("error", () => {});
    const moved = ints.subscribe({ limit: 9999 });
    world.socket.end();
    world.pass(1000);
    world.socket.open();
    reply(world, world.socket.payloads("subscribe")[0].request_id, { response_status: 400, errors: ["Too many."], data: null });
    await assert.rejects(moved, { status: 400 });
    const again = world.socket.payloads("subscribe")[1];
    assert.deepEqual([again.limit, again.cursor, ints.rows.size], [undefined, "c1", 2]);
    reply(world, again.request_id, { response_status: status, errors: [], data: { resumed: true } });
    world.socket.batch([], "c2");
    assert.deepEqual([ints.state, [...ints.rows.keys()]], [state, held]);
  }
});

test("of parameters asked for in a row the last ones count", async () => {
  const { world, ints } = liveWorld();
  const moves = [ints.subscribe({ limit: 2 }), ints.subscribe({ limit: 3 })];
  reply(world, 2, { response_status: 429, errors: ["Later."], data: null });
  reply(world, 3);
  world.socket.snapshot([[2, B]], "c2");
  await Promise.all(moves);
  assert.deepEqual(ints.params, { limit: 3 });
});

test("rows of parameters that were asked for before are not those of the last ones", async () => {
  const { world, ints } = liveWorld();
  const moves = [ints.subscribe({ limit: 2 }), ints.subscribe({ limit: 3 })];
  reply(world, 2);
  world.socket.snapshot([[2, B]], "c2");
  assert.deepEqual(await Promise.all(moves.map(outcome)), ["pending", "pending"]);
  reply(world, 3);
  world.socket.snapshot([[3, B]], "c3");
  await Promise.all(moves);
  assert.deepEqual([...ints.rows.keys()], [3]);
});

test("a refused stream may ask with other parameters", async () => {
  const world = new World();
  const ints = world.connect().stream("intval", { params: { room: 1 } });
  ints.on("error", () => {});
  world.socket.open();
  reply(world, 1, { response_status: 403, errors: ["No."], data: null });
  assert.equal(ints.state, "refused");
  const moved = ints.subscribe({ room: 2 });
  reply(world, 2);
  world.socket.snapshot([[2, B]], "c2");
  await moved;
  assert.equal(ints.state, "live");
});

test("parameters without an answer are asked for again", async () => {
  const { world, ints } = liveWorld();
  const moved = ints.subscribe({ limit: 2 });
  while (world.socket.payloads("subscribe").length < 3) {
    world.pass(1000);
    world.socket.receive("pong!");
  }
  const { request_id } = world.socket.payloads("subscribe")[2];
  reply(world, request_id);
  world.socket.snapshot([[2, B]], "c2");
  await moved;
});

test("who unsubscribes waits for no parameters any more", async () => {
  const { ints } = liveWorld();
  const moved = ints.subscribe({ limit: 2 });
  void ints.unsubscribe();
  await assert.rejects(moved, /unsubscribed/);
  await assert.rejects(ints.subscribe({ limit: 3 }), /unsubscribed/);
});

test("what the server takes back is gone, and the stream refused", () => {
  const { world, ints } = liveWorld([[1, A]]);
  const errors = record(ints, "error");
  const changes = record(ints, "change");
  world.socket.receive({ stream: "intval", payload: { action: "snapshot", items: [], complete: true }, cursor: "void" });
  world.socket.receive({
    stream: "intval",
    payload: { action: "unsubscribe", request_id: null, response_status: 403, errors: ["You may not."], data: null },
  });
  assert.equal(ints.rows.size, 0);
  assert.deepEqual(changes.at(-1).deleted, [{ pk: 1, data: A, before: A }]);
  assert.equal(ints.state, "refused");
  assert.equal(ints.error?.status, 403);
  assert.equal(errors.length, 1);
});
