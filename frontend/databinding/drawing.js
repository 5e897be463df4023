/**
 * The paths of a small drawing of one number. A value holds until it changes, so the line goes in steps; where nothing is
 * known it is broken. Pure.
 *
 * @typedef {import("./tail.js").Point} Point
 * @typedef {object} Drawing
 * @property {string} line
 * @property {string} area  What is below the line.
 * @property {string} end  Where the line is now; empty where nothing is known.
 * @property {number | null} least  Of the values that are drawn; null: there are none.
 * @property {number | null} most
 * @property {(limits: (number | null | undefined)[]) => string} across  Lines at those of the limits that lie among the values.
 */

/** The drawing's own units; the SVG is stretched to its box. */
export const WIDTH = 200;
const MARGIN = 3;

/**
 * @param {readonly Point[]} points  Oldest first; those that come after `now` are left out.
 * @param {number} now  Where it ends at the right.
 * @param {number} begin  Where it begins; what held then is drawn from there.
 * @param {number} height  In the drawing's units.
 * @returns {Drawing}
 */
export function drawing(points, now, begin, height) {
  const shown = between(points, begin, now);
  const values = shown.flatMap(({ value }) => (value === null ? [] : [value]));
  if (values.length === 0) return { line: "", area: "", end: "", least: null, most: null, across: () => "" };
  const least = Math.min(...values);
  const most = Math.max(...values);
  const x = (/** @type {number} */ time) => round(MARGIN + ((time - begin) / Math.max(1, now - begin)) * (WIDTH - 2 * MARGIN));
  const y = (/** @type {number} */ value) =>
    most === least ? height / 2 : round(height - MARGIN - ((value - least) / (most - least)) * (height - 2 * MARGIN));
  // Even if it came only now, what is drawn ends at the right.
  const right = WIDTH - MARGIN;
  let line = "";
  let area = "";
  shown.forEach(({ time, value }, index) => {
    if (value === null) return;
    const next = shown[index + 1];
    const until = next === undefined ? right : x(next.time);
    const goesOn = index > 0 && shown[index - 1].value !== null;
    line += `${goesOn ? `V${y(value)}` : `M${x(time)} ${y(value)}`}H${until}`;
    area += `M${x(time)} ${height}V${y(value)}H${until}V${height}Z`;
  });
  const last = shown[shown.length - 1].value;
  return {
    line,
    area,
    end: last === null ? "" : `M${right} ${y(last)}h0`,
    least,
    most,
    across: (limits) => limits.map((limit) => (limit != null && limit > least && limit < most ? `M0 ${y(limit)}H${WIDTH}` : "")).join(""),
  };
}

/**
 * @param {readonly Point[]} points
 * @param {number} begin
 * @param {number} now
 * @returns {Point[]} the first of them what held at the beginning
 */
function between(points, begin, now) {
  /** @type {Point[]} */
  const found = [];
  for (const point of points) {
    if (point.time > now) break;
    if (point.time <= begin) found.length = 0;
    found.push(point.time < begin ? { ...point, time: begin } : point);
  }
  return found;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
