import { keep, recall } from "./kept.js";

const KEY = "dashboard.pinned";

/** Which values are pinned. */
export class Pins {
  ids = new Set(recall(KEY));

  /** @param {string} id @returns {boolean} whether it is pinned now */
  toggle(id) {
    const pinned = !this.ids.delete(id);
    if (pinned) this.ids.add(id);
    keep(KEY, this.ids);
    return pinned;
  }
}
