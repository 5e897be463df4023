import { find } from "./dom.js";

/** Nobody wants to hear each of two states within a second. */
const DELAY = 400;
let timer = 0;
/** What is about to be said, by what it is about. @type {Map<string, string>} */
const pending = new Map();

/**
 * Say something to screen readers: what became of the user's own writes, and of the connection. Never a tile's value.
 *
 * @param {string} text
 * @param {"page" | "connection"} [about]  It takes the place of what was about to be said of that, of nothing else.
 */
export function announce(text, about = "page") {
  const region = find(document, "#announcer");
  window.clearTimeout(timer);
  // The same sentence twice is said twice only if the region was empty between.
  region.textContent = "";
  pending.set(about, text);
  timer = window.setTimeout(() => {
    region.textContent = [...pending.values()].join(" – ");
    pending.clear();
  }, DELAY);
}
