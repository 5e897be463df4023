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

  /** The connection was lost: the next point doesn't continue the line. */
  gap() {
    this.#gap = this.#points.length > 0;
  }

  /** @returns {Point[]} oldest first */
  points() {
    return [...this.#points.slice(this.#next), ...this.#points.slice(0, this.#next)];
  }
}
