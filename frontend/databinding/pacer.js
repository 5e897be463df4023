/**
 * Counts the frames of one stream that the page has painted and says when to acknowledge them. A page that can't
 * keep up paints seldom, acknowledges seldom, and is therefore sent fewer frames with the latest states.
 *
 * @typedef {Pick<import("./options.js").Options, "window" | "ackDelay" | "paintTimeout">} PacerOptions
 */
export class Pacer {
  #options;
  #platform;
  #ack;
  #applied = 0;
  #painted = 0;
  #awaitsPaint = false;
  /** Nothing is acknowledged just now. */
  #held = false;
  /** @type {any} */
  #timer = null;
  /** @type {number} When the timer is due; Infinity if there is none. */
  #due = Infinity;
  /** Frames of an earlier connection are not to be acknowledged on this one. */
  #epoch = 0;

  /**
   * @param {PacerOptions} options
   * @param {import("./platform.js").Platform} platform
   * @param {(frames: number) => void} ack
   */
  constructor(options, platform, ack) {
    this.#options = options;
    this.#platform = platform;
    this.#ack = ack;
  }

  /** A frame that counts was applied; what listeners draw in the next animation frame shows it. */
  applied() {
    this.#applied++;
    if (this.#platform.hidden()) return this.hidden();
    this.#wakeIn(this.#options.paintTimeout);
    if (this.#awaitsPaint) return;
    this.#awaitsPaint = true;
    const epoch = this.#epoch;
    this.#platform.requestAnimationFrame(() => {
      if (epoch !== this.#epoch) return;
      const frames = this.#take();
      this.#awaitsPaint = false;
      // They are on the screen only after the callbacks of this animation frame have run.
      this.#platform.setTimeout(() => epoch === this.#epoch && this.#paint(frames), 0);
    });
  }

  /** The page was hidden: nothing will be painted, so what waits for it goes by timer. */
  hidden() {
    if (this.#applied > 0) this.#wakeIn(this.#options.ackDelay);
  }

  /** Another subscription is asked for: what is acknowledged before its reply might count for that one. */
  hold() {
    this.#held = true;
  }

  /** It was refused: the one before goes on. */
  release() {
    this.#held = false;
    this.#send();
  }

  /** A connection ended, or a subscription. */
  reset() {
    this.#epoch++;
    this.#applied = this.#painted = 0;
    this.#awaitsPaint = this.#held = false;
    this.#stop();
  }

  /** @param {number} frames */
  #paint(frames) {
    this.#painted += frames;
    if (this.#painted >= Math.max(1, Math.floor(this.#options.window / 2))) this.#send();
    else if (this.#painted > 0) this.#wakeIn(this.#options.ackDelay);
  }

  #send() {
    this.#stop();
    if (this.#held) return;
    const frames = this.#painted;
    this.#painted = 0;
    if (frames > 0) this.#ack(frames);
    if (this.#applied > 0) this.#wakeIn(this.#options.paintTimeout);
  }

  /** @returns {number} the frames applied and not painted, which the caller now answers for */
  #take() {
    const frames = this.#applied;
    this.#applied = 0;
    return frames;
  }

  /** @param {number} ms */
  #wakeIn(ms) {
    const due = this.#platform.now() + ms;
    if (due >= this.#due) return;
    this.#stop();
    this.#due = due;
    this.#timer = this.#platform.setTimeout(() => {
      // Painted frames alone are acknowledged here, unless no paint is to be expected.
      if (this.#painted === 0 || this.#platform.hidden()) this.#painted += this.#take();
      this.#send();
    }, ms);
  }

  #stop() {
    this.#platform.clearTimeout(this.#timer);
    this.#due = Infinity;
  }
}
