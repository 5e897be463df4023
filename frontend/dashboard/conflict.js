import { find, setText } from "./dom.js";
import { formatWithUnit } from "./kinds.js";

/**
 * Theirs or mine: asks what is to become of an edit of a value that somebody else has changed meanwhile.
 *
 * @typedef {import("./tile.js").Tile} Tile
 */
export class ConflictDialog {
  #dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("#conflict-dialog"));
  #events;
  /** @type {Tile | null} */
  #tile = null;

  /** @param {{theirs: (tile: Tile) => void, mine: (tile: Tile) => void}} events */
  constructor(events) {
    this.#events = events;
    const dialog = this.#dialog;
    if (dialog === null) return;
    find(dialog, ".later").addEventListener("click", () => dialog.close());
    find(dialog, ".theirs").addEventListener("click", () => this.#decide("theirs"));
    find(dialog, ".mine").addEventListener("click", () => this.#decide("mine"));
    dialog.addEventListener("close", () => {
      this.#tile?.focus();
      this.#tile = null;
    });
  }

  /** @param {Tile} tile */
  open(tile) {
    if (this.#dialog === null || this.#dialog.open) return;
    this.#tile = tile;
    this.draw();
    this.#dialog.showModal();
  }

  /** What is theirs may change while somebody thinks; that it is gone ends the question. */
  draw() {
    const dialog = this.#dialog;
    const tile = this.#tile;
    if (dialog === null || tile === null) return;
    if (tile.gone || tile.edit.state !== "conflict") return dialog.close();
    const shown = (/** @type {unknown} */ value) => formatWithUnit(tile.kind, value, tile.about);
    setText(find(dialog, ".subject"), String(tile.data.name));
    setText(find(dialog, ".base"), shown(tile.edit.base));
    setText(find(dialog, ".theirs-value"), shown(tile.data.value));
    setText(find(dialog, ".mine-value"), shown(tile.edit.desired));
  }

  /** @param {"theirs" | "mine"} choice */
  #decide(choice) {
    const tile = this.#tile;
    this.#dialog?.close();
    if (tile !== null) this.#events[choice](tile);
  }
}
