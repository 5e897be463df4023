import { ProtocolError } from "./errors.js";
import { isObject, isPk } from "./protocol.js";

/**
 * The rows of one stream and the cursor they stand at. Applies frames; knows no socket.
 *
 * @typedef {import("./protocol.js").Pk} Pk
 * @typedef {import("./protocol.js").Data} Data
 *
 * @typedef {object} Row
 * @property {Pk} pk
 * @property {Data} data  As it is now; of a deleted row, as it was last.
 * @property {Data | null} before  As it was; null if it is new.
 *
 * @typedef {object} Change  What one frame changed, compared with what was held.
 * @property {Row[]} created
 * @property {Row[]} updated
 * @property {Row[]} deleted
 * @property {boolean} reset  A snapshot replaced everything, or nothing may be seen any more.
 *
 * @typedef {{items: {pk: Pk, data: Data}[] | null, cursor: string | null}} Initial
 */
export class Store {
  /** @type {Map<Pk, Data>} */
  rows = new Map();
  /** @type {string | null} */
  cursor = null;
  /** Whether it ever held a complete state that is still ours to see. */
  loaded = false;
  /** @type {Map<Pk, Data> | null} A snapshot whose last chunk hasn't come. */
  #chunks = null;
  /** A frame was lost on us: what follows has a hole, so no cursor is remembered until a snapshot comes. */
  #hole = false;

  /** @param {Initial} [initial] */
  constructor(initial) {
    if (!initial?.items) return;
    checkItems(initial.items);
    put(this.rows, initial.items);
    this.cursor = initial.cursor;
    this.loaded = true;
  }

  /** A subscription begins: an unfinished snapshot of the one before will not be finished. */
  begin() {
    this.#chunks = null;
  }

  /** Whether no frame was lost on us since the last snapshot. */
  get whole() {
    return !this.#hole;
  }

  /**
   * The rows aren't ours to see any more.
   *
   * @returns {Change}
   */
  forget() {
    this.begin();
    const change = /** @type {Change} */ (this.snapshot({ items: [], complete: true }));
    this.loaded = false;
    return change;
  }

  /** A frame could not be read. */
  miss() {
    this.#hole = true;
    this.cursor = null;
  }

  /**
   * @param {import("./protocol.js").Payload} payload
   * @param {string} [cursor]
   * @returns {Change | null} null while the snapshot isn't complete
   */
  snapshot({ items, complete }, cursor) {
    checkItems(items);
    const rows = put(this.#chunks ?? new Map(), items);
    if (complete !== true) {
      this.#chunks = rows;
      return null;
    }
    const change = nothing();
    change.reset = true;
    for (const [pk, data] of this.rows) if (!rows.has(pk)) change.deleted.push({ pk, data, before: data });
    for (const [pk, data] of rows) {
      const before = this.rows.get(pk) ?? null;
      if (before === null) change.created.push({ pk, data, before });
      else if (same(before, data)) rows.set(pk, before);
      else change.updated.push({ pk, data, before });
    }
    // Those who hold `rows` hold the Map, so its contents are swapped, not the Map.
    this.rows.clear();
    for (const [pk, data] of rows) this.rows.set(pk, data);
    this.#chunks = null;
    this.#hole = false;
    this.cursor = cursor ?? null;
    this.loaded = true;
    return change;
  }

  /**
   * @param {import("./protocol.js").Payload} payload
   * @param {string} [cursor]
   * @returns {Change}
   */
  batch({ events, keep }, cursor) {
    check(events, keep);
    const change = nothing();
    if (keep !== undefined) {
      const kept = new Set(keep);
      for (const pk of [...this.rows.keys()]) if (!kept.has(pk)) this.#delete(pk, change);
    }
    for (const { action, pk, data } of events) {
      if (action === "delete") this.#delete(pk, change);
      else this.#put(pk, data, change);
    }
    if (!this.#hole) this.cursor = cursor ?? this.cursor;
    return change;
  }

  /**
   * @param {Pk} pk
   * @param {Data} data
   * @param {Change} change
   */
  #put(pk, data, change) {
    const before = this.rows.get(pk) ?? null;
    if (before !== null && same(before, data)) return;
    this.rows.set(pk, data);
    (before === null ? change.created : change.updated).push({ pk, data, before });
  }

  /**
   * @param {Pk} pk
   * @param {Change} change
   */
  #delete(pk, change) {
    const before = this.rows.get(pk);
    if (before === undefined) return;
    this.rows.delete(pk);
    change.deleted.push({ pk, data: before, before });
  }
}

/** @returns {Change} */
function nothing() {
  return { created: [], updated: [], deleted: [], reset: false };
}

/**
 * @param {Map<Pk, Data>} rows
 * @param {{pk: Pk, data: Data}[]} items
 */
function put(rows, items) {
  for (const { pk, data } of items) rows.set(pk, data);
  return rows;
}

/**
 * A frame is applied whole or not at all, so it is looked through first.
 *
 * @param {unknown} items
 */
function checkItems(items) {
  if (!Array.isArray(items)) throw new ProtocolError("A snapshot came without items.");
  for (const item of items)
    if (!isPk(item?.pk) || !isObject(item.data)) throw new ProtocolError("A snapshot came with an item that is no row.");
}

/**
 * As for `checkItems`.
 *
 * @param {unknown} events
 * @param {unknown} keep
 */
function check(events, keep) {
  if (!Array.isArray(events)) throw new ProtocolError("A batch came without events.");
  if (keep !== undefined && !Array.isArray(keep)) throw new ProtocolError("A batch came with a keep that is no list.");
  for (const event of events) {
    const puts = event?.action === "create" || event?.action === "update";
    if (!isPk(event?.pk) || !(puts ? isObject(event.data) : event.action === "delete"))
      throw new ProtocolError("A batch came with an event that is none.");
  }
}

/**
 * Whether two JSON values are equal.
 *
 * @param {any} one
 * @param {any} other
 * @returns {boolean}
 */
export function same(one, other) {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  const keys = Object.keys(one);
  return (
    Array.isArray(one) === Array.isArray(other) &&
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && same(one[key], other[key]))
  );
}
