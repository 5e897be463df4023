import { PING } from "./protocol.js";

/**
 * Notices a dead connection and measures the round trip. A browser tells of a connection only once it has been
 * closed; one that died silently (sleep, another network) looks healthy for minutes.
 *
 * @typedef {object} HeartbeatOptions
 * @property {number} interval  From one answer to the next ping, in ms.
 * @property {number} timeout  How long anything at all may take to arrive after a ping.
 * @property {number} wakeTimeout  The same after a sleep or when the page is shown again.
 * @property {number} gap  A timer that is later than this: the machine slept.
 *
 * @typedef {object} HeartbeatEvents
 * @property {(text: string) => void} send
 * @property {(ms: number) => void} latency
 * @property {() => void} dead
 */
export class Heartbeat {
  #options;
  #platform;
  #events;
  /** @type {any} */
  #timer = null;
  /** @type {number[]} Times of the pings not answered yet, oldest first. */
  #sent = [];
  /** Nothing came since the last ping. */
  #silent = false;

  /**
   * @param {HeartbeatOptions} options
   * @param {import("./platform.js").Platform} platform
   * @param {HeartbeatEvents} events
   */
  constructor(options, platform, events) {
    this.#options = options;
    this.#platform = platform;
    this.#events = events;
  }

  start() {
    this.stop();
    this.#ping(this.#options.timeout);
  }

  stop() {
    this.#platform.clearTimeout(this.#timer);
    this.#sent = [];
  }

  /** Ask at once: something happened that may have cut the connection. */
  probe() {
    this.#ping(this.#options.wakeTimeout);
  }

  /** Something came: the connection lives. */
  heard() {
    this.#silent = false;
  }

  /** A pong came. */
  pong() {
    this.heard();
    const sent = this.#sent.shift();
    if (sent === undefined) return;
    this.#events.latency(Math.max(0, this.#platform.now() - sent));
    if (this.#sent.length === 0) this.#rest();
  }

  #rest() {
    this.#after(this.#options.interval, (late) => {
      // A server that can't write leaves pings unanswered: the next pong is the next one's.
      this.#sent = [];
      this.#ping(late ? this.#options.wakeTimeout : this.#options.timeout);
    });
  }

  /** @param {number} timeout */
  #ping(timeout) {
    this.#sent.push(this.#platform.now());
    this.#silent = true;
    this.#after(timeout, (late) => {
      if (!this.#silent) this.#rest();
      // The answer may have come while we slept and wait to be read: ask again before giving up.
      else if (late) this.#ping(this.#options.wakeTimeout);
      else this.#events.dead();
    });
    this.#events.send(PING);
  }

  /**
   * @param {number} ms
   * @param {(late: boolean) => void} callback
   */
  #after(ms, callback) {
    const due = this.#platform.now() + ms;
    this.#platform.clearTimeout(this.#timer);
    this.#timer = this.#platform.setTimeout(
      () => callback(this.#platform.now() - due > this.#options.gap),
      ms,
    );
  }
}
