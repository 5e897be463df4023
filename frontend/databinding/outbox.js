import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { DiscardedError, NotSentError, RequestError, UnknownOutcomeError } from "./errors.js";
import { same } from "./store.js";

/**
 * @typedef {import("./protocol.js").Pk} Pk
 * @typedef {import("./protocol.js").Data} Data
 * @typedef {import("./requests.js").Reply} Reply
 * @typedef {import("./errors.js").DatabindingError} Failure
 *
 * @typedef {object} Write  A create, update or delete that isn't settled yet.
 * @property {string} stream
 * @property {"create" | "update" | "delete"} action
 * @property {Pk | null} pk  null for a create.
 * @property {Data} data  What is to be written; of a delete nothing.
 * @property {Data | null} base  What the page showed of it when it was made; null if it had no such row.
 * @property {number} since  When it was made (ms).
 * @property {"sending" | "waiting"} state  waiting: for a connection, or for what was made before it
 * @property {Failure | null} error  Why it has to wait, if the server said so: it is busy, or this is too often.
 *
 * @typedef {object} Entry  A write and who waits for it.
 * @property {Write} write
 * @property {import("./protocol.js").Payload} payload
 * @property {boolean} late  It couldn't be sent at once.
 * @property {boolean} tried  It was sent, and its answer was lost.
 * @property {(reply: Reply) => void} resolve
 * @property {(error: Failure) => void} reject
 *
 * @typedef {object} OutboxEvents
 * @property {Outbox} change  A write came, was settled, or waits now.
 * @property {{write: Write, error: RequestError}} refused  The server said no to a write that had been late.
 */

/**
 * What is written, in its order, until the server has answered: sent at once where there is a connection, and as soon as
 * there is one where there isn't. What has no answer is sent again, so that
 *
 * * a create is stored once: it carries a key by which the server knows it again;
 * * an update that was late overwrites nobody: it expects what the page showed when it was made (`expect`), and is refused
 *   (409) if that isn't so any more, unless it was itself what changed it;
 * * a delete that finds no row is done.
 *
 * It lives as long as the page does, no longer: what somebody wrote isn't sent in the name of who comes next.
 *
 * @extends {Emitter<OutboxEvents>}
 */
export class Outbox extends Emitter {
  #options;
  #platform;
  #request;
  #backoff;
  /** @type {Map<Write, Entry>} In the order of their making. */
  #entries = new Map();
  #connected = false;
  /** @type {any} Nothing is sent until then: the server is busy. */
  #pause = null;

  /**
   * @param {import("./options.js").Options} options
   * @param {import("./platform.js").Platform} platform
   * @param {(request: import("./requests.js").Request) => void} request
   */
  constructor(options, platform, request) {
    super(platform.report);
    this.#options = options;
    this.#platform = platform;
    this.#request = request;
    this.#backoff = new Backoff(options.resubscribe, platform.random);
  }

  /** @returns {Write[]} Those that aren't settled, in their order. */
  get writes() {
    return [...this.#entries.keys()];
  }

  /** @returns {Write[]} Those of them that couldn't be sent at once: what a page shows. */
  get late() {
    return [...this.#entries.values()].filter(({ late }) => late).map(({ write }) => write);
  }

  get size() {
    return this.#entries.size;
  }

  /**
   * Take a write back.
   *
   * @param {Write} write
   * @returns {boolean} false if it can't be: it is on its way, or settled
   */
  discard(write) {
    const entry = this.#entries.get(write);
    if (entry === undefined || write.state === "sending") return false;
    this.#fail(entry, new DiscardedError(entry.tried ? "Discarded; unknown whether it was applied before." : "Discarded; nothing was sent."));
    return true;
  }

  /**
   * @internal
   * @param {{stream: string, action: Write["action"], pk: Pk | null, data: Data, payload: import("./protocol.js").Payload}} made
   *     `payload` is what else is in the frame
   * @param {Data | undefined} held  The row as the page has it.
   * @returns {Promise<Reply>}
   */
  add({ stream, action, pk, data, payload }, held) {
    return new Promise((resolve, reject) => {
      const { limit } = this.#options.outbox;
      if (!this.#connected && this.#entries.size >= limit) {
        const error = new NotSentError(`Not connected, and ${limit} changes wait already; nothing was sent.`);
        error.stream = stream;
        return reject(error);
      }
      /** @type {Write} */
      const write = {
        stream,
        action,
        pk,
        data,
        base: pk === null || held === undefined ? null : this.#shown(stream, pk, held, Object.keys(data)),
        since: this.#platform.now(),
        state: "waiting",
        error: null,
      };
      const key = action === "create" ? { idempotency_key: this.#platform.uuid() } : {};
      const entry = { write, payload: { ...key, ...payload, action }, late: !this.#connected, tried: false, resolve, reject };
      this.#entries.set(write, entry);
      this.#pump();
      this.emit("change", this);
    });
  }

  /** @internal There is a connection. */
  connected() {
    this.#connected = true;
    this.#resume();
  }

  /** @internal The connection was lost. */
  disconnected() {
    this.#connected = false;
    this.#platform.clearTimeout(this.#pause);
    this.#pause = null;
  }

  /** @internal There will be no connection any more. */
  close() {
    this.disconnected();
    for (const entry of [...this.#entries.values()])
      this.#fail(
        entry,
        entry.tried
          ? new UnknownOutcomeError("The connection is closed; unknown whether it was applied.")
          : new NotSentError("The connection is closed; nothing was sent."),
      );
  }

  /**
   * These fields of a row as the page shows them: what is held, and what is to become of it.
   *
   * @param {string} stream
   * @param {Pk} pk
   * @param {Data} held
   * @param {string[]} names
   */
  #shown(stream, pk, held, names) {
    const shown = { ...held };
    for (const write of this.#entries.keys()) if (write.stream === stream && write.pk === pk) Object.assign(shown, write.data);
    return Object.fromEntries(names.filter((name) => Object.hasOwn(shown, name)).map((name) => [name, shown[name]]));
  }

  #resume() {
    this.#pause = null;
    this.#pump();
    this.emit("change", this);
  }

  /** Send what may be sent: so many at once, and of one row only the first. */
  #pump() {
    if (!this.#connected || this.#pause !== null) return;
    const rows = new Set();
    let sending = 0;
    for (const { write } of this.#entries.values())
      if (write.state === "sending") {
        sending++;
        rows.add(rowOf(write));
      }
    for (const entry of [...this.#entries.values()]) {
      const row = rowOf(entry.write);
      if (entry.write.state === "sending" || (row !== null && rows.has(row))) continue;
      rows.add(row);
      if (sending++ >= this.#options.outbox.sending) return;
      this.#send(entry);
    }
  }

  /** @param {Entry} entry */
  #send(entry) {
    const { write, late, payload } = entry;
    write.state = "sending";
    write.error = null;
    const { expect } = payload;
    const row = write.action === "create" ? {} : { pk: write.pk };
    const data = write.action === "delete" ? {} : { data: write.data };
    // Who passes an `expect`, or null for none, has decided.
    const guard = expect === undefined && late && write.base !== null && write.action === "update" ? { expect: write.base } : {};
    const { expect: given, ...rest } = payload;
    this.#request({
      stream: write.stream,
      payload: { ...rest, ...(given ? { expect: given } : {}), ...guard, ...row, ...data },
      resolve: (reply) => this.#settle(entry, reply),
      reject: (error) => this.#failed(entry, error),
    });
  }

  /**
   * @param {Entry} entry
   * @param {Failure} error
   */
  #failed(entry, error) {
    const { write } = entry;
    if (!(error instanceof RequestError)) {
      entry.tried ||= error instanceof UnknownOutcomeError;
      return this.#wait(entry, null, 0);
    }
    const { status, retryAfter, data } = error;
    if (status === 503) return this.#wait(entry, error, 0);
    // Who wrote it just now can be told; what was written long ago has the time.
    if (status === 429 && entry.late) return this.#wait(entry, error, retryAfter ?? 0);
    if (entry.tried && status === 404 && write.action === "delete") return this.#settle(entry, { status: 204, pk: write.pk, data: null });
    if (entry.tried && status === 409 && data !== null && write.action === "update" && holds(data, write.data))
      return this.#settle(entry, { status: 200, pk: write.pk, data });
    this.#fail(entry, error);
    if (entry.late) this.emit("refused", { write, error });
  }

  /**
   * @param {Entry} entry
   * @param {RequestError | null} error
   * @param {number} seconds
   */
  #wait(entry, error, seconds) {
    entry.late = true;
    entry.write.state = "waiting";
    entry.write.error = error;
    if (this.#connected && this.#pause === null)
      this.#pause = this.#platform.setTimeout(() => this.#resume(), 1000 * seconds + this.#backoff.next());
    this.emit("change", this);
  }

  /**
   * @param {Entry} entry
   * @param {Reply} reply
   */
  #settle(entry, reply) {
    this.#backoff.reset();
    this.#entries.delete(entry.write);
    entry.resolve(reply);
    this.#pump();
    this.emit("change", this);
  }

  /**
   * @param {Entry} entry
   * @param {Failure} error
   */
  #fail(entry, error) {
    error.stream = entry.write.stream;
    this.#entries.delete(entry.write);
    entry.reject(error);
    this.#pump();
    this.emit("change", this);
  }
}

/**
 * Of what is to be done one after another.
 *
 * @param {Write} write
 */
function rowOf({ stream, action, pk }) {
  return action === "create" ? null : JSON.stringify([stream, pk]);
}

/**
 * Whether a row has all these values.
 *
 * @param {Data} row
 * @param {Data} values
 */
function holds(row, values) {
  return Object.entries(values).every(([name, value]) => same(row[name], value));
}
