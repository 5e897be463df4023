/** What is written while there is no connection, and what becomes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveWorld, record, World } from "./fakes.js";

const A = { name: "a", value: 1 };

/** The connection comes back, and the stream with it; what was asked besides. */
function back(world) {
  world.pass(1000);
  world.socket.open();
  return world.socket.frames.map(({ payload }) => payload).filter(({ action }) => action !== "subscribe");
}

/** What the client wrote on the newest socket. */
function written(world) {
  return world.socket.frames.map(({ payload }) => payload).filter(({ action }) => ["create", "update", "delete"].includes(action));
}

function answer(world, payload) {
  const { request_id: id, action } = written(world).at(-1);
  world.socket.reply(id, { action, ...payload });
}

const settled = () => new Promise(setImmediate);

test("what is written with a connection goes at once, and expects nothing", async () => {
  const { world, live, ints } = liveWorld();
  const writing = ints.update(1, { value: 2 });
  assert.deepEqual(written(world), [{ action: "update", request_id: 2, pk: 1, data: { value: 2 } }]);
  assert.equal(live.outbox.size, 1);
  assert.deepEqual(live.outbox.late, []);
  answer(world, { data: { name: "a", value: 2 }, pk: 1 });
  assert.equal((await writing).status, 200);
  assert.equal(live.outbox.size, 0);
});

test("without one it waits, seen, and goes in its order after the subscription", async () => {
  const { world, live, ints } = liveWorld();
  const changes = record(live.outbox, "change");
  world.socket.end();
  const writing = [ints.update(1, { value: 2 }), ints.create({ name: "b" }), ints.delete(1)];
  assert.deepEqual(
    live.outbox.late.map(({ stream, action, pk, data, base, state }) => [stream, action, pk, data, base, state]),
    [
      ["intval", "update", 1, { value: 2 }, { value: 1 }, "waiting"],
      ["intval", "create", null, { name: "b" }, null, "waiting"],
      ["intval", "delete", 1, {}, {}, "waiting"],
    ],
  );
  assert.equal(changes.length, 3);
  assert.deepEqual(back(world), [
    { action: "update", request_id: 3, pk: 1, data: { value: 2 }, expect: { value: 1 } },
    { action: "create", request_id: 4, data: { name: "b" }, idempotency_key: "key-1" },
  ]);
  world.socket.reply(3, { action: "update", data: { name: "a", value: 2 } });
  assert.equal(written(world).at(-1).action, "delete", "of one row the next only after the one before");
  world.socket.reply(4, { action: "create", response_status: 201, pk: 2 });
  answer(world, { response_status: 204 });
  assert.deepEqual((await Promise.all(writing)).map(({ status }) => status), [200, 201, 204]);
  assert.equal(live.outbox.size, 0);
});

test("nothing is waited for longer than it takes: hours, if need be", async () => {
  const { world, ints } = liveWorld();
  world.socket.end();
  const writing = ints.update(1, { value: 2 });
  world.pass(3 * 3_600_000);
  world.socket.open();
  answer(world, { data: A });
  assert.equal((await writing).status, 200);
});

test("a create whose answer was lost is sent again with its key", async () => {
  const { world, ints } = liveWorld();
  const writing = ints.create({ name: "b" });
  world.socket.end();
  assert.deepEqual(back(world), [{ action: "create", request_id: 4, data: { name: "b" }, idempotency_key: "key-1" }]);
  answer(world, { response_status: 201, pk: 2 });
  assert.equal((await writing).pk, 2);
});

test("a key of one's own is kept", () => {
  const { world, ints } = liveWorld();
  ints.create({ name: "b" }, { idempotency_key: "mine" });
  assert.equal(written(world)[0].idempotency_key, "mine");
});

test("an update whose answer was lost expects what was; if it had been applied it is done", async () => {
  const { world, ints } = liveWorld();
  const writing = ints.update(1, { value: 2 });
  world.socket.end();
  assert.deepEqual(back(world), [{ action: "update", request_id: 4, pk: 1, data: { value: 2 }, expect: { value: 1 } }]);
  answer(world, { response_status: 409, errors: ["The row has changed."], pk: 1, data: { name: "renamed", value: 2 } });
  assert.deepEqual(await writing, { status: 200, pk: 1, data: { name: "renamed", value: 2 } });
});

test("if somebody else changed it meanwhile that is a conflict", async () => {
  const { world, live, ints } = liveWorld();
  const refused = record(live.outbox, "refused");
  const writing = ints.update(1, { value: 2 });
  const next = ints.update(2, { value: 7 });
  world.socket.end();
  back(world);
  world.socket.reply(5, { action: "update", response_status: 409, errors: ["The row has changed."], pk: 1, data: { name: "a", value: 3 } });
  await assert.rejects(writing, (error) => {
    assert.equal(error.status, 409);
    assert.deepEqual(error.data, { name: "a", value: 3 });
    return true;
  });
  assert.deepEqual(refused.map(({ write, error }) => [write.pk, write.base, error.status]), [[1, { value: 1 }, 409]]);
  world.socket.reply(6, { action: "update", data: {} });
  assert.equal((await next).status, 200, "what was written behind it isn't held up");
});

test("a delete whose answer was lost is done if the row is gone", async () => {
  const { world, ints } = liveWorld();
  const writing = ints.delete(1);
  world.socket.end();
  back(world);
  answer(world, { response_status: 404, errors: ["Not found."] });
  assert.equal((await writing).status, 204);
});

test("a right withdrawn meanwhile surfaces, and the rest goes on", async () => {
  const { world, live, ints } = liveWorld();
  const refused = record(live.outbox, "refused");
  world.socket.end();
  const forbidden = ints.update(1, { value: 2 });
  const fine = ints.create({ name: "b" });
  back(world);
  world.socket.reply(3, { action: "update", response_status: 403, errors: ["No."] });
  world.socket.reply(4, { action: "create", response_status: 201, pk: 2 });
  await assert.rejects(forbidden, /No\./);
  assert.equal((await fine).pk, 2);
  assert.equal(refused.length, 1);
});

test("what is written twice while away expects what was written before", () => {
  const { world, ints } = liveWorld();
  world.socket.end();
  ints.update(1, { value: 2 });
  ints.update(1, { value: 3 });
  back(world);
  assert.deepEqual(written(world).map(({ expect }) => expect), [{ value: 1 }]);
  world.socket.reply(3, { action: "update", data: {} });
  assert.deepEqual(written(world).at(-1).expect, { value: 2 });
});

test("who says what to expect is believed: something, or nothing", () => {
  const { world, ints } = liveWorld();
  world.socket.end();
  ints.update(1, { value: 2 }, { expect: { name: "a" } });
  ints.update(2, { value: 2 }, { expect: null });
  assert.deepEqual(back(world).map(({ expect }) => expect), [{ name: "a" }, undefined]);
});

test("a database that is away is no answer", async () => {
  const { world, live, ints } = liveWorld();
  const writing = ints.create({ name: "b" });
  answer(world, { response_status: 503, errors: ["The database is away or busy; try again."] });
  const [write] = live.outbox.late;
  assert.equal(write.state, "waiting");
  assert.equal(write.error.status, 503);
  ints.create({ name: "c" });
  assert.equal(written(world).length, 1, "what is written meanwhile waits, too");
  world.pass(2000);
  assert.deepEqual(written(world).map(({ data }) => data.name), ["b", "b", "c"]);
  world.socket.reply(3, { action: "create", response_status: 201, pk: 2 });
  assert.equal((await writing).pk, 2);
});

test("too often: who writes now is told, what is late waits as long as it is told", async () => {
  const { world, ints } = liveWorld();
  const now = ints.create({ name: "b" });
  answer(world, { response_status: 429, errors: ["Slowly."], retry_after: 5 });
  await assert.rejects(now, /Slowly/);
  world.socket.end();
  const late = ints.create({ name: "c" });
  back(world);
  answer(world, { response_status: 429, errors: ["Slowly."], retry_after: 5 });
  world.pass(4900);
  assert.equal(written(world).length, 1);
  world.pass(2000);
  assert.equal(written(world).length, 2);
  answer(world, { response_status: 201, pk: 9 });
  assert.equal((await late).pk, 9);
});

test("what waits can be taken back, what is on its way can't", async () => {
  const { world, live, ints } = liveWorld();
  const sent = ints.update(1, { value: 2 });
  assert.equal(live.outbox.discard(live.outbox.writes[0]), false);
  world.socket.end();
  const unsent = ints.update(2, { value: 3 });
  const [lost, waiting] = live.outbox.late;
  assert.equal(live.outbox.discard(waiting), true);
  assert.equal(live.outbox.discard(waiting), false);
  assert.equal(live.outbox.discard(lost), true);
  await assert.rejects(unsent, { name: "DiscardedError", message: "Discarded; nothing was sent.", stream: "intval" });
  await assert.rejects(sent, { name: "DiscardedError", message: /unknown whether it was applied/ });
  assert.deepEqual(back(world), []);
});

test("only so many wait; one more is refused at once", async () => {
  const { world, ints, live } = liveWorld(undefined, { outbox: { limit: 2 } });
  world.socket.end();
  ints.create({});
  ints.create({});
  await assert.rejects(ints.create({}), { name: "NotSentError", message: "Not connected, and 2 changes wait already; nothing was sent." });
  assert.equal(live.outbox.size, 2);
});

test("only so many are on their way at once", async () => {
  const { world, ints } = liveWorld(undefined, { outbox: { sending: 3 } });
  for (let pk = 0; pk < 5; pk++) ints.update(pk, { value: pk });
  assert.equal(written(world).length, 3);
  world.socket.reply(2, { action: "update" });
  assert.equal(written(world).length, 4);
});

test("without an outbox writes are requests like others", async () => {
  const { world, live, ints } = liveWorld(undefined, { outbox: { limit: 0 } });
  const lost = ints.update(1, { value: 2 });
  world.socket.end();
  await assert.rejects(lost, { name: "UnknownOutcomeError" });
  const unsent = ints.delete(1);
  world.pass(5000);
  await assert.rejects(unsent, { name: "NotSentError" });
  assert.equal(live.outbox.size, 0);
});

test("closed for good, everything that waits is rejected", async () => {
  const { world, live, ints } = liveWorld();
  const sent = ints.update(1, { value: 2 });
  const waits = ints.update(1, { value: 3 });
  world.socket.end(4401);
  await assert.rejects(sent, { name: "UnknownOutcomeError" });
  await assert.rejects(waits, { name: "NotSentError" });
  await assert.rejects(ints.create({}), { name: "NotSentError" });
  assert.equal(live.outbox.size, 0);
});

// Who one is

test("a token is brought first, got anew at each connection", async () => {
  const world = new World();
  let number = 0;
  const live = world.connect({ token: async () => `t${++number}` });
  live.stream("intval");
  world.socket.open();
  assert.deepEqual(world.socket.frames, []);
  await settled();
  assert.deepEqual(world.socket.frames.map(({ payload: { action, token } }) => token ?? action), ["t1", "subscribe"]);
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  await settled();
  assert.equal(world.socket.frames[0].payload.token, "t2");
});

test("a wrong token ends the connection, and says so", async () => {
  const world = new World();
  const live = world.connect({ token: "wrong" });
  const ints = live.stream("intval");
  const errors = record(live, "error");
  world.socket.open();
  await settled();
  const asked = ints.request("list");
  world.socket.reply(1, { action: "authenticate", response_status: 401, errors: ["Invalid token."] }, null);
  await assert.rejects(asked);
  await settled();
  assert.deepEqual([live.state, live.status.reason, live.status.code], ["closed", "session over", 4401]);
  assert.equal(errors[0].message, "Invalid token.");
});

test("a token that has expired is got anew; a text can't be", async () => {
  for (const [token, state] of [
    [() => "fresh", "reconnecting"],
    ["old", "closed"],
  ]) {
    const world = new World();
    const live = world.connect({ token });
    world.socket.open();
    await settled();
    world.socket.reply(1, { action: "authenticate" }, null);
    world.socket.end(4401);
    assert.equal(live.state, state);
    live.close();
  }
});

test("a token that doesn't come is asked for anew, at longer and longer distances", async () => {
  const world = new World();
  const gets = [];
  const live = world.connect({ token: () => new Promise((resolve) => gets.push(resolve)) });
  const ints = live.stream("intval");
  const errors = record(live, "error");
  const waits = [];
  for (let tries = 1; tries <= 4; tries++) {
    world.socket.open();
    world.socket.receive("pong!");
    world.pass(9_999);
    assert.equal(live.state, "live");
    world.pass(1);
    await settled();
    assert.deepEqual([live.state === "live", live.status.reason, errors.length], [false, "no token", tries]);
    waits.push(live.status.retryAt - world.time);
    world.pass(waits.at(-1));
    assert.equal(world.sockets.length, tries + 1);
  }
  assert.equal(errors[0].message, "No token came within 10 s.");
  assert.deepEqual([...waits].sort((one, other) => one - other), waits);
  assert.ok(waits[3] > 2 * waits[0]);
  world.socket.open();
  gets[0]("late"); // of a connection that is no more
  gets.at(-1)("good");
  await settled();
  assert.deepEqual(world.socket.frames.map(({ payload: { action, token } }) => token ?? action), ["good", "subscribe"]);
  assert.equal(ints.state, "subscribing");
  live.close();
});

test("a function that fails to get a token is asked again, and the page is told why", async () => {
  const world = new World();
  const tokens = [
    () => Promise.reject(new Error("The portal is away.")),
    () => {
      throw new Error("at once");
    },
    () => "good",
  ];
  const live = world.connect({ token: () => tokens.shift()() });
  live.stream("intval");
  const errors = record(live, "error");
  for (let tries = 0; tries < 3; tries++) {
    world.socket.open();
    await settled();
    if (tries < 2) world.pass(live.status.retryAt - world.time);
  }
  assert.deepEqual(errors.map(({ message }) => message), ["The portal is away.", "at once"]);
  assert.equal(world.socket.frames[0].payload.token, "good");
  live.close();
});

test("rows whose token has expired are held until another one comes, but not for long", async () => {
  for (const [answered, left] of [
    [true, 1],
    [false, 0],
  ]) {
    const world = new World();
    const gets = [];
    const live = world.connect({ token: () => new Promise((resolve) => gets.push(resolve)) });
    const ints = live.stream("intval");
    const brought = async () => {
      world.socket.open();
      gets.at(-1)("token");
      await settled();
      world.socket.reply(world.socket.payloads("authenticate")[0].request_id, { action: "authenticate" }, null);
      await settled();
    };
    await brought();
    world.socket.reply(world.socket.payloads("subscribe")[0].request_id, { action: "subscribe", data: { resumed: false } });
    world.socket.snapshot([[1, {}]], "c1");
    world.socket.end(4401);
    world.pass(1000);
    assert.equal(ints.rows.size, 1);
    if (answered) await brought();
    else world.socket.open();
    world.pass(10_000);
    await settled();
    assert.equal(ints.rows.size, left);
    live.close();
  }
});

test("a connection lost while the token was got doesn't confuse the next", async () => {
  const world = new World();
  const gets = [];
  const live = world.connect({ token: () => new Promise((resolve) => gets.push(resolve)) });
  live.stream("intval");
  world.socket.open();
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  gets[0]("old");
  await settled();
  assert.deepEqual(world.socket.frames, []);
  gets[1]("new");
  await settled();
  assert.equal(world.socket.frames[0].payload.token, "new");
});
