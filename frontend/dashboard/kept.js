/** Lists of names - values' ids, keys - that are remembered in this browser, where it lets us. */

/** @param {string} key @returns {string[]} */
export function recall(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : [];
  } catch {
    // Storage that is off, or that somebody else wrote to.
    return [];
  }
}

/** @param {string} key @param {Iterable<string>} ids */
export function keep(key, ids) {
  try {
    localStorage.setItem(key, JSON.stringify([...ids]));
  } catch {
    // Then it is for as long as the page lives.
  }
}
