/**
 * What values were, asked from the server: short pasts for the lines of many tiles, any stretch for a chart, changes.
 *
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 *
 * @typedef {object} Past
 * @property {Pk} pk
 * @property {number} step  Seconds that each point stands for.
 * @property {"samples" | "minutes" | "hours"} source
 * @property {number[]} time  Begins of the points, in seconds since 1970.
 * @property {(number | null)[]} min
 * @property {(number | null)[]} max
 * @property {(number | null)[]} mean
 * @property {(number | boolean | string | null)[]} last
 * @property {number[]} count
 *
 * @typedef {{id: number, time: string, value: number | boolean | string | null, who: string | null}} Change
 */

/** What the lines of tiles show: seconds, and points in them. */
export const SHORT = { seconds: 300, points: 61 };
/** Values in one question, and how long others may join it (ms). */
const MOST = 100;
const WAIT = 60;

/**
 * @param {string} path
 * @param {Record<string, string | number>} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function ask(path, query, signal) {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`/api/values/${path}?${parameters}`, { signal, headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(response.status === 404 ? "There is no such value any more." : `The server answered ${response.status}.`);
  return response.json();
}

/**
 * @param {KindName} kind
 * @param {Pk} pk
 * @param {{from: number, to: number, points: number}} range  Seconds since 1970.
 * @param {AbortSignal} [signal]
 * @returns {Promise<Past>}
 */
export function history(kind, pk, range, signal) {
  return ask(`${kind}/${pk}/history/`, range, signal);
}

/**
 * @param {KindName} kind
 * @param {Pk} pk
 * @param {{limit: number, before?: number}} page
 * @param {AbortSignal} [signal]
 * @returns {Promise<Change[]>} the newest first
 */
export async function changes(kind, pk, page, signal) {
  return (await ask(`${kind}/${pk}/changes/`, page, signal)).changes;
}

/** Short pasts: those that the page came with, and others asked for many at once. */
export class ShortPasts {
  /** @type {Map<KindName, Map<Pk, (past: Past) => void>>} */
  #wanted = new Map();
  #timer = 0;

  /**
   * @param {KindName} kind
   * @param {Pk} pk
   * @param {(past: Past) => void} take
   */
  want(kind, pk, take) {
    const wanted = this.#wanted.get(kind) ?? new Map();
    this.#wanted.set(kind, wanted.set(pk, take));
    this.#timer ||= window.setTimeout(() => this.#ask(), WAIT);
  }

  #ask() {
    this.#timer = 0;
    const now = Date.now() / 1000;
    for (const [kind, wanted] of this.#wanted) {
      const rows = [...wanted];
      for (let at = 0; at < rows.length; at += MOST) {
        const some = new Map(rows.slice(at, at + MOST));
        const query = { pk: [...some.keys()].join(","), from: now - SHORT.seconds, to: now, points: SHORT.points };
        // Without it the line begins now; that is no reason to disturb anybody.
        ask(`${kind}/history/`, query).then(
          ({ histories }) => histories.forEach((/** @type {Past} */ past) => some.get(past.pk)?.(past)),
          (error) => console.warn(error),
        );
      }
    }
    this.#wanted.clear();
  }
}
