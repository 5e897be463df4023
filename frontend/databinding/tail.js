/**
 * What came in of one number within the last seconds. A value holds until it changes; what isn't known, because nobody
 * was told, is a gap. Pure.
 *
 * @typedef {{time: number, value: number | null}} Point  null: from here on nothing is known
 */
export class Tail {
  /** @type {Point[]} */
  #points = [];
  #span;
  #most;

  /**
   * @param {number} span  Points that were over so long before the newest are forgotten (ms).
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
    const points = this.#points;
    const last = points.at(-1);
    if (last?.value === value || (last === undefined && value === null)) return;
    points.push({ time, value });
    let forgotten = Math.max(0, points.length - this.#most);
    // One that is older held into the span.
    while (points[forgotten + 1]?.time <= time - this.#span) forgotten++;
    points.splice(0, forgotten);
  }

  /**
   * What was when nothing came in - before anything did, and while there was no connection - and is told only now.
   *
   * @param {Point[]} told  Oldest first.
   */
  fill(told) {
    const known = this.#points;
    const filled = told.filter(({ time }) => !(time >= known[0]?.time));
    known.forEach((point, at) => {
      const until = known[at + 1]?.time;
      if (point.value !== null || until === undefined) filled.push(point);
      else {
        const held = told.filter(({ time }) => time <= point.time).at(-1)?.value ?? null;
        filled.push({ time: point.time, value: held }, ...told.filter(({ time }) => time > point.time && time < until));
      }
    });
    this.#points = filled.filter(({ value }, at) => value !== filled[at - 1]?.value).slice(-this.#most);
  }

  /** @returns {readonly Point[]} oldest first; the first may be older than the span, since it held into it */
  points() {
    return this.#points;
  }
}

/**
 * A past as the server tells it.
 *
 * @param {{time: number[], last: unknown[]}} past  Times in seconds since 1970.
 * @param {number} skew  ms by which the server's clock is behind ours
 * @returns {Point[]}
 */
export function pointsOf({ time, last }, skew = 0) {
  /** @type {Point[]} */
  const points = [];
  time.forEach((begin, at) => {
    const value = numberOf(last[at]);
    if (value !== (points.at(-1)?.value ?? null)) points.push({ time: begin * 1000 + skew, value });
  });
  return points;
}

/**
 * A number, also as Django's text of a decimal; yes and no are 1 and 0. Of all else no number is known.
 *
 * @param {unknown} value
 * @returns {number | null}
 */
export function numberOf(value) {
  if (typeof value === "string" && value.trim() === "") return null;
  const number = typeof value === "string" || typeof value === "boolean" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}
