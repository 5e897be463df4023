import { Emitter } from "./emitter.js";
import { DatabindingError, ProtocolError, RequestError } from "./errors.js";
import { parse } from "./protocol.js";
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
  #options;
  #platform;
  #socket;
  #requests;
  /** @type {Map<string, Stream>} */
  #streams = new Map();
  /** @type {(() => void) | null} */
  #unlisten = null;

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
    this.#socket.on("open", () => this.#opened());
    this.#socket.on("lost", () => this.#lost());
    this.#socket.on("text", (text) => this.#received(text));
    this.#socket.on("latency", (ms) => this.emit("latency", ms));
    this.#socket.on("state", (event) => {
      if (event.state === "closed") this.#requests.close();
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
    const stream = new Stream(name, options, {
      options: this.#options,
      platform: this.#platform,
      request: (request) => this.#request(request),
      send: (frame) => this.#send(frame),
      forget: (stream) => void this.#streams.delete(stream.name),
    });
    stream.on("error", (error) => this.#report(error));
    this.#streams.set(name, stream);
    if (this.state === "live") stream.connected();
    return stream;
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

  #opened() {
    for (const stream of this.#streams.values()) stream.connected();
    this.#requests.flush();
  }

  #lost() {
    for (const stream of this.#streams.values()) stream.disconnected();
    this.#requests.lost();
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
    return this.#socket.send(JSON.stringify(frame));
  }
}
