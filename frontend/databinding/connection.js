import { Emitter } from "./emitter.js";
import { DatabindingError, ProtocolError, RequestError } from "./errors.js";
import { Outbox } from "./outbox.js";
import { parse, SESSION_OVER } from "./protocol.js";
import { Requests } from "./requests.js";
import { Socket } from "./socket.js";
import { Stream } from "./stream.js";

/**
 * @typedef {object} ConnectionEvents
 * @property {import("./socket.js").StateEvent} state
 * @property {number} latency  Round trip, in ms.
 * @property {Error} error  An error of a stream (`error.stream` names it), or one that belongs to none.
 */

/**
 * The streams of one websocket.
 *
 * @extends {Emitter<ConnectionEvents>}
 */
export class Connection extends Emitter {
  /** What is written and not answered yet. */
  outbox;

  #options;
  #platform;
  #socket;
  #requests;
  /** @type {Map<string, Stream>} */
  #streams = new Map();
  /** @type {(() => void) | null} */
  #unlisten = null;
  /** Whether anything may be sent: we have said who we are. */
  #introduced = false;
  /** Counts the connections that were there. */
  #opens = 0;
  /** @type {any} Until when the rows are held though our token has expired. */
  #lapsed = null;

  /**
   * @param {string} url
   * @param {import("./options.js").Options} options
   * @param {import("./platform.js").Platform} platform
   */
  constructor(url, options, platform) {
    super(platform.report);
    this.#options = options;
    this.#platform = platform;
    this.#socket = new Socket(url, options, platform);
    this.#requests = new Requests(options, platform, (frame) => this.#send(frame));
    this.outbox = new Outbox(options, platform, (request) => this.#requests.add(request));
    this.#socket.on("open", () => void this.#opened());
    this.#socket.on("lost", () => this.#lost());
    this.#socket.on("text", (text) => this.#received(text));
    this.#socket.on("latency", (ms) => this.emit("latency", ms));
    this.#socket.on("state", (event) => {
      if (event.state === "closed") this.#ended();
      // Another token may be there in a moment, so that the rows stay; but for no longer.
      else if (event.code === SESSION_OVER) this.#lapsed ??= platform.setTimeout(() => this.#forget(), options.tokenTimeout);
      this.emit("state", event);
    });
    this.reconnect();
  }

  /** @returns {import("./socket.js").State} */
  get state() {
    return this.#socket.status.state;
  }

  /** The state with its since, retryAt, code and reason. */
  get status() {
    return this.#socket.status;
  }

  /** @returns {number | null} Last round trip in ms; null if not known. */
  get latency() {
    return this.#socket.latency;
  }

  /**
   * The stream of that name; subscribed at the first call.
   *
   * @param {string} name
   * @param {import("./stream.js").StreamOptions} [options]
   * @returns {Stream}
   */
  stream(name, options = {}) {
    const held = this.#streams.get(name);
    if (held !== undefined) {
      if (options.params && JSON.stringify(options.params) !== JSON.stringify(held.params))
        throw new DatabindingError(`The stream "${name}" is subscribed with other parameters.`);
      return held;
    }
    // What came with the page isn't ours to see any more either.
    const given = this.#excluded ? { ...options, initial: null } : options;
    const stream = new Stream(name, given, {
      options: this.#options,
      platform: this.#platform,
      request: (request) => this.#request(request),
      write: (made, held) => this.#write(made, held),
      send: (frame) => this.#send(frame),
      forget: (stream) => void this.#streams.delete(stream.name),
    });
    stream.on("error", (error) => this.#report(error));
    this.#streams.set(name, stream);
    if (this.#introduced) stream.connected();
    return stream;
  }

  /**
   * Ask whom the server takes us for.
   *
   * @returns {Promise<{authenticated: boolean, user: string | null}>}
   */
  async whoami() {
    return (await this.#ask({ action: "whoami" })).data;
  }

  /** Try to connect now; also after the server closed for good, or after `close`. */
  reconnect() {
    this.#unlisten ??= this.#platform.listen("visibilitychange", () => {
      if (this.#platform.hidden()) for (const stream of this.#streams.values()) stream.hidden();
    });
    this.#socket.open();
  }

  /** End it: nothing is received or sent any more. */
  close() {
    this.#socket.close();
    this.#unlisten?.();
    this.#unlisten = null;
  }

  /** @param {import("./requests.js").Request} request */
  #request(request) {
    this.#requests.add(request);
    if (this.state === "closed") this.#requests.close();
  }

  /** @type {Outbox["add"]} */
  #write(made, held) {
    if (this.#options.outbox.limit > 0) {
      const written = this.outbox.add(made, held);
      if (this.state === "closed") this.outbox.close();
      return written;
    }
    const { stream, action, pk, data, payload } = made;
    const row = { ...(pk === null ? {} : { pk }), ...(action === "delete" ? {} : { data }) };
    return new Promise((resolve, reject) => this.#request({ stream, payload: { ...payload, action, ...row }, resolve, reject }));
  }

  /**
   * @param {import("./protocol.js").Payload} payload  Of a request that belongs to no stream.
   * @returns {Promise<import("./requests.js").Reply>}
   */
  #ask(payload) {
    return new Promise((resolve, reject) => this.#request({ stream: null, payload, resolve, reject }));
  }

  async #opened() {
    const { token } = this.#options;
    if (token !== null && !(await this.#introduce(token))) return;
    this.#introduced = true;
    this.#socket.introduced();
    for (const stream of this.#streams.values()) stream.connected();
    this.#requests.flush();
    this.outbox.connected();
  }

  /**
   * Say who we are, before anything else. What is sent behind it needn't wait for the answer.
   *
   * @param {string | (() => string | Promise<string>)} token
   * @returns {Promise<boolean>} whether it was sent
   */
  async #introduce(token) {
    const opened = ++this.#opens;
    // While it is got the connection may be lost, and another one be there.
    const gone = () => this.state !== "live" || opened !== this.#opens;
    let brought;
    try {
      brought = typeof token === "string" ? token : await Promise.race([token(), this.#late()]);
    } catch (error) {
      if (gone()) return false;
      this.#report(/** @type {Error} */ (error));
      this.#socket.retreat();
      return false;
    }
    if (gone()) return false;
    this.#introduced = true;
    this.#ask({ action: "authenticate", token: brought }).then(
      () => this.#renewed(),
      (error) => {
        if (!(error instanceof RequestError)) return;
        this.#report(error);
        if (error.status === 401) this.#socket.refuse();
      },
    );
    return true;
  }

  /** @returns {Promise<never>} rejects when a token would come too late */
  #late() {
    const { tokenTimeout } = this.#options;
    return new Promise((_, reject) =>
      this.#platform.setTimeout(() => reject(new DatabindingError(`No token came within ${tokenTimeout / 1000} s.`)), tokenTimeout),
    );
  }

  #renewed() {
    this.#platform.clearTimeout(this.#lapsed);
    this.#lapsed = null;
  }

  #forget() {
    for (const stream of this.#streams.values()) stream.forget();
  }

  /** Has the server ended it since we may see nothing here any more? */
  get #excluded() {
    return this.state === "closed" && this.status.reason !== null;
  }

  #lost() {
    this.#introduced = false;
    for (const stream of this.#streams.values()) stream.disconnected();
    this.outbox.disconnected();
    this.#requests.lost();
  }

  #ended() {
    this.#introduced = false;
    this.#renewed();
    this.#requests.close();
    this.outbox.close();
    if (this.#excluded) this.#forget();
  }

  /** @param {unknown} text */
  #received(text) {
    try {
      this.#deliver(parse(text));
    } catch (error) {
      if (error instanceof ProtocolError) this.#report(error);
      else this.#platform.report(error);
    }
  }

  /** @param {import("./protocol.js").Frame} frame */
  #deliver(frame) {
    if (frame.payload.request_id != null && this.#requests.settle(frame.payload)) return;
    const stream = frame.stream === null ? undefined : this.#streams.get(frame.stream);
    if (stream !== undefined) stream.receive(frame);
    else if (frame.payload.response_status >= 400) {
      const error = new RequestError(frame.payload);
      error.stream = frame.stream;
      this.#report(error);
    }
  }

  /** @param {Error} error */
  #report(error) {
    if (!this.emit("error", error)) this.#platform.report(error);
  }

  /** @param {object} frame */
  #send(frame) {
    return this.#introduced && this.#socket.send(JSON.stringify(frame));
  }
}
