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

/** @type {Map<string, Intl.NumberFormat>} */
const decimals = new Map();

/**
 * With so many decimals, always.
 *
 * @param {unknown} value
 * @param {number} digits
 * @param {"auto" | "exceptZero"} [sign]
 */
export function formatDecimal(value, digits, sign = "auto") {
  if (typeof value !== "number") return "–";
  const key = `${digits} ${sign}`;
  let numbers = decimals.get(key);
  if (numbers === undefined) {
    numbers = new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: sign });
    decimals.set(key, numbers);
  }
  return numbers.format(value).replace("-", MINUS);
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

/** What stands before the decimals here; a point is taken for one, too. */
const point = numbers.formatToParts(1.5).find(({ type }) => type === "decimal")?.value ?? ".";
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i;

/**
 * A number as somebody typed it, or null if it is none.
 *
 * @param {string} text
 */
export function parseDecimal(text) {
  const written = plain(text).replace(point, ".");
  const value = Number(written);
  return DECIMAL.test(written) && Number.isFinite(value) ? value : null;
}

/**
 * What to say of a text that `parseDecimal` can't read.
 *
 * @param {string} text
 */
export function whyNotDecimal(text) {
  return DECIMAL.test(plain(text).replace(point, ".")) ? "That number is too large." : "Enter a number.";
}
