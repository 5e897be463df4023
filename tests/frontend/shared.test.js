/** Streams that a page's elements share. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./fakes.js";

const world = new World();
Object.assign(globalThis, {
  WebSocket: world.platform.WebSocket,
  window: globalThis,
  addEventListener() {},
  removeEventListener() {},
  document: { baseURI: "http://test/page/", visibilityState: "visible", querySelectorAll: () => [], addEventListener() {}, removeEventListener() {} },
});
const { shared, use } = await import("../../frontend/databinding/elements/shared.js");

test("a stream whose last user has just left is subscribed with other parameters, if the next one asks so", (t) => {
  t.after(() => shared("/stream/").close()); // Its timers are real ones.
  const first = use("/stream/", "intval", { room: 1 });
  world.socket.open();
  const other = use("/stream/", "intval", { room: 1 });
  assert.equal(other.stream, first.stream);
  assert.throws(() => use("/stream/", "intval", { room: 2 }), /other parameters/);
  first.leave();
  other.leave();
  const next = use("/stream/", "intval", { room: 2 });
  assert.notEqual(next.stream, first.stream);
  assert.deepEqual(world.socket.payloads("subscribe").map(({ room }) => room), [1, 2]);
  assert.equal(world.socket.payloads("unsubscribe").length, 1);
});
