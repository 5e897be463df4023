import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { DatabindingError, ProtocolError, RequestError } from "./errors.js";
import { Pacer } from "./pacer.js";
import { Store } from "./store.js";

/**
 * @typedef {import("./protocol.js").Pk} Pk
 * @typedef {import("./protocol.js").Data} Data
 * @typedef {import("./protocol.js").Payload} Payload
 * @typedef {import("./requests.js").Reply} Reply
 *
 * @typedef {"idle" | "subscribing" | "live" | "refused" | "closed"} StreamState
 *     idle: no connection · subscribing: catching up · live: the rows are what the database holds ·
 *     refused: the server doesn't let us (`error` says why) · closed: by `unsubscribe`
 *
 * @typedef {import("./store.js").Change & {resumed: boolean}} ChangeEvent
 *     resumed: what happened while the connection was away, all at once
 *
 * @typedef {object} StreamEvents
 * @property {ChangeEvent} change  Rows changed, a snapshot came, or they aren't ours to see any more.
 * @property {{pks: Pk[], reset: boolean}} named  A frame named these rows, whether or not any was held here or differs;
 *     reset: a snapshot came, of which only what was held before can be told.
 * @property {{state: StreamState, error: Error | null}} state
 * @property {Error} error  An error frame without a request_id, a refused subscription, a malformed frame.
 * @property {Payload} message  Anything else that the server sends on this stream.
 *
 * @typedef {object} StreamOptions
 * @property {Record<string, unknown>} [params]  Parameters of the binding, sent with subscribe.
 * @property {import("./store.js").Initial | null} [initial]  Rows and cursor that came with the page.
 * @property {number} [window]
 *
 * @typedef {object} Link  What a stream needs from its connection.
 * @property {import("./options.js").Options} options
 * @property {import("./platform.js").Platform} platform
 * @property {(request: import("./requests.js").Request) => void} request
 * @property {import("./outbox.js").Outbox["add"]} write
 * @property {(frame: object) => boolean} send
 * @property {(stream: Stream) => void} forget
 */

/**
 * One stream of a connection: its rows, live, and the requests it takes.
 *
 *     const ints = live.stream("intval");
 *     ints.on("change", ({ created, updated, deleted }) => draw(ints.rows));
 *     await ints.update(1, { value: 42 });   // resolves once `ints.rows` holds it
 *
 * @extends {Emitter<StreamEvents>}
 */
export class Stream extends Emitter {
  name;
  params;
  /** @type {StreamState} */
  state = "idle";
  /** @type {Error | null} Why the subscription was refused. */
  error = null;

  #link;
  #window;
  #store;
  #pacer;
  #backoff;
  /** @type {any} */
  #timer = null;
  /** They will be asked for anew in a while. */
  #healing = false;
  /** The next frame brings what a resumed subscription missed. */
  #resuming = false;
  /** Counts the subscriptions asked for: of each but the latest, the reply doesn't matter any more. */
  #asked = 0;
  /** The frames that come are those of the latest of them. */
  #granted = false;
  /**
   * Other parameters were asked for: those to go back to, and who waits.
   *
   * @type {{held: Record<string, unknown>, waiting: {resolve: () => void, reject: (error: Error) => void}[]} | null}
   */
  #moving = null;

  /**
   * @param {string} name
   * @param {StreamOptions} options
   * @param {Link} link
   */
  constructor(name, options, link) {
    super(link.platform.report);
    const { params = {}, initial, window = link.options.window } = options;
    this.name = name;
    this.params = params;
    this.#link = link;
    this.#window = window;
    this.#store = new Store(initial ?? undefined);
    this.#backoff = new Backoff(link.options.resubscribe, link.platform.random);
    this.#pacer = new Pacer({ ...link.options, window }, link.platform, (frames) =>
      link.send({ stream: name, payload: { action: "ack", frames } }),
    );
  }

  /** @returns {ReadonlyMap<Pk, Data>} The rows; the same Map as long as the stream lives. */
  get rows() {
    return this.#store.rows;
  }

  /** Whether `rows` are a complete state, however old: tells "no rows" from "not known yet" and "not for us". */
  get loaded() {
    return this.#store.loaded;
  }

  /** Where the rows stand: opaque, for the next `initial`. */
  get cursor() {
    return this.#store.cursor;
  }

  /**
   * Create a row. Like the other writes it waits in the connection's outbox where there is no connection, and is sent again
   * if its answer is lost: it is stored once.
   *
   * @param {Data} data
   * @param {Payload} [extra]  Further keys of the payload, as an `idempotency_key` of your own.
   * @returns {Promise<Reply>} its `pk` is the new row's; rejects with a RequestError, with a DiscardedError, or
   *     with a NotSentError or UnknownOutcomeError if the connection is closed for good
   */
  create(data, extra) {
    return this.#write("create", null, data, extra);
  }

  /**
   * Change the given fields of a row.
   *
   * @param {Pk} pk
   * @param {Data} data
   * @param {Payload} [extra]  Further keys of the payload, as `expect`: null, and nothing is expected, also if it is late.
   */
  update(pk, data, extra) {
    return this.#write("update", pk, data, extra);
  }

  /**
   * Delete a row.
   *
   * @param {Pk} pk
   * @param {Payload} [extra]  Further keys of the payload, as `expect`.
   */
  delete(pk, extra) {
    return this.#write("delete", pk, {}, extra);
  }

  /**
   * @param {"create" | "update" | "delete"} action
   * @param {Pk | null} pk
   * @param {Data} data
   * @param {Payload} [payload]
   */
  #write(action, pk, data, payload = {}) {
    return this.#link.write({ stream: this.name, action, pk, data, payload }, pk === null ? undefined : this.rows.get(pk));
  }

  /**
   * Any action of the binding, as it is: without a connection it waits up to the option `sendTimeout`.
   *
   * @param {string} action
   * @param {Payload} [payload]
   * @returns {Promise<Reply>} rejects with a RequestError, UnknownOutcomeError or NotSentError
   */
  request(action, payload = {}) {
    return new Promise((resolve, reject) =>
      this.#link.request({ stream: this.name, payload: { ...payload, action }, resolve, reject }),
    );
  }

  /**
   * Subscribe with other parameters. The rows stay, and live, until those of the new ones replace them in one change,
   * and for good if the server refuses.
   *
   * @param {Record<string, unknown>} params
   * @returns {Promise<void>} resolves once `rows` are those of the new parameters; rejects with a RequestError
   */
  subscribe(params) {
    if (this.state === "closed") return Promise.reject(new DatabindingError("The stream is unsubscribed."));
    return new Promise((resolve, reject) => {
      this.#moving ??= { held: this.params, waiting: [] };
      this.#moving.waiting.push({ resolve, reject });
      this.params = params;
      if (this.state === "refused") this.connected();
      else if (this.state !== "idle") this.#ask();
    });
  }

  /** End the subscription; the rows stay as they are. */
  unsubscribe() {
    if (this.state === "closed") return Promise.resolve(null);
    const told = this.state === "live" || this.state === "subscribing" ? this.request("unsubscribe") : null;
    this.disconnected();
    this.#set("closed", null);
    this.#moved(new DatabindingError("The stream was unsubscribed."));
    this.#link.forget(this);
    return Promise.resolve(told);
  }

  /** @internal There is a connection: subscribe. */
  connected() {
    this.#store.begin();
    this.#resuming = false;
    this.#ask();
    this.#set("subscribing", null);
  }

  #ask() {
    const asked = ++this.#asked;
    this.#granted = false;
    this.#pacer.hold();
    const { cursor } = this.#store;
    this.#link.request({
      stream: this.name,
      payload: {
        ...this.params,
        action: "subscribe",
        window: this.#window,
        ...(cursor === null ? {} : { cursor }),
      },
      resolve: ({ data }) => void (asked === this.#asked && this.#grant(data?.resumed === true)),
      reject: (error) => void (asked === this.#asked && this.#refused(error)),
    });
  }

  /** @param {boolean} resumed */
  #grant(resumed) {
    this.#granted = true;
    this.#resuming = resumed;
    // Nothing more comes of the subscription before, if there was one.
    this.#store.begin();
    this.#pacer.reset();
  }

  /** Rights have changed in the midst of a snapshot: another one takes its place. */
  #renewed() {
    this.#resuming = false;
    this.#store.begin();
  }

  /** @param {Error} [refused] */
  #moved(refused) {
    const waiting = this.#moving?.waiting ?? [];
    this.#moving = null;
    for (const { resolve, reject } of waiting) refused ? reject(refused) : resolve();
  }

  /** @internal The connection was lost. */
  disconnected() {
    this.#link.platform.clearTimeout(this.#timer);
    this.#healing = false;
    this.#pacer.reset();
    if (this.state !== "refused" && this.state !== "closed") this.#set("idle", null);
  }

  /** @internal The rows aren't ours to see any more. */
  forget() {
    if (!this.loaded) return;
    this.emit("change", { ...this.#store.forget(), resumed: false });
  }

  /** @internal The page was hidden. */
  hidden() {
    this.#pacer.hidden();
  }

  /**
   * @internal
   * @param {import("./protocol.js").Frame} frame
   */
  receive({ payload, cursor }) {
    const { action } = payload;
    if (action === "snapshot" || action === "batch") {
      // Before ours is granted they are of another stream of this name, which was unsubscribed.
      return this.#granted || this.state === "live" ? this.#apply(payload, cursor) : undefined;
    }
    if (action === "subscribe" && payload.request_id == null && payload.response_status < 400) return this.#renewed();
    if (action === "unsubscribe" && payload.request_id == null) return this.#ended(new RequestError(payload));
    if (action === "error" || payload.response_status >= 400) return this.fail(new RequestError(payload));
    // A reply that nobody waits for any more is no message.
    if (payload.request_id == null) this.emit("message", payload);
  }

  /**
   * @internal
   * @param {import("./errors.js").DatabindingError} error
   */
  fail(error) {
    error.stream = this.name;
    this.emit("error", error);
  }

  /**
   * @param {Payload} payload
   * @param {string} [cursor]
   */
  #apply(payload, cursor) {
    /** @type {import("./store.js").Change | null} */
    let change = null;
    try {
      change = payload.action === "snapshot" ? this.#store.snapshot(payload, cursor) : this.#store.batch(payload, cursor);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#store.miss();
      this.#heal();
      this.fail(error);
    }
    const resumed = this.#resuming;
    // Listeners of the change find the state already right. A snapshot's frames but the last have an empty cursor.
    if (cursor) this.#resuming = false;
    if (cursor && this.state === "subscribing" && this.#store.whole) {
      this.#backoff.reset();
      this.#set("live", null);
    }
    if (change && (change.reset || change.created.length || change.updated.length || change.deleted.length))
      this.emit("change", { ...change, resumed });
    if (change && (change.reset || payload.events.length))
      this.emit("named", { pks: change.reset ? [] : payload.events.map((/** @type {{pk: Pk}} */ { pk }) => pk), reset: change.reset });
    if (cursor && this.#granted) this.#moved();
    if (cursor !== undefined) this.#pacer.applied();
  }

  /** What the rows are can't be told any more: ask for them anew. */
  #heal() {
    if (this.state === "live") this.#set("subscribing", null);
    if (this.#healing || this.state !== "subscribing") return;
    this.#healing = true;
    this.#timer = this.#link.platform.setTimeout(() => {
      this.#healing = false;
      this.#ask();
    }, this.#backoff.next());
  }

  /** @param {import("./errors.js").DatabindingError} error */
  #refused(error) {
    if (this.state === "live") return this.#stay(error);
    if (this.state !== "subscribing") return;
    const passing = !(error instanceof RequestError) || error.status === 429 || error.status >= 500;
    if (!passing && this.#moving) {
      // It was about the other parameters; whether those before are still granted is asked anew.
      this.params = this.#moving.held;
      this.#moved(error);
      return this.connected();
    }
    if (passing) {
      // Not all pages at once either, where they are told the same.
      const wait = 1000 * ((error instanceof RequestError && error.retryAfter) || 0) + this.#backoff.next();
      this.#timer = this.#link.platform.setTimeout(() => this.connected(), wait);
    }
    this.#set(passing ? "idle" : "refused", error);
    if (!passing) {
      // What was shown until now was for who we were then.
      this.forget();
    }
    this.fail(error);
  }

  /**
   * The server has ended the subscription: it isn't ours to see any more.
   *
   * @param {RequestError} error
   */
  #ended(error) {
    if (this.state === "closed") return;
    this.#link.platform.clearTimeout(this.#timer);
    this.#healing = false;
    this.#pacer.reset();
    this.#set("refused", error);
    this.#moved(error);
    this.fail(error);
  }

  /**
   * Other parameters were refused; the subscription goes on as it was. Without an answer nobody knows whether it does.
   *
   * @param {import("./errors.js").DatabindingError} error
   */
  #stay(error) {
    if (!(error instanceof RequestError)) return this.#ask();
    this.#granted = true;
    this.#pacer.release();
    if (this.#moving) this.params = this.#moving.held;
    this.#moved(error);
  }

  /**
   * @param {StreamState} state
   * @param {Error | null} error
   */
  #set(state, error) {
    if (state === this.state && error === this.error) return;
    this.state = state;
    this.error = error;
    this.emit("state", { state, error });
  }
}
