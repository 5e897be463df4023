/**
 * Exponential backoff with full jitter: a server that restarts isn't met by all its clients at once.
 *
 * @typedef {object} BackoffOptions
 * @property {number} floor  Never wait less, in ms.
 * @property {number} base  Upper limit of the first delay; doubles each time.
 * @property {number} cap  Never wait more.
 */
export class Backoff {
  #options;
  #random;
  #tries = 0;

  /**
   * @param {BackoffOptions} options
   * @param {() => number} random
   */
  constructor(options, random) {
    this.#options = options;
    this.#random = random;
  }

  /** @returns {number} how long to wait now, in ms */
  next() {
    const { floor, base, cap } = this.#options;
    // The exponent is bounded so that a week offline doesn't end in Infinity.
    const ceiling = Math.min(cap, base * 2 ** Math.min(this.#tries++, 30));
    return floor + this.#random() * Math.max(0, ceiling - floor);
  }

  /** The next delay is a first one again. */
  reset() {
    this.#tries = 0;
  }
}
