import { getJson } from "../databinding/json.js";

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
 * @typedef {{from: number, to: number, points: number}} Range  Seconds since 1970.
 *
 * @typedef {object} Stood
 * @property {number} at  Seconds since 1970.
 * @property {number | null} earliest  Nothing is kept of before.
 * @property {"samples" | "minutes" | "hours"} source
 * @property {{stream: KindName, pk: Pk, data: import("../databinding/protocol.js").Data, since: number | null}[]} values
 * @property {string | null} next  More of them are asked for after this.
 *
 * @typedef {{id: number, time: string, value: number | boolean | string | null, who: string | null}} Change
 */

/** What the lines of tiles show: seconds, and points in them. */
export const SHORT = { seconds: 300, points: 61 };
/** @param {number} to  Seconds since 1970. @returns {Range} */
export function shortly(to) {
  return { from: to - SHORT.seconds, to, points: SHORT.points };
}

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
  const { status, data } = await getJson(`/api/values/${path}?${parameters}`, signal);
  if (data === null) throw new Error(status === 404 ? "There is no such value any more." : `The server answered ${status}.`);
  return data;
}

/**
 * @param {KindName} kind
 * @param {Pk} pk
 * @param {Range} range
 * @param {AbortSignal} [signal]
 * @returns {Promise<Past>}
 */
export function history(kind, pk, range, signal) {
  return ask(`${kind}/${pk}/history/`, range, signal);
}

/**
 * @param {KindName} kind
 * @param {Pk} pk
 * @param {{limit: number, before?: number, until?: number}} page
 * @param {AbortSignal} [signal]
 * @returns {Promise<Change[]>} the newest first
 */
export async function changes(kind, pk, page, signal) {
  return (await ask(`${kind}/${pk}/changes/`, page, signal)).changes;
}

/**
 * All values as they stood at a moment.
 *
 * @param {number} at  Seconds since 1970.
 * @returns {Promise<Stood>}
 */
export async function stood(at) {
  /** @type {Stood} */
  const whole = await ask("", { at });
  for (let { next } = whole; next !== null; ) {
    const more = await ask("", { at: whole.at, after: next });
    whole.values.push(...more.values);
    next = more.next;
  }
  return whole;
}

/** Short pasts: those that the page came with, and others asked for many at once. */
export class ShortPasts {
  #range;
  /** @type {Map<KindName, Map<Pk, (past: Past) => void>>} */
  #wanted = new Map();
  #timer = 0;

  /** @param {() => Range} range  Of which time, when it is asked. */
  constructor(range) {
    this.#range = range;
  }

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
    const range = this.#range();
    for (const [kind, wanted] of this.#wanted) {
      const rows = [...wanted];
      for (let at = 0; at < rows.length; at += MOST) {
        const some = new Map(rows.slice(at, at + MOST));
        const query = { pk: [...some.keys()].join(","), ...range };
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
