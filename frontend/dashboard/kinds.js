/**
 * The four kinds of values: how each is written, read, judged and drawn. Pure.
 *
 * @typedef {"intval" | "floatval" | "boolval" | "textval"} KindName
 * @typedef {number | boolean | string} Value
 * @typedef {{level: "ok" | "warn" | "critical", icon: string, word: string}} Judgement
 *
 * @typedef {object} Description  What a row says of its value besides.
 * @property {string} [unit]
 * @property {number | null} [minimum]
 * @property {number | null} [maximum]
 * @property {number | null} [critical_low]
 * @property {number | null} [warn_low]
 * @property {number | null} [warn_high]
 * @property {number | null} [critical_high]
 * @property {number} [decimals]
 * @property {string} [warn_on]
 * @property {string} [critical_on]
 * @property {number | null} [expected_interval]
 * @property {string | null} [reported_at]
 */
import { formatDecimal, formatDelta, formatNumber, parseDecimal, parseWhole, whyNotDecimal, whyNotWhole } from "./format.js";

/** @type {KindName[]} */
export const KINDS = ["intval", "floatval", "boolval", "textval"];

/** @type {Record<KindName, string>} */
export const TITLES = { intval: "Whole number", floatval: "Decimal", boolval: "Yes or no", textval: "Text" };

/** @type {Record<KindName, Value>} */
export const DEFAULTS = { intval: 0, floatval: 0, boolval: false, textval: "" };

const OK = /** @type {Judgement} */ ({ level: "ok", icon: "", word: "" });
const LONGEST = 500;

/**
 * As people read it, without its unit.
 *
 * @param {KindName} kind
 * @param {unknown} value
 * @param {Description} about
 */
export function format(kind, value, about) {
  if (value === null || value === undefined) return "–";
  if (kind === "intval") return formatNumber(value);
  if (kind === "floatval") return formatDecimal(value, about.decimals ?? 2);
  return kind === "boolval" ? (value ? "Yes" : "No") : String(value);
}

/**
 * @param {KindName} kind
 * @param {unknown} value
 * @param {Description} about
 */
export function formatWithUnit(kind, value, about) {
  const text = format(kind, value, about);
  return about.unit ? `${text}\u202f${about.unit}` : text;
}

/**
 * By how much a number changed; nothing for other kinds.
 *
 * @param {KindName} kind
 * @param {unknown} before
 * @param {unknown} value
 * @param {Description} about
 */
export function formatChange(kind, before, value, about) {
  if (typeof before !== "number" || typeof value !== "number" || before === value) return "";
  const text = kind === "intval" ? formatDelta(value - before) : formatDecimal(value - before, about.decimals ?? 2, "exceptZero");
  // Less than the decimals show is no change to speak of.
  return /[1-9]/.test(text) ? text : "";
}

/**
 * What somebody typed, or why it is no value.
 *
 * @param {KindName} kind
 * @param {string} text
 * @param {Description} about
 * @returns {{value: Value, why: null} | {value: null, why: string}}
 */
export function parse(kind, text, about) {
  if (kind === "textval") return text.length > LONGEST ? refused(`At most ${LONGEST} characters.`) : { value: text, why: null };
  if (kind === "boolval") {
    const word = text.trim().toLowerCase();
    return word === "yes" || word === "no" ? { value: word === "yes", why: null } : refused("Enter yes or no.");
  }
  const value = kind === "intval" ? parseWhole(text) : parseDecimal(text);
  if (value === null) return refused(kind === "intval" ? whyNotWhole(text) : whyNotDecimal(text));
  const { minimum = null, maximum = null } = about;
  if (minimum !== null && value < minimum) return refused(`This must be ${formatNumber(minimum)} or more.`);
  if (maximum !== null && value > maximum) return refused(`This must be ${formatNumber(maximum)} or less.`);
  return { value, why: null };
}

/** @param {string} why @returns {{value: null, why: string}} */
function refused(why) {
  return { value: null, why };
}

/**
 * What stands in the editor when it opens.
 *
 * @param {KindName} kind
 * @param {unknown} value
 */
export function draft(kind, value) {
  return kind === "boolval" ? (value ? "yes" : "no") : String(value ?? "");
}

/**
 * Whether it is a warning or critical, in an icon and a word.
 *
 * @param {unknown} value
 * @param {Description} about
 * @returns {Judgement}
 */
export function judge(value, about) {
  if (typeof value === "boolean") {
    const state = value ? "yes" : "no";
    if (about.critical_on === state) return { level: "critical", icon: "◆", word: "critical" };
    return about.warn_on === state ? { level: "warn", icon: "▲", word: "warning" } : OK;
  }
  if (typeof value !== "number") return OK;
  const { critical_high = null, critical_low = null, warn_high = null, warn_low = null } = about;
  if (critical_high !== null && value >= critical_high) return { level: "critical", icon: "◆", word: "very high" };
  if (critical_low !== null && value <= critical_low) return { level: "critical", icon: "◆", word: "very low" };
  if (warn_high !== null && value >= warn_high) return { level: "warn", icon: "▲", word: "high" };
  if (warn_low !== null && value <= warn_low) return { level: "warn", icon: "▲", word: "low" };
  return OK;
}

/**
 * Where a number stands in its range, and where its thresholds do: shares of 1. Null where there is no range.
 *
 * @param {unknown} value
 * @param {Description} about
 * @returns {{at: number, marks: {at: number, level: "warn" | "critical"}[]} | null}
 */
export function gauge(value, about) {
  const { minimum = null, maximum = null } = about;
  if (typeof value !== "number" || minimum === null || maximum === null || maximum <= minimum) return null;
  const share = (/** @type {number} */ number) => Math.min(1, Math.max(0, (number - minimum) / (maximum - minimum)));
  /** @type {{at: number, level: "warn" | "critical"}[]} */
  const marks = [];
  for (const [limit, level] of /** @type {const} */ ([["critical_low", "critical"], ["warn_low", "warn"], ["warn_high", "warn"], ["critical_high", "critical"]])) {
    const number = about[limit] ?? null;
    if (number !== null && number > minimum && number < maximum) marks.push({ at: share(number), level });
  }
  return { at: share(value), marks };
}
