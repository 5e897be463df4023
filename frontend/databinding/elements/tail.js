/**
 * What came in of one number within the last seconds, and its drawing. A value holds until it changes, so the line goes
 * in steps; what isn't known, because nobody was told, is a gap. Pure.
 *
 * @typedef {{time: number, value: number | null}} Point  null: from here on nothing is known
 */
export class Tail {
  /** @type {Point[]} */
  #points = [];
  #span;
  #most;

  /**
   * @param {number} span  ms
   * @param {number} most  Points at most; of more, older ones are forgotten.
   */
  constructor(span, most = 1000) {
    this.#span = span;
    this.#most = most;
  }

  /**
   * @param {number} time
   * @param {number | null} value
   */
  push(time, value) {
    const last = this.#points.at(-1);
    if (last?.value === value || (last === undefined && value === null)) return;
    this.#points.push({ time, value });
    this.#trim(time);
  }

  /**
   * What was before anything came in.
   *
   * @param {Point[]} points
   */
  before(points) {
    const begins = this.#points[0]?.time ?? Infinity;
    this.#points = [...points.filter(({ time }) => time < begins), ...this.#points].slice(-this.#most);
  }

  /**
   * Oldest first; the first may be older than the span, since it held into it.
   *
   * @param {number} now
   */
  points(now) {
    this.#trim(now);
    return this.#points;
  }

  /** @param {number} now */
  #trim(now) {
    let first = this.#points.findIndex(({ time }) => time > now - this.#span);
    if (first === -1) first = this.#points.length;
    this.#points.splice(0, Math.max(0, first - 1, this.#points.length - this.#most));
  }
}

/** The drawing's own units; the SVG is stretched to its box. */
export const WIDTH = 200;
export const HEIGHT = 40;
const MARGIN = 3;

/**
 * @param {Point[]} points
 * @param {number} now
 * @param {number} span
 * @returns {{line: string, area: string, end: string, least: number | null, most: number | null}}
 */
export function drawing(points, now, span) {
  const values = points.flatMap(({ value }) => (value === null ? [] : [value]));
  if (values.length === 0) return { line: "", area: "", end: "", least: null, most: null };
  const least = Math.min(...values);
  const most = Math.max(...values);
  const begin = now - span;
  const x = (/** @type {number} */ time) => round(MARGIN + (Math.max(0, time - begin) / span) * (WIDTH - 2 * MARGIN));
  const y = (/** @type {number} */ value) =>
    most === least ? HEIGHT / 2 : round(HEIGHT - MARGIN - ((value - least) / (most - least)) * (HEIGHT - 2 * MARGIN));
  let line = "";
  let area = "";
  points.forEach(({ time, value }, index) => {
    if (value === null) return;
    const until = x(points[index + 1]?.time ?? now);
    const goesOn = index > 0 && points[index - 1].value !== null;
    line += `${goesOn ? `V${y(value)}` : `M${x(time)} ${y(value)}`}H${until}`;
    area += `M${x(time)} ${HEIGHT}V${y(value)}H${until}V${HEIGHT}Z`;
  });
  const last = points[points.length - 1].value;
  return { line, area, end: last === null ? "" : `M${x(now)} ${y(last)}h0`, least, most };
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
