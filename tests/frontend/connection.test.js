/** The connection: states, reconnecting, heartbeat. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveWorld, record, World } from "./fakes.js";

test("offers the subprotocol and goes from connecting to live", () => {
  const world = new World();
  const live = world.connect();
  const states = record(live, "state");
  assert.equal(live.state, "connecting");
  assert.equal(world.socket.url, "ws://test/stream/");
  assert.equal(world.socket.protocol, "databinding");
  world.socket.open();
  assert.equal(live.state, "live");
  assert.deepEqual(states.map(({ state }) => state), ["live"]);
});

test("an unknown option is an error", () => {
  assert.throws(() => new World().connect({ windoww: 3 }), /Unknown option "windoww"/);
});

test("measures the round trip", () => {
  const world = new World();
  const live = world.connect();
  const latencies = record(live, "latency");
  world.socket.open();
  assert.equal(world.socket.pings, 1);
  world.pass(84);
  world.socket.receive("pong!");
  assert.equal(live.latency, 84);
  assert.deepEqual(latencies, [84]);
});

test("reconnects by itself, quickly at first, then ever more slowly up to the cap", () => {
  const world = new World();
  world.luck = 0.999999;
  const live = world.connect();
  world.socket.open();
  const waits = [];
  for (let n = 0; n < 8; n++) {
    const tries = world.sockets.length;
    world.socket.end();
    waits.push(Math.round(live.status.retryAt - world.time));
    world.pass(waits[n] - 10);
    assert.equal(world.sockets.length, tries);
    world.pass(10);
    assert.equal(world.sockets.length, tries + 1);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]);
});

test("the jitter is full: with luck the first try comes after the floor", () => {
  const world = new World();
  world.luck = 0;
  const live = world.connect();
  world.socket.open();
  world.socket.end(1012);
  assert.equal(live.status.retryAt - world.time, 100);
  assert.equal(live.status.code, 1012);
});

test("a stable connection resets the backoff, a short one doesn't", () => {
  const world = new World();
  world.luck = 0.999999;
  const live = world.connect();
  const wait = () => Math.round(live.status.retryAt - world.time);
  world.socket.open();
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  world.pass(2000);
  world.socket.end();
  assert.equal(wait(), 1000);
  world.pass(1000);
  world.socket.open();
  world.socket.receive("pong!");
  world.pass(10_000);
  world.socket.receive("pong!");
  world.socket.end();
  assert.equal(wait(), 500);
});

test("lost is reconnecting, lost for a while or without a network is offline", () => {
  const world = new World();
  const live = world.connect();
  world.socket.open();
  world.pass(1000);
  const lostAt = world.time;
  world.socket.end();
  assert.equal(live.state, "reconnecting");
  assert.equal(live.status.since, lostAt);
  for (let n = 0; n < 4; n++) {
    world.pass(live.status.retryAt - world.time);
    world.socket.end();
  }
  world.pass(5000);
  assert.equal(live.state, "offline");
  assert.equal(live.status.since, lostAt);

  const other = liveWorld();
  other.world.isOnline = false;
  other.world.socket.end();
  assert.equal(other.live.state, "offline");
});

test("tries at once when the network is back or the page is shown, but not in a hurry", () => {
  for (const wake of ["online", "pageshow", "visibilitychange"]) {
    const { world } = liveWorld();
    for (let n = 0; n < 4; n++) {
      world.socket.end();
      world.pass(n < 3 ? 20_000 : 1000);
    }
    const tries = world.sockets.length;
    world.happen(wake);
    assert.equal(world.sockets.length, tries + 1, wake);
    world.socket.end();
    world.happen(wake);
    assert.equal(world.sockets.length, tries + 1, "within a second of the last try");
  }
});

test("a handshake that isn't answered is given up", () => {
  const world = new World();
  world.connect();
  const first = world.socket;
  world.pass(10_000);
  assert.ok(first.closed);
  world.pass(1000);
  assert.equal(world.sockets.length, 2);
});

test("who is logged out is shown nothing any more; who has lost the connection, what was", () => {
  for (const [code, left] of [
    [1006, 1],
    [1012, 1],
    [4429, 1],
    [4401, 0],
    [4403, 0],
  ]) {
    const { world, live, ints } = liveWorld();
    const changes = record(ints, "change");
    world.socket.end(code);
    assert.deepEqual([ints.rows.size, ints.loaded], [left, left === 1], String(code));
    assert.deepEqual(changes.flatMap(({ deleted }) => deleted.map(({ pk }) => pk)), left ? [] : [1]);
    assert.equal(changes.some(({ reset }) => reset), left === 0);
    live.close();
  }
});

test("rows stay as they were where the page itself ends the connection", () => {
  const { live, ints } = liveWorld();
  live.close();
  assert.equal(ints.rows.size, 1);
});

test("after a logout nothing comes from what the page was served with, and everything from a new login", () => {
  const { world, live, ints } = liveWorld();
  world.socket.end(4401);
  const late = live.stream("floatval", { initial: { items: [{ pk: 1, data: {} }], cursor: "old" } });
  assert.equal(late.rows.size, 0);
  live.reconnect();
  world.socket.open();
  assert.deepEqual(world.socket.payloads("subscribe").map(({ cursor }) => cursor), [undefined, undefined]);
  world.socket.reply(world.socket.payloads("subscribe")[0].request_id, { action: "subscribe", data: { resumed: false } });
  world.socket.snapshot([[2, { name: "b", value: 2 }]], "c2");
  assert.deepEqual([...ints.rows.keys()], [2]);
  live.close();
});

test("rows that the server refuses when the connection is back are shown no longer", () => {
  const { world, live, ints } = liveWorld();
  world.socket.end();
  world.pass(1000);
  world.socket.open();
  assert.equal(ints.rows.size, 1);
  world.socket.reply(world.socket.payloads("subscribe")[0].request_id, { action: "subscribe", response_status: 401, errors: ["Log in."] });
  assert.deepEqual([ints.state, ints.rows.size], ["refused", 0]);
  live.close();
});

test("session over ends it until somebody asks to go on", () => {
  const { world, live } = liveWorld();
  world.socket.end(4401);
  assert.equal(live.state, "closed");
  assert.equal(live.status.reason, "session over");
  world.pass(600_000);
  world.happen("online");
  assert.equal(world.sockets.length, 1);
  live.reconnect();
  assert.equal(world.sockets.length, 2);
  world.socket.open();
  assert.equal(live.state, "live");
});

test("missing rights end it too", () => {
  const { world, live } = liveWorld();
  world.socket.end(4403);
  assert.equal(live.state, "closed");
  assert.equal(live.status.reason, "forbidden");
});

test("too fast waits longer, also when the page is shown again", () => {
  const { world, live } = liveWorld();
  world.luck = 0;
  world.socket.end(4429);
  assert.equal(live.status.reason, "too fast");
  assert.equal(live.status.retryAt - world.time, 15_000);
  world.pass(2000);
  world.happen("pageshow");
  assert.equal(world.sockets.length, 1);
  world.pass(13_000);
  assert.equal(world.sockets.length, 2);
});

test("close ends it", async () => {
  const { world, live, ints } = liveWorld();
  live.close();
  assert.ok(world.socket.closed);
  assert.equal(live.state, "closed");
  await assert.rejects(ints.update(1, { value: 2 }), { name: "NotSentError" });
  world.pass(600_000);
  world.happen("online");
  assert.equal(world.sockets.length, 1);
});

test("a dead connection is noticed within 30 s, one that answers stays", () => {
  const { world, live } = liveWorld();
  for (let n = 0; n < 10; n++) {
    world.pass(10_000);
    world.socket.receive("pong!");
  }
  assert.equal(live.state, "live");
  const diedAt = world.time;
  while (live.state === "live") world.pass(100);
  assert.ok(world.time - diedAt <= 30_000);
  assert.ok(world.sockets[0].closed);
  assert.equal(live.latency, null);
});

test("traffic is a sign of life when the pong is late", () => {
  const { world, live } = liveWorld();
  world.pass(10_000);
  world.pass(7000);
  world.socket.batch([], "c2");
  world.pass(2000);
  assert.equal(live.state, "live");
});

test("after a sleep it asks at once and gives up soon", () => {
  const { world, live } = liveWorld();
  const pings = world.socket.pings;
  world.sleep(3_600_000);
  world.pass(0); // the timers that became due meanwhile
  assert.equal(world.socket.pings, pings + 1);
  world.pass(4000);
  assert.equal(live.state, "reconnecting");
});

test("a page put back by its browser, which has closed the connection meanwhile, isn't live until there is another", () => {
  const { world, live } = liveWorld();
  const pings = world.socket.pings;
  world.happen("pageshow");
  assert.equal(world.socket.pings, pings + 1);
  world.socket.readyState = 3; // of which the event is still to come
  world.happen("pageshow");
  assert.equal(live.state, "reconnecting");
  world.pass(1000);
  assert.equal(world.sockets.length, 2);
});

test("a ping that wasn't answered makes no later round trip longer", () => {
  const { world, live } = liveWorld();
  world.pass(10_000); // the next ping, which a server leaves that can't write just now
  world.socket.batch([], "c2");
  world.pass(8000);
  world.pass(10_000);
  assert.equal(live.state, "live");
  world.pass(84);
  world.socket.receive("pong!");
  assert.equal(live.latency, 84);
});

test("asleep while a ping was on its way: it asks again before giving up", () => {
  const { world, live } = liveWorld();
  world.pass(10_000);
  const pings = world.socket.pings;
  world.sleep(3_600_000);
  world.pass(0);
  assert.equal(live.state, "live");
  assert.equal(world.socket.pings, pings + 1);
  world.socket.receive("pong!");
  world.socket.receive("pong!");
  world.pass(4000);
  assert.equal(live.state, "live");
});

test("a page shown again or a network that went probes the connection", () => {
  for (const [type, act] of [
    ["pageshow", (world) => world.happen("pageshow")],
    ["offline", (world) => world.happen("offline")],
    ["visibilitychange", (world) => (world.hide(true), world.hide(false))],
  ]) {
    const { world, live } = liveWorld();
    const pings = world.socket.pings;
    act(world);
    assert.equal(world.socket.pings, pings + 1, type);
    world.pass(4000);
    assert.equal(live.state, "reconnecting", type);
  }
});

test("a malformed frame is an error event and nothing else", () => {
  const { world, live, ints } = liveWorld();
  const errors = record(live, "error");
  const texts = ["", "{", "null", "[]", '{"payload":{}}', '{"stream":1,"payload":{}}', '{"stream":"intval"}'];
  for (const text of texts) world.socket.receive(text);
  world.socket.receive('{"stream":"intval","payload":{},"cursor":5}');
  world.socket.onmessage({ data: new ArrayBuffer(2) });
  assert.equal(errors.length, texts.length + 2);
  assert.ok(errors.every(({ name }) => name === "ProtocolError"));
  assert.equal(live.state, "live");
  world.socket.batch([{ action: "delete", pk: 1 }], "c2");
  assert.equal(ints.rows.size, 0);
});

test("an error that nobody listens for is reported", () => {
  const { world } = liveWorld();
  world.socket.receive("{");
  assert.equal(world.reported.length, 1);
});

test("a listener that throws is reported and doesn't stop the others", () => {
  const { world, ints } = liveWorld();
  ints.on("change", () => {
    throw new Error("mine");
  });
  const changes = record(ints, "change");
  world.socket.batch([{ action: "delete", pk: 1 }], "c2");
  assert.equal(changes.length, 1);
  assert.deepEqual(world.reported.map(String), ["Error: mine"]);
});

test("a listener may be taken away", () => {
  const { world, ints } = liveWorld();
  let calls = 0;
  const end = ints.on("change", () => calls++);
  end();
  world.socket.batch([{ action: "delete", pk: 1 }], "c2");
  assert.equal(calls, 0);
});
