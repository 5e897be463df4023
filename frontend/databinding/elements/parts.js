/**
 * An element that a page may style as a part.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} name
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function part(tag, name) {
  const element = document.createElement(tag);
  element.setAttribute("part", name);
  return element;
}

/**
 * Write text only if it differs: an untouched node costs no layout and is not read out again.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * How an element stands: an icon for the eyes, and a word for all.
 *
 * @param {HTMLElement} element
 * @param {import("./look.js").Look} look
 */
export function setState(element, { icon, word }) {
  const text = word && ` ${icon} ${word}`;
  if (element.textContent === text) return;
  const symbol = document.createElement("span");
  symbol.setAttribute("aria-hidden", "true");
  symbol.textContent = icon;
  element.replaceChildren(...(word ? [" ", symbol, ` ${word}`] : []));
}

/**
 * What stands before a value, as text that can be copied with it.
 *
 * @param {Element} element
 */
export function labelOf(element) {
  const label = element.getAttribute("label");
  return label ? `${label}: ` : "";
}

/**
 * What stands behind it.
 *
 * @param {Element} element
 */
export function unitOf(element) {
  const unit = element.getAttribute("unit");
  return unit ? `\u00a0${unit}` : "";
}

/**
 * Show for a moment that this has changed.
 *
 * @param {HTMLElement} element
 */
export function flash(element) {
  element.classList.remove("flash");
  void element.offsetWidth; // Begin anew.
  element.classList.add("flash");
}

/**
 * The field that an element shows if it isn't told: `value`, or else the first that is a number, or else the first.
 *
 * @param {import("../protocol.js").Data | undefined} row
 * @returns {string}
 */
export function mainField(row) {
  const names = Object.keys(row ?? {});
  if (names.includes("value")) return "value";
  return names.find((name) => typeof row?.[name] === "number") ?? names[0] ?? "";
}
