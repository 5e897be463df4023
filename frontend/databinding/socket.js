import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Heartbeat } from "./heartbeat.js";
import { FORBIDDEN, PONG, SESSION_OVER, TOO_FAST } from "./protocol.js";

/**
 * One websocket that keeps being one: it reconnects by itself, notices when it is dead, and says what state it is in.
 * Knows nothing of streams.
 *
 * @typedef {"connecting" | "live" | "reconnecting" | "offline" | "closed"} State
 *     connecting: the first try · reconnecting: lost just now · offline: no network, or lost for a while (goes on
 *     trying) · closed: by us (no reason), or by the server for good (code 4401, 4403)
 *
 * @typedef {object} StateEvent
 * @property {State} state
 * @property {number} since  When this began (ms): live since, or not connected since.
 * @property {number | null} retryAt  When the next try is due.
 * @property {number | null} code  Close code of the last connection.
 * @property {"session over" | "forbidden" | "too fast" | "no token" | null} reason
 *
 * @typedef {{state: StateEvent, latency: number, open: null, lost: null, text: unknown}} SocketEvents
 */

/** @type {Record<number, StateEvent["reason"]>} */
const REASONS = { [SESSION_OVER]: "session over", [FORBIDDEN]: "forbidden", [TOO_FAST]: "too fast" };
const FINAL = new Set([SESSION_OVER, FORBIDDEN]);
/** `WebSocket.OPEN`: beyond that it is closing or closed. */
const OPEN = 1;
/** However often the network flaps, tries keep this distance (ms). */
const TRY_DISTANCE = 1000;

/** @extends {Emitter<SocketEvents>} */
export class Socket extends Emitter {
  /** @type {StateEvent} */
  status;
  /** @type {number | null} Last round trip, in ms. */
  latency = null;

  #url;
  #options;
  #platform;
  #backoff;
  #penalty;
  #heartbeat;
  /** @type {WebSocket | null} */
  #websocket = null;
  /** @type {any} One of: the limit of the handshake or of a token, the wait for the next try, or for being called stable. */
  #timer = null;
  /** @type {any} */
  #offlineTimer = null;
  #triedAt = -Infinity;
  /** @type {(() => void)[]} */
  #unlisten = [];

  /**
   * @param {string} url
   * @param {import("./options.js").Options} options
   * @param {import("./platform.js").Platform} platform
   */
  constructor(url, options, platform) {
    super(platform.report);
    this.#url = url;
    this.#options = options;
    this.#platform = platform;
    this.#backoff = new Backoff(options.backoff, platform.random);
    this.#penalty = new Backoff(options.penalty, platform.random);
    this.#heartbeat = new Heartbeat(options.heartbeat, platform, {
      send: (text) => this.send(text),
      latency: (ms) => this.emit("latency", (this.latency = ms)),
      dead: () => this.#lost(null),
    });
    this.status = { state: "connecting", since: platform.now(), retryAt: null, code: null, reason: null };
  }

  /** Connect, and stay so. Also begins anew after `close` or after the server closed for good. */
  open() {
    if (this.#unlisten.length > 0) return this.retry();
    this.#unlisten = [
      this.#platform.listen("online", () => this.#wake()),
      this.#platform.listen("offline", () => this.#wake()),
      this.#platform.listen("pageshow", () => this.#wake()),
      this.#platform.listen("visibilitychange", () => this.#platform.hidden() || this.#wake()),
    ];
    this.#set({ state: "connecting", since: this.#platform.now(), retryAt: null, code: null, reason: null });
    this.#expectOffline();
    this.#try();
  }

  /** Try now instead of when it is due. */
  retry() {
    if (this.status.retryAt !== null) this.#try();
  }

  /** We have said who we are. */
  introduced() {
    this.#after(this.#options.stableAfter, () => {
      this.#backoff.reset();
      this.#penalty.reset();
    });
  }

  /** We can't say who we are just now: another try, later. */
  retreat() {
    this.#lost(null, "no token");
  }

  /** What we say we are isn't good any more: as if the server had closed it. */
  refuse() {
    this.#end({ code: SESSION_OVER, reason: REASONS[SESSION_OVER] });
  }

  /** End it. */
  close() {
    this.#end({ code: null, reason: null });
  }

  /**
   * @param {string} text
   * @returns {boolean} whether it could be handed to a connection
   */
  send(text) {
    if (this.status.state !== "live") return false;
    this.#websocket?.send(text);
    return true;
  }

  #try() {
    this.#triedAt = this.#platform.now();
    if (this.status.retryAt !== null) this.#set({ retryAt: null });
    let websocket;
    try {
      websocket = new this.#platform.WebSocket(this.#url, this.#options.subprotocol);
    } catch (error) {
      // A URL that can't work: say so, and leave the rest of the page alone.
      this.#platform.report(error);
      return this.#end({ code: null, reason: null });
    }
    this.#websocket = websocket;
    websocket.onopen = () => this.#opened();
    websocket.onmessage = ({ data }) => this.#received(data);
    websocket.onclose = ({ code }) => this.#lost(code);
    this.#after(this.#options.openTimeout, () => this.#lost(null));
  }

  #opened() {
    this.#platform.clearTimeout(this.#offlineTimer);
    this.#platform.clearTimeout(this.#timer);
    this.status = { state: "live", since: this.#platform.now(), retryAt: null, code: null, reason: null };
    this.#heartbeat.start();
    // First those who speak first (subscriptions), then those who watch.
    this.emit("open", null);
    this.emit("state", this.status);
  }

  /** @param {unknown} data */
  #received(data) {
    if (data === PONG) return this.#heartbeat.pong();
    this.#heartbeat.heard();
    this.emit("text", data);
  }

  /**
   * @param {number | null} code  null if we gave up waiting
   * @param {StateEvent["reason"]} [reason]
   */
  #lost(code, reason = (code !== null && REASONS[code]) || null) {
    this.#drop();
    const now = this.#platform.now();
    // A token that has expired can be got anew, a session can't.
    const renewable = code === SESSION_OVER && typeof this.#options.token === "function";
    if (code !== null && FINAL.has(code) && !renewable) return this.#end({ code, reason });

    const wasLive = this.status.state === "live";
    const wait = (code === TOO_FAST ? this.#penalty : this.#backoff).next();
    this.#after(wait, () => this.#try());
    if (wasLive) this.#expectOffline();
    const state = !this.#platform.online() ? "offline" : wasLive ? "reconnecting" : this.status.state;
    this.#set({ state, since: wasLive ? now : this.status.since, retryAt: now + wait, code, reason });
    if (wasLive) this.emit("lost", null);
  }

  /** @param {Pick<StateEvent, "code" | "reason">} why */
  #end(why) {
    if (this.status.state === "closed") return;
    const wasLive = this.status.state === "live";
    this.#drop();
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
    this.#platform.clearTimeout(this.#offlineTimer);
    this.#set({ state: "closed", since: this.#platform.now(), retryAt: null, ...why });
    if (wasLive) this.emit("lost", null);
  }

  /** Let go of the websocket at once: closing a dead one may take the browser minutes. */
  #drop() {
    this.#heartbeat.stop();
    this.#platform.clearTimeout(this.#timer);
    this.latency = null;
    const websocket = this.#websocket;
    this.#websocket = null;
    if (websocket === null) return;
    websocket.onopen = websocket.onmessage = websocket.onclose = null;
    websocket.close();
  }

  /** The page is shown again or the network changed: look at once what became of the connection. */
  #wake() {
    if (this.status.state === "live") {
      // A browser that has put a page aside closes its connections, and tells of it later.
      const open = this.#websocket === null || !(this.#websocket.readyState > OPEN);
      return open ? this.#heartbeat.probe() : this.#lost(null);
    }
    if (this.status.retryAt === null) return;
    const now = this.#platform.now();
    if (this.status.reason === "too fast" && now < this.status.retryAt) return;
    if (!this.#platform.online()) this.#set({ state: "offline" });
    else if (now - this.#triedAt >= TRY_DISTANCE) this.#try();
  }

  #expectOffline() {
    this.#platform.clearTimeout(this.#offlineTimer);
    this.#offlineTimer = this.#platform.setTimeout(() => this.#set({ state: "offline" }), this.#options.offlineAfter);
  }

  /**
   * @param {number} ms
   * @param {() => void} callback
   */
  #after(ms, callback) {
    this.#platform.clearTimeout(this.#timer);
    this.#timer = this.#platform.setTimeout(callback, ms);
  }

  /** @param {Partial<StateEvent>} change */
  #set(change) {
    this.status = { ...this.status, ...change };
    this.emit("state", this.status);
  }
}
