/** What the page shows, in its order. Pure. */

/**
 * @typedef {object} Shown
 * @property {string} key
 * @property {string} handle
 * @property {string} message
 * @property {string} timestamp
 * @property {"sent" | "pending" | "waiting" | "failed"} state
 * @property {string} reason
 *
 * Oldest first, by the order of the binding's window; then what isn't sent yet.
 *
 * @param {ReadonlyMap<import("../databinding/protocol.js").Pk, Record<string, any>>} rows
 * @param {Iterable<import("./outbox.js").Outgoing>} outgoing
 * @returns {Shown[]}
 */
export function inOrder(rows, outgoing) {
  const sent = [...rows].sort(([a, one], [b, other]) => Date.parse(one.timestamp) - Date.parse(other.timestamp) || Number(a) - Number(b));
  const shown = sent.map(([, data]) => /** @type {Shown} */ ({ ...data, state: "sent", reason: "" }));
  const keys = new Set(shown.map(({ key }) => key));
  return [...shown, ...[...outgoing].filter(({ key }) => !keys.has(key))];
}

/**
 * The names of those who are here, each once, however many pages they have open.
 *
 * @param {Iterable<Record<string, any>>} presences
 * @returns {string[]}
 */
export function people(presences) {
  const names = new Set([...presences].map(({ handle }) => handle));
  return [...names].sort((one, other) => one.localeCompare(other));
}
