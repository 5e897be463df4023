import { RequestError } from "../databinding/index.js";

/**
 * What was written here and isn't among the stream's messages yet. Each has a key by which the server knows it again, so
 * it may be sent as often as it takes: it is stored once.
 *
 * @typedef {object} Outgoing
 * @property {string} key
 * @property {string} handle
 * @property {string} message
 * @property {string} timestamp  When it was written, by this machine's clock.
 * @property {"pending" | "waiting" | "failed"} state
 *     pending: on its way · waiting: for a connection · failed: refused (`reason` says why)
 * @property {string} reason
 */
export class Outbox {
  /** @type {Map<string, Outgoing>} In the order of their writing. */
  messages = new Map();
  #stream;
  #changed;

  /**
   * @param {Pick<import("../databinding/stream.js").Stream, "create" | "rows" | "state">} stream
   * @param {(outgoing: Outgoing) => void} changed  Called after each change of one of them.
   */
  constructor(stream, changed) {
    this.#stream = stream;
    this.#changed = changed;
  }

  /** @param {Pick<Outgoing, "key" | "handle" | "message" | "timestamp">} written */
  add(written) {
    const outgoing = { ...written, state: /** @type {const} */ ("pending"), reason: "" };
    this.messages.set(written.key, outgoing);
    return this.send(outgoing);
  }

  /**
   * Send it, or once more.
   *
   * @param {Outgoing} outgoing
   */
  async send(outgoing) {
    this.#set(outgoing, "pending");
    const { key, handle, message } = outgoing;
    try {
      await this.#stream.create({ key, handle, message });
      this.discard(outgoing);
    } catch (error) {
      if (!(error instanceof RequestError)) {
        this.#set(outgoing, "waiting");
        // No answer came, and yet there is a connection: it won't come back by itself.
        if (this.#stream.state === "live") this.settle();
      } else if (error.fields.key) this.discard(outgoing); // it had come the first time
      else this.#set(outgoing, "failed", error.message);
    }
  }

  /** The stream is live: what is among its messages was sent, and what waits is sent now. */
  settle() {
    const sent = new Set([...this.#stream.rows.values()].map(({ key }) => key));
    for (const outgoing of this.messages.values()) {
      if (sent.has(outgoing.key)) this.discard(outgoing);
      else if (outgoing.state === "waiting") void this.send(outgoing);
    }
  }

  /** @param {Outgoing} outgoing */
  discard(outgoing) {
    if (this.messages.delete(outgoing.key)) this.#changed(outgoing);
  }

  /**
   * @param {Outgoing} outgoing
   * @param {Outgoing["state"]} state
   * @param {string} [reason]
   */
  #set(outgoing, state, reason = "") {
    Object.assign(outgoing, { state, reason });
    this.#changed(outgoing);
  }
}
