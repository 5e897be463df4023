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
