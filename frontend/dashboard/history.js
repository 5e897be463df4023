/**
 * What came in for one value: the last points, and where the line has a gap because we weren't there.
 *
 * @typedef {{time: number, value: number, gap: boolean}} Point  gap: nothing is known of the time before it
 */
export class History {
  /** @type {Point[]} */
  #points = [];
  #next = 0;
  #capacity;
  #gap = false;

  /** @param {number} capacity  Older points are forgotten. */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  /**
   * @param {number} time
   * @param {number} value
   */
  push(time, value) {
    this.#points[this.#next] = { time, value, gap: this.#gap };
    this.#next = (this.#next + 1) % this.#capacity;
    this.#gap = false;
  }

  /**
   * What was before the first point, which came only now.
   *
   * @param {Point[]} points  Oldest first.
   */
  begin(points) {
    const [first] = this.points();
    const earlier = first === undefined ? points : points.filter(({ time }) => time < first.time);
    const later = this.points();
    const gap = this.#gap;
    this.#points = [];
    this.#next = 0;
    for (const point of [...earlier, ...later].slice(-this.#capacity)) {
      this.#gap = point.gap;
      this.push(point.time, point.value);
    }
    this.#gap = gap;
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

  /** @returns {Point[]} oldest first */
  points() {
    return [...this.#points.slice(this.#next), ...this.#points.slice(0, this.#next)];
  }

  get #last() {
    return this.#points[(this.#next + this.#capacity - 1) % this.#capacity];
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
      if (held !== undefined && !gap) points.push({ time, value: held.value, gap: false });
      gap = true;
      return;
    }
    if (points.length === 0 || gap || points[points.length - 1].value !== value) points.push({ time, value, gap });
    gap = false;
  });
  return points;
}
