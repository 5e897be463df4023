/** A region that has just come is listened to from then on, but what it came with isn't read out (ms). */
const DELAY = 400;

/**
 * Say something to screen readers, once, however many elements show it.
 *
 * @param {string} text
 */
export function say(text) {
  const region = document.createElement("div");
  region.setAttribute("role", "status");
  Object.assign(region.style, { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)" });
  document.body.append(region);
  window.setTimeout(() => (region.textContent = text), DELAY);
}
