/** Numbers and times as people read them. Pure. */

/** As wide as the plus; a hyphen is not. */
const MINUS = "\u2212";
const numbers = new Intl.NumberFormat();
const signed = new Intl.NumberFormat(undefined, { signDisplay: "exceptZero" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @param {unknown} value */
export function formatNumber(value) {
  return typeof value === "number" ? numbers.format(value).replace("-", MINUS) : "–";
}

/** @param {number} value */
export function formatDelta(value) {
  return signed.format(value).replace("-", MINUS);
}

/** @param {number} time  ms since 1970 */
export function formatClock(time) {
  return clock.format(time);
}

/** @param {number} time  ms since 1970 */
export function formatMoment(time) {
  return day.format(time);
}

/**
 * How long ago, in steps coarse enough that the words don't run.
 *
 * @param {number} ms
 */
export function formatAge(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds - (seconds % 5)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** What stands between thousands here, where it does: what the page shows can be typed into it. */
const group = numbers.formatToParts(1e6).find(({ type }) => type === "group")?.value ?? " ";
const GROUPS = new RegExp(`(?<=\\d)[${group}](?=\\d{3}(?!\\d))`, "g");
const WHOLE = /^[+-]?\d+$/;

/** @param {string} text */
function plain(text) {
  return text.replace(/\s/g, "").replace(GROUPS, "").replace(/^[\u2212\u2013]/, "-");
}

/**
 * A whole number as somebody typed it, or null if it is none.
 *
 * @param {string} text
 */
export function parseWhole(text) {
  const value = Number(plain(text));
  return WHOLE.test(plain(text)) && Number.isSafeInteger(value) ? value : null;
}

/**
 * What to say of a text that `parseWhole` can't read.
 *
 * @param {string} text
 */
export function whyNotWhole(text) {
  return WHOLE.test(plain(text)) ? "That number is too large." : "Enter a whole number.";
}
