const KEY = "dashboard.pinned";

/** Which values are pinned; remembered in this browser, where it lets us. */
export class Pins {
  /** @type {Set<string>} */
  ids;

  constructor() {
    /** @type {unknown} */
    let kept = [];
    try {
      kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    } catch {
      // Storage that is off, or that somebody else wrote to.
    }
    this.ids = new Set(Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : []);
  }

  /** @param {string} id @returns {boolean} whether it is pinned now */
  toggle(id) {
    const pinned = !this.ids.delete(id);
    if (pinned) this.ids.add(id);
    try {
      localStorage.setItem(KEY, JSON.stringify([...this.ids]));
    } catch {
      // Then it is for as long as the page lives.
    }
    return pinned;
  }
}
