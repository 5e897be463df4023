/**
 * What was written here and isn't among the stream's messages yet. It is sent by the connection's own outbox, as often as it
 * takes; each message has a key by which the server knows it again, so it is stored once.
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
  #outbox;
  #changed;

  /**
   * @param {Pick<import("../databinding/stream.js").Stream, "create">} stream
   * @param {Pick<import("../databinding/outbox.js").Outbox, "on" | "writes" | "discard">} outbox  The connection's.
   * @param {(outgoing: Outgoing) => void} changed  Called after each change of one of them.
   */
  constructor(stream, outbox, changed) {
    this.#stream = stream;
    this.#outbox = outbox;
    this.#changed = changed;
    outbox.on("change", () => this.#follow());
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
      await this.#stream.create({ key, handle, message }, { idempotency_key: key });
      this.#forget(outgoing);
    } catch (error) {
      if (this.messages.has(key)) this.#set(outgoing, "failed", error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Outgoing} outgoing */
  discard(outgoing) {
    this.#forget(outgoing);
    const write = this.#outbox.writes.find(({ data }) => data.key === outgoing.key);
    if (write) this.#outbox.discard(write);
  }

  /** @param {Outgoing} outgoing */
  #forget(outgoing) {
    if (this.messages.delete(outgoing.key)) this.#changed(outgoing);
  }

  /** What the connection's outbox can't send now waits. */
  #follow() {
    for (const { data, state } of this.#outbox.writes) {
      const outgoing = this.messages.get(data.key);
      if (outgoing) this.#set(outgoing, state === "sending" ? "pending" : "waiting");
    }
  }

  /**
   * @param {Outgoing} outgoing
   * @param {Outgoing["state"]} state
   * @param {string} [reason]
   */
  #set(outgoing, state, reason = "") {
    if (outgoing.state === state && outgoing.reason === reason) return;
    Object.assign(outgoing, { state, reason });
    this.#changed(outgoing);
  }
}
