/** Text that changes more often can't be read (ms). */
const DISTANCE = 250;

/** @type {Map<object, () => void>} */
const waiting = new Map();
/** @type {WeakMap<object, number>} */
const drawnAt = new WeakMap();
let requested = false;
let timer = 0;

/**
 * Call this in a coming frame: all elements draw in one, each at most four times a second, its newest state last.
 *
 * @param {object} who
 * @param {() => void} draw
 */
export function schedule(who, draw) {
  waiting.set(who, draw);
  request();
}

function request() {
  if (requested) return;
  requested = true;
  requestAnimationFrame(flush);
}

function flush() {
  requested = false;
  window.clearTimeout(timer);
  const now = performance.now();
  let next = Infinity;
  for (const [who, draw] of [...waiting]) {
    const due = (drawnAt.get(who) ?? -Infinity) + DISTANCE;
    if (due > now) {
      next = Math.min(next, due);
      continue;
    }
    waiting.delete(who);
    drawnAt.set(who, now);
    draw();
  }
  if (next < Infinity) timer = window.setTimeout(request, next - now);
}
