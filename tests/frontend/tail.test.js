/** What came in of a number, and its drawing: on the dashboard's tiles and in the live elements. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawing } from "../../frontend/databinding/drawing.js";
import { numberOf, pointsOf, Tail } from "../../frontend/databinding/tail.js";

const pushed = (/** @type {Tail} */ tail, /** @type {[number, number | null][]} */ ...points) => {
  for (const [time, value] of points) tail.push(time, value);
  return tail.points().map(({ time, value }) => [time, value]);
};

test("a tail forgets what was over before its span, but not what held into it", () => {
  const tail = new Tail(100);
  assert.deepEqual(pushed(tail, [0, 1], [50, 2], [60, 2], [140, 3], [230, 4]), [[50, 2], [140, 3], [230, 4]]);
  assert.deepEqual(pushed(tail, [240, 5]), [[140, 3], [230, 4], [240, 5]]);
});

test("a tail keeps so many points at most, the newest", () => {
  assert.deepEqual(pushed(new Tail(1e9, 3), [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]), [[3, 3], [4, 4], [5, 5]]);
});

test("a tail begins with something, and a value that is the same is no new point", () => {
  assert.deepEqual(pushed(new Tail(1000), [1, null]), []);
  assert.deepEqual(pushed(new Tail(1000), [1, 7], [2, 7], [3, 8]), [[1, 7], [3, 8]]);
});

test("a lost connection ends the line, and the value begins it again, the same or another", () => {
  assert.deepEqual(pushed(new Tail(1000), [1, 10], [2, null], [3, null], [5, 10], [6, 10]), [[1, 10], [2, null], [5, 10]]);
});

test("what was before comes before what came in meanwhile", () => {
  const tail = new Tail(1000, 3);
  pushed(tail, [10, 1], [20, 2]);
  tail.fill([{ time: 1, value: 7 }, { time: 5, value: null }, { time: 10, value: 9 }]);
  assert.deepEqual(pushed(tail), [[5, null], [10, 1], [20, 2]]);
  const empty = new Tail(1000);
  empty.fill([{ time: 1, value: 7 }]);
  assert.deepEqual(pushed(empty), [[1, 7]]);
});

test("what was while there was no connection stands in the gap, and what wasn't known then stays one", () => {
  const tail = new Tail(1000);
  pushed(tail, [10, 1], [20, null], [60, 4]);
  tail.fill([{ time: 0, value: 0 }, { time: 15, value: 2 }, { time: 30, value: 3 }, { time: 40, value: null }, { time: 50, value: 3 }, { time: 70, value: 9 }]);
  assert.deepEqual(pushed(tail), [[0, 0], [10, 1], [20, 2], [30, 3], [40, null], [50, 3], [60, 4]]);
});

test("a gap that isn't over, and one of which nothing is told, stay", () => {
  const tail = new Tail(1000);
  pushed(tail, [10, 1], [20, null], [30, 2], [40, null]);
  tail.fill([{ time: 50, value: 5 }]);
  assert.deepEqual(pushed(tail), [[10, 1], [20, null], [30, 2], [40, null]]);
});

test("a value that held while there was no connection has no gap", () => {
  const tail = new Tail(1000);
  pushed(tail, [10, 1], [20, null], [30, 1]);
  tail.fill([{ time: 5, value: 1 }]);
  assert.deepEqual(pushed(tail), [[5, 1]]);
});

test("a past becomes points: a value holds until the next, of what isn't known there is nothing", () => {
  const points = (/** @type {unknown[]} */ ...last) => pointsOf({ time: last.map((_, at) => at + 1), last }, 500).map(({ time, value }) => [time, value]);
  assert.deepEqual(points(null, 1, 1, null, null, 3), [[2500, 1], [4500, null], [6500, 3]]);
  assert.deepEqual(points(true, false, "12.50", "on"), [[1500, 1], [2500, 0], [3500, 12.5], [4500, null]]);
});

test("numbers are numbers, yes or no, and Django's texts of decimals; nothing else is", () => {
  assert.deepEqual([1.5, true, false, "1.50", "-3"].map(numberOf), [1.5, 1, 0, 1.5, -3]);
  for (const other of [null, undefined, "", " ", "abc", "1,5", NaN, Infinity, [], {}]) assert.equal(numberOf(other), null);
});

test("a drawing goes in steps to now, and is broken where nothing is known", () => {
  const points = [{ time: 0, value: 0 }, { time: 50, value: 10 }];
  const { line, end, least, most } = drawing(points, 100, 0, 32);
  assert.deepEqual([line, end, least, most], ["M3 29H100V3H197", "M197 3h0", 0, 10]);
  const broken = [{ time: 0, value: 0 }, { time: 25, value: null }, { time: 50, value: 10 }];
  assert.equal(drawing(broken, 100, 0, 32).line, "M3 29H51.5M100 3H197");
});

test("a line ends where nothing is known any more, without a dot for now", () => {
  const { line, area, end } = drawing([{ time: 0, value: 5 }, { time: 50, value: null }], 100, 0, 32);
  assert.deepEqual([line, area, end], ["M3 16H100", "M3 32V16H100V32Z", ""]);
});

test("a drawing ends at the moment that is shown", () => {
  const points = [{ time: 0, value: 0 }, { time: 50, value: 10 }, { time: 150, value: 0 }];
  assert.equal(drawing(points, 100, 0, 32).line, "M3 29H100V3H197");
});

test("what was over before a drawing begins is neither drawn nor among its values", () => {
  const points = [{ time: 0, value: 99 }, { time: 10, value: 0 }, { time: 150, value: 10 }];
  const { line, most } = drawing(points, 200, 100, 32);
  assert.deepEqual([line, most], ["M3 29H100V3H197", 10]);
});

test("a single value is a level line to the right, no value is none", () => {
  assert.equal(drawing([{ time: 5, value: 7 }], 5, 5, 32).line, "M3 16H197");
  for (const points of [[], [{ time: 5, value: null }], [{ time: 9, value: 1 }]]) {
    const { line, area, end, least, most, across } = drawing(points, 7, 0, 32);
    assert.deepEqual([line, area, end, least, most, across([1])], ["", "", "", null, null, ""]);
  }
});

test("limits are lines across where they lie among the values", () => {
  const { across } = drawing([{ time: 0, value: 0 }, { time: 50, value: 10 }], 100, 0, 32);
  assert.equal(across([5, 50, null, undefined]), "M0 16H200");
});
