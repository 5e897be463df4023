/** JSON from addresses where one may be told to come again later. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { getJson } from "../../frontend/databinding/json.js";

/** Answers of a server, one after the other; @returns the addresses that were asked. */
function answering(context, ...answers) {
  const asked = [];
  context.mock.method(globalThis, "fetch", async (url) => {
    asked.push(url);
    const [status, body, headers] = answers.shift();
    return new Response(JSON.stringify(body), { status, headers });
  });
  context.mock.timers.enable({ apis: ["setTimeout"] });
  return asked;
}

/** Let what waits for nothing but itself go on. */
const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test("who asks too often asks again when he was told to, and not before", async (context) => {
  const asked = answering(context, [429, {}, { "Retry-After": "2" }], [200, { a: 1 }]);
  const found = getJson("/x");
  await turns();
  context.mock.timers.tick(1999);
  await turns();
  assert.equal(asked.length, 1);
  context.mock.timers.tick(1001);
  assert.deepEqual(await found, { status: 200, data: { a: 1 }, date: NaN });
});

test("a refusal that no time heals is told at once", async (context) => {
  const asked = answering(context, [404, {}], [429, {}, { "Retry-After": "3600" }]);
  assert.deepEqual(await getJson("/x"), { status: 404, data: null, date: NaN });
  assert.deepEqual(await getJson("/x"), { status: 429, data: null, date: NaN });
  assert.equal(asked.length, 2);
});

test("the server's time is told with an answer and with a refusal", async (context) => {
  const headers = { Date: "Fri, 27 Nov 2026 01:02:03 GMT" };
  answering(context, [200, {}, headers], [400, {}, headers]);
  const date = Date.UTC(2026, 10, 27, 1, 2, 3);
  assert.deepEqual(await getJson("/x"), { status: 200, data: {}, date });
  assert.deepEqual(await getJson("/x"), { status: 400, data: null, date });
});

test("a server that goes on refusing is asked no more", async (context) => {
  const asked = answering(context, ...Array.from({ length: 9 }, () => [503, {}, { "Retry-After": "1" }]));
  const found = getJson("/x");
  for (let time = 0; time < 20; time++) {
    await turns();
    context.mock.timers.tick(1500);
  }
  assert.deepEqual(await found, { status: 503, data: null, date: NaN });
  assert.equal(asked.length, 6);
});

test("who doesn't want it any more doesn't wait", async (context) => {
  answering(context, [429, {}, { "Retry-After": "2" }]);
  const asking = new AbortController();
  const found = getJson("/x", asking.signal);
  await turns();
  asking.abort();
  await assert.rejects(found, { name: "AbortError" });
});
