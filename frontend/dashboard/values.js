import { initialRows } from "../databinding/index.js";
import { KINDS } from "./kinds.js";

/**
 * The streams of all kinds of values, taken together: how they stand, and what they say of how values are shown.
 *
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("./kinds.js").Description} Description
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 * @typedef {import("../databinding/stream.js").Stream} Stream
 */
export class Values {
  /** @type {Record<KindName, Stream>} */
  streams;
  /** Of integers, whose stream has names and values alone. @type {Stream} */
  limits;

  /** @param {import("../databinding/connection.js").Connection} live */
  constructor(live) {
    const stream = (/** @type {string} */ name) => live.stream(name, { initial: initialRows(name) });
    this.streams = { intval: stream("intval"), floatval: stream("floatval"), boolval: stream("boolval"), textval: stream("textval") };
    this.limits = stream("intlimits");
  }

  get #all() {
    return KINDS.map((kind) => this.streams[kind]);
  }

  /**
   * How a value is to be read and shown.
   *
   * @param {KindName} kind
   * @param {Pk} pk
   * @returns {Description}
   */
  about(kind, pk) {
    return (kind === "intval" ? this.limits : this.streams[kind]).rows.get(pk) ?? {};
  }

  /** The least that is true of all: live only if each is, or may not be seen. @returns {Stream["state"]} */
  get state() {
    const states = this.#all.map(({ state }) => state).filter((state) => state !== "refused");
    if (states.length === 0) return "refused";
    return states.find((state) => state !== "live") ?? "live";
  }

  /** Why it isn't live: what one of those in that state was told. */
  get error() {
    const { state } = this;
    return this.#all.find((stream) => stream.state === state && stream.error !== null)?.error ?? null;
  }

  get loaded() {
    return this.#all.every(({ loaded, state }) => loaded || state === "refused");
  }

  get size() {
    return this.#all.reduce((sum, { rows }) => sum + rows.size, 0);
  }

  /**
   * @param {"state"} event
   * @param {() => void} listener
   */
  on(event, listener) {
    const unlisten = this.#all.map((stream) => stream.on(event, listener));
    return () => unlisten.forEach((stop) => stop());
  }
}
