/**
 * SVG paths of a sparkline. A value holds until it changes, so the line goes in steps. Pure.
 *
 * @typedef {{line: string, area: string, end: string}} Paths
 */

/** The drawing's own units; the SVG is stretched to its box. */
export const WIDTH = 200;
export const HEIGHT = 32;
const MARGIN = 3;

/**
 * @param {import("./history.js").Point[]} points  Oldest first.
 * @param {number} now
 * @returns {Paths}
 */
export function sparkline(points, now) {
  if (points.length === 0) return { line: "", area: "", end: "" };
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
    const until = x(next === undefined ? now : next.gap ? time : next.time);
    line += `${begins ? `M${x(time)} ${y(value)}` : `V${y(value)}`}H${until}`;
    area += `M${x(time)} ${HEIGHT}V${y(value)}H${until}V${HEIGHT}Z`;
  });
  const last = points[points.length - 1];
  return { line, area, end: `M${x(now)} ${y(last.value)}h0` };
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
