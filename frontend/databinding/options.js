import { SUBPROTOCOL } from "./protocol.js";

/**
 * Everything tunable, in ms where it is a time.
 *
 * @typedef {typeof DEFAULTS} Options
 */
export const DEFAULTS = {
  subprotocol: SUBPROTOCOL,
  /** Frames of one stream that may be on their way unpainted. */
  window: 8,
  /** A painted frame is acknowledged at the latest after this. */
  ackDelay: 250,
  /** A page that is shown but never painted (an embedded frame out of sight) counts as painted after this. */
  paintTimeout: 1000,
  /** How long an unanswered handshake is waited for. */
  openTimeout: 10_000,
  /** A connection this old resets the backoff. */
  stableAfter: 5_000,
  /** Not connected for this long is called offline. */
  offlineAfter: 5_000,
  /** A request made while not connected waits this long before it is rejected unsent; writes wait in the outbox. */
  sendTimeout: 5_000,
  /** A request that was sent waits this long for its answer. */
  replyTimeout: 30_000,
  /** Writes that wait without a connection, at most (0: none, they are rejected as other requests are); and that are on
   * their way at once. */
  outbox: { limit: 100, sending: 16 },
  /** A token to say who this is, where there is no session; or a function that gets one, called at each connection.
   * @type {string | (() => string | Promise<string>) | null} */
  token: null,
  /** How long the function may take, before it is asked again at another connection; and how long rows are held whose
   * token the server has found expired. */
  tokenTimeout: 10_000,
  /** Delays between tries to connect. */
  backoff: { floor: 100, base: 500, cap: 20_000 },
  /** The same after the server found us too fast (close code 4429). */
  penalty: { floor: 15_000, base: 30_000, cap: 60_000 },
  /** Delays before a subscription is tried again that the server could not serve just now. */
  resubscribe: { floor: 500, base: 2_000, cap: 20_000 },
  /** The sum of `interval` and `timeout` is what a dead connection can hide; after a sleep it is `wakeTimeout`. */
  heartbeat: { interval: 10_000, timeout: 8_000, wakeTimeout: 4_000, gap: 5_000 },
};

/**
 * @param {{[Key in keyof Options]?: Partial<Options[Key]> | Options[Key]}} given
 * @returns {Options}
 */
export function withDefaults(given) {
  const options = /** @type {any} */ ({ ...DEFAULTS });
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULTS, key)) throw new TypeError(`Unknown option "${key}".`);
    if (value !== undefined) options[key] = typeof value === "object" && value !== null ? { ...options[key], ...value } : value;
  }
  return options;
}
