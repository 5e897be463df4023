/**
 * SVG paths of a sparkline. A value holds until it changes, so the line goes in steps. Pure.
 *
 * @typedef {{line: string, area: string, end: string, warn: string, critical: string}} Paths
 * @typedef {Record<"warn" | "critical", (number | null | undefined)[]>} Thresholds
 */

/** The drawing's own units; the SVG is stretched to its box. */
export const WIDTH = 200;
export const HEIGHT = 32;
const MARGIN = 3;

/** No more of the past is shown (ms). */
export const SPAN = 300_000;

/**
 * @param {readonly import("./history.js").Point[]} points  Oldest first.
 * @param {number} now
 * @param {Thresholds} [thresholds]  Those that lie among the values are lines across.
 * @returns {Paths}
 */
export function sparkline(points, now, thresholds = { warn: [], critical: [] }) {
  points = recent(points.filter(({ time }) => time <= now), now - SPAN);
  if (points.length === 0) return { line: "", area: "", end: "", warn: "", critical: "" };
  const start = points[0].time;
  const span = Math.max(1, now - start);
  let low = Infinity;
  let high = -Infinity;
  for (const { value } of points) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const x = (/** @type {number} */ time) => round(((time - start) / span) * (WIDTH - 2 * MARGIN) + MARGIN);
  // Even if it came only now, what is drawn ends at the right.
  now = start + span;
  const y = (/** @type {number} */ value) =>
    high === low ? HEIGHT / 2 : round(HEIGHT - MARGIN - ((value - low) / (high - low)) * (HEIGHT - 2 * MARGIN));

  let line = "";
  let area = "";
  points.forEach(({ time, value }, index) => {
    const next = points[index + 1];
    const begins = index === 0 || points[index].gap;
    // Of the time between the last point and a gap nothing is known: the step ends where it began.
    const until = x(next === undefined ? (points[index].end ? time : now) : next.gap ? time : next.time);
    line += `${begins ? `M${x(time)} ${y(value)}` : `V${y(value)}`}H${until}`;
    area += `M${x(time)} ${HEIGHT}V${y(value)}H${until}V${HEIGHT}Z`;
  });
  const last = points[points.length - 1];
  const across = (/** @type {"warn" | "critical"} */ level) =>
    thresholds[level].map((limit) => (limit != null && limit > low && limit < high ? `M0 ${y(limit)}H${WIDTH}` : "")).join("");
  return { line, area, end: last.end ? "" : `M${x(now)} ${y(last.value)}h0`, warn: across("warn"), critical: across("critical") };
}

/**
 * The points since then, the first of them as what held at the beginning.
 *
 * @param {readonly import("./history.js").Point[]} points
 * @param {number} since
 */
function recent(points, since) {
  if (points.length === 0 || points[0].time >= since) return points;
  let first = points.findIndex(({ time }) => time >= since);
  if (first === -1) first = points.length;
  if (points[first]?.gap) return points.slice(first);
  return [{ ...points[first - 1], time: since }, ...points.slice(first)];
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
