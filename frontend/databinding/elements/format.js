/**
 * Values as people read them, by the attribute `format`. Pure.
 *
 *     number, number:2 (decimals), percent, percent:1, bytes, date, time, datetime, text; without one by the kind of value
 */

/** As wide as the plus; a hyphen is not. */
const MINUS = "\u2212";
const NOTHING = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** @type {Map<string, Intl.NumberFormat>} */
const numbers = new Map();

/**
 * @param {unknown} value
 * @param {string} [format]
 * @returns {string}
 */
export function formatValue(value, format = "") {
  if (value === null || value === undefined || value === "") return NOTHING;
  const [kind, digits] = format.split(":");
  const decimals = /^\d$/.test(digits ?? "") ? Number(digits) : null;
  switch (kind) {
    case "number":
      return isNumeric(value) ? number(Number(value), decimals) : String(value);
    case "percent":
      return isNumeric(value) ? number(Number(value) / 100, decimals, "percent") : String(value);
    case "bytes":
      return isNumeric(value) ? bytes(Number(value)) : String(value);
    case "date":
    case "time":
    case "datetime":
      return moment(String(value), kind);
    case "text":
      return typeof value === "object" ? JSON.stringify(value) : String(value);
    default:
      if (typeof value === "number") return number(value, null);
      if (typeof value === "boolean") return value ? "Yes" : "No";
      return typeof value === "object" ? JSON.stringify(value) : String(value);
  }
}

/**
 * A number, or Django's text of a decimal.
 *
 * @param {unknown} value
 */
export function isNumeric(value) {
  return typeof value === "number" || (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)));
}

/**
 * @param {number} value
 * @param {number | null} decimals
 * @param {"decimal" | "percent"} [style]
 */
function number(value, decimals, style = "decimal") {
  const key = `${style} ${decimals}`;
  let made = numbers.get(key);
  if (made === undefined) {
    const fixed = decimals === null ? {} : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    made = new Intl.NumberFormat(undefined, { style, ...fixed });
    numbers.set(key, made);
  }
  return made.format(value).replace("-", MINUS);
}

/** @param {number} value */
function bytes(value) {
  let power = 0;
  for (; Math.abs(value) >= 1024 && power < UNITS.length - 1; power++) value /= 1024;
  return `${number(value, power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

/**
 * @param {string} text
 * @param {"date" | "time" | "datetime"} kind
 */
function moment(text, kind) {
  // A date alone has no time zone: it is that day everywhere.
  const time = new Date(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text);
  if (Number.isNaN(time.getTime())) return text;
  /** @type {Intl.DateTimeFormatOptions} */
  const options = {};
  if (kind !== "time") options.dateStyle = "medium";
  if (kind !== "date") options.timeStyle = "medium";
  return new Intl.DateTimeFormat(undefined, options).format(time);
}
