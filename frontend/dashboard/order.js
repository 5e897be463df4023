import { keep, recall } from "./kept.js";

const KEY = "dashboard.order";

/** Somebody's own order of the values. */
export class OwnOrder {
  /** @type {string[]} */
  #ids = [];
  /** @type {Map<string, number>} */
  #ranks = new Map();

  constructor() {
    this.set(recall(KEY));
  }

  /** The higher, the further in front; 0: it was never placed. @param {string} id */
  rank(id) {
    return this.#ranks.get(id) ?? 0;
  }

  /** @param {string[]} ids  All there are, in their order. */
  set(ids) {
    this.#ids = ids;
    this.#ranks = new Map(ids.map((id, at) => [id, ids.length - at]));
  }

  keep() {
    keep(KEY, this.#ids);
  }
}
