/**
 * What came in for one value: the last points, and where the line has a gap because we weren't there.
 *
 * @typedef {{time: number, value: number, gap: boolean, end?: boolean}} Point  gap: nothing is known of the time before it; end: nor of
 *     that after it
 */
export class History {
  /** @type {Point[]} */
  #points = [];
  #capacity;
  #span;
  #gap = false;

  /**
   * @param {number} capacity  Older points are forgotten.
   * @param {number} [span]  So are those that were over so long before the newest (ms).
   */
  constructor(capacity, span = Infinity) {
    this.#capacity = capacity;
    this.#span = span;
  }

  /**
   * @param {number} time
   * @param {number} value
   */
  push(time, value) {
    this.#points.push({ time, value, gap: this.#gap });
    this.#gap = false;
    let forgotten = Math.max(0, this.#points.length - this.#capacity);
    // One that is older held into the span.
    while (this.#points[forgotten + 1]?.time <= time - this.#span) forgotten++;
    if (forgotten > 0) this.#points.splice(0, forgotten);
  }

  /**
   * Forget what was before.
   *
   * @param {number} time
   * @param {number} value
   */
  restart(time, value) {
    this.#points = [];
    this.#gap = false;
    this.push(time, value);
  }

  /**
   * What was before the first point, which came only now.
   *
   * @param {Point[]} points  Oldest first.
   */
  begin(points) {
    const begins = this.#points[0]?.time ?? Infinity;
    this.#points = [...points.filter(({ time }) => time < begins), ...this.#points].slice(-this.#capacity);
  }

  /**
   * The connection was lost: until then the last value held, the next point doesn't continue the line.
   *
   * @param {number} time
   */
  gap(time) {
    const last = this.#last;
    if (last === undefined || this.#gap) return;
    this.push(time, last.value);
    this.#gap = true;
  }

  /**
   * The connection is back: where no other value came with it, the last one holds again.
   *
   * @param {number} time
   */
  resume(time) {
    if (this.#gap && this.#last) this.push(time, this.#last.value);
  }

  /** @returns {readonly Point[]} oldest first */
  points() {
    return this.#points;
  }

  get #last() {
    return this.#points[this.#points.length - 1];
  }
}

/**
 * A past as the server tells it, as points: where nothing is known, the line has a gap.
 *
 * @param {import("./past.js").Past} past
 * @param {number} skew  ms by which the server's clock is behind ours
 * @returns {Point[]}
 */
export function pointsOf(past, skew) {
  /** @type {Point[]} */
  const points = [];
  let gap = false;
  past.time.forEach((begin, at) => {
    const last = past.last[at];
    const time = begin * 1000 + skew;
    const value = typeof last === "boolean" ? Number(last) : last;
    if (typeof value !== "number") {
      const held = points[points.length - 1];
      // Until then the last value held.
      if (held !== undefined && !gap) points.push({ time, value: held.value, gap: false, end: true });
      gap = true;
      return;
    }
    if (points.length === 0 || gap || points[points.length - 1].value !== value) points.push({ time, value, gap });
    gap = false;
  });
  return points;
}
