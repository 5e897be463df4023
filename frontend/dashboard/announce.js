import { find } from "./dom.js";

/** Nobody wants to hear each of two states within a second. */
const DELAY = 400;
let timer = 0;

/**
 * Say something to screen readers: what became of the user's own writes, and of the connection. Never a tile's value.
 *
 * @param {string} text
 */
export function announce(text) {
  const region = find(document, "#announcer");
  window.clearTimeout(timer);
  // The same sentence twice is said twice only if the region was empty between.
  region.textContent = "";
  timer = window.setTimeout(() => (region.textContent = text), DELAY);
}
