import { standing } from "../standing.js";

/**
 * What an element says of itself beside its value. Pure.
 *
 * @typedef {"loading" | "live" | "stale" | "offline" | "refused" | "missing" | "wrong"} State
 *     loading: nothing is known yet · stale: it hasn't changed for longer than it should · offline: what is shown is from
 *     before · refused: not for this user · missing: there is no such row · wrong: the element's attributes are
 *
 * @typedef {{state: State, icon: string, word: string}} Look  Both are empty where there is nothing to say.
 */

/** How a connection stands that is lost: what is shown is from before. (Of who is logged out nothing is.) */
const LOST = ["reconnecting", "offline", "ended"];

/**
 * @param {import("../socket.js").StateEvent} connection
 * @param {import("../stream.js").StreamState} stream
 */
export function isLost(connection, stream) {
  return LOST.includes(standing(connection, stream));
}

/**
 * @param {object} facts
 * @param {import("../socket.js").StateEvent} facts.connection
 * @param {{state: import("../stream.js").StreamState, loaded: boolean, error: (Error & {status?: number}) | null}} facts.stream
 * @param {boolean} facts.there  Is the row there?
 * @param {number | null} facts.staleSince  Since when it is; null: it isn't.
 * @returns {Look}
 */
export function lookOf({ connection, stream, there, staleSince }) {
  const stands = standing(connection, stream.state);
  if (stands === "refused" || stands === "logged out") {
    const status = stands === "logged out" ? 401 : connection.state === "closed" ? 403 : (stream.error?.status ?? 0);
    if (status === 401 || status === 403) return { state: "refused", icon: "⊘", word: status === 401 ? "Log in to see this" : "No permission" };
    return { state: "wrong", icon: "◆", word: stream.error?.message ?? "Refused" };
  }
  if (LOST.includes(stands)) return { state: "offline", icon: "◆", word: `Offline since ${clock(connection.since)}` };
  if (!stream.loaded) return { state: "loading", icon: "⟳", word: "Loading" };
  if (!there) return { state: "missing", icon: "–", word: "Not there" };
  if (staleSince !== null) return { state: "stale", icon: "◷", word: `Unchanged since ${clock(staleSince)}` };
  return { state: "live", icon: "", word: "" };
}

/** @param {number} time */
export function clock(time) {
  return new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
