import { NotSentError, RequestError, UnknownOutcomeError } from "./errors.js";

/**
 * Requests and their replies, told apart by `request_id`.
 *
 * @typedef {import("./protocol.js").Payload} Payload
 * @typedef {import("./protocol.js").Pk} Pk
 * @typedef {{status: number, pk: Pk | null, data: any}} Reply
 * @typedef {import("./errors.js").DatabindingError} Failure
 *
 * @typedef {object} Request
 * @property {string | null} stream
 * @property {Payload} payload
 * @property {(reply: Reply) => void} resolve
 * @property {(error: Failure) => void} reject
 */
export class Requests {
  #options;
  #platform;
  #send;
  #lastId = 0;
  /** @type {Map<number, {request: Request, timer: any}>} Sent, not answered. */
  #pending = new Map();
  /** @type {Map<Request, any>} Not sent yet, in order, with the timer that gives up. */
  #waiting = new Map();

  /**
   * @param {Pick<import("./options.js").Options, "sendTimeout" | "replyTimeout">} options
   * @param {import("./platform.js").Platform} platform
   * @param {(frame: object) => boolean} send
   */
  constructor(options, platform, send) {
    this.#options = options;
    this.#platform = platform;
    this.#send = send;
  }

  /**
   * Send it now, or keep it until there is a connection.
   *
   * @param {Request} request
   */
  add(request) {
    if (this.#post(request)) return;
    const timer = this.#platform.setTimeout(() => {
      this.#waiting.delete(request);
      this.#fail(request, new NotSentError("Not connected; nothing was sent."));
    }, this.#options.sendTimeout);
    this.#waiting.set(request, timer);
  }

  /** There is a connection: send what waits. */
  flush() {
    for (const [request, timer] of [...this.#waiting]) {
      if (!this.#post(request)) return;
      this.#platform.clearTimeout(timer);
      this.#waiting.delete(request);
    }
  }

  /** The connection was lost: what was sent and not answered may have been applied or not. */
  lost() {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { request, timer } of pending) {
      this.#platform.clearTimeout(timer);
      this.#fail(request, new UnknownOutcomeError("Connection lost; unknown whether it was applied."));
    }
  }

  /** There will be no connection any more. */
  close() {
    this.lost();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [request, timer] of waiting) {
      this.#platform.clearTimeout(timer);
      this.#fail(request, new NotSentError("The connection is closed; nothing was sent."));
    }
  }

  /**
   * @param {Payload} payload
   * @returns {boolean} whether it answers a request of ours
   */
  settle(payload) {
    const pending = this.#pending.get(payload.request_id);
    if (pending === undefined) return false;
    this.#pending.delete(payload.request_id);
    this.#platform.clearTimeout(pending.timer);
    const { response_status: status, pk = null, data = null } = payload;
    if (status >= 200 && status < 300) pending.request.resolve({ status, pk, data });
    else this.#fail(pending.request, new RequestError(payload));
    return true;
  }

  /** @param {Request} request */
  #post(request) {
    const id = this.#lastId + 1;
    const { stream, payload } = request;
    if (!this.#send({ stream, payload: { ...payload, request_id: id } })) return false;
    this.#lastId = id;
    const timer = this.#platform.setTimeout(() => {
      this.#pending.delete(id);
      this.#fail(request, new UnknownOutcomeError("No answer came; unknown whether it was applied."));
    }, this.#options.replyTimeout);
    this.#pending.set(id, { request, timer });
    return true;
  }

  /**
   * @param {Request} request
   * @param {Failure} error
   */
  #fail(request, error) {
    error.stream = request.stream;
    request.reject(error);
  }
}
