import { find, instantiate, neighbour, setText } from "./dom.js";
import { Edit } from "./edit.js";
import { formatAge, formatClock, formatDelta, formatMoment, formatNumber, parseWhole, whyNotWhole } from "./format.js";
import { History } from "./history.js";
import { sparkline } from "./sparkline.js";

const POINTS = 120;
/** A box flashes if its value held this long (ms). One that never rests needs no flash: it is seen to move. */
const FLASH_AFTER = 2500;
/** Instead of the flash where motion is not wanted: a mark for this long (ms). */
const MARK_FOR = 2000;
/** So many characters don't fit on one line beside each other. */
const TWO_LINES = 20;
const FLASH = { duration: 1500, easing: "ease-out" };
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * One value on the page. `take` and `edit` change what it knows, `draw` what is seen; the grid says when.
 *
 * @typedef {object} TileEvents
 * @property {(tile: Tile, value: number) => void} save
 * @property {(tile: Tile) => void} remove
 * @property {(tile: Tile) => void} discard  The edit that waits is to be taken back.
 * @property {(tile: Tile) => void} resolve  Theirs or mine?
 * @property {(tile: Tile) => void} dirty  Something is to be drawn soon.
 */
export class Tile {
  edit = new Edit();
  /** It was deleted while somebody worked on it: it stays until they let go. */
  gone = false;
  /** When it was drawn last. */
  drawnAt = -Infinity;

  #events;
  #history = new History(POINTS);
  #delta = 0;
  #changedAt = 0;
  #missed = false;
  #seenAt;
  #flash = false;
  #flashedAt = -Infinity;
  #shown = "";

  /**
   * @param {import("../databinding/store.js").Row} row
   * @param {number} now
   * @param {TileEvents} events
   */
  constructor(row, now, events) {
    this.pk = row.pk;
    this.data = row.data;
    this.#events = events;
    this.#seenAt = now;
    this.#history.push(now, row.data.value);

    this.element = instantiate("tile");
    this.name = find(this.element, ".name");
    this.box = find(this.element, ".box");
    this.value = find(this.element, ".value");
    this.deltaText = find(this.element, ".delta");
    this.desired = find(this.element, ".desired");
    this.editor = /** @type {HTMLFormElement} */ (find(this.element, ".editor"));
    this.input = /** @type {HTMLInputElement} */ (find(this.element, ".editor input"));
    this.note = find(this.element, ".note");
    this.noteText = find(this.element, ".note-text");
    this.again = find(this.element, ".again");
    this.resolve = find(this.element, ".resolve");
    this.discard = find(this.element, ".discard");
    this.age = find(this.element, ".age");
    this.line = find(this.element, ".line");
    this.area = find(this.element, ".area");
    this.end = find(this.element, ".end");
    this.#label();
    this.#listen();
  }

  /** Whether somebody works on it: then it is neither moved nor removed. */
  get busy() {
    return this.edit.state === "editing" || this.element.contains(document.activeElement);
  }

  /**
   * New data came.
   *
   * @param {import("../databinding/protocol.js").Data} data
   * @param {number} now
   * @param {boolean} missed  It changed while the connection was away, nobody knows when.
   */
  take(data, now, missed) {
    const before = this.data.value;
    this.data = data;
    if (data.value !== before) {
      this.#history.push(now, data.value);
      this.#delta = data.value - before;
      this.#flash ||= now - this.#changedAt >= FLASH_AFTER;
      this.#changedAt = now;
      this.#missed = missed;
    }
    this.#events.dirty(this);
  }

  /**
   * The connection was lost: what comes now doesn't continue what came before.
   *
   * @param {number} time
   */
  interrupt(time) {
    this.#history.gap(time);
  }

  /** Put the focus here. */
  focus() {
    (this.gone ? neighbour(this.element) : this.value)?.focus();
  }

  /**
   * The rows are what the database holds again.
   *
   * @param {number} time
   */
  resume(time) {
    this.#history.resume(time);
    this.#events.dirty(this);
  }

  /** @param {number} now */
  draw(now) {
    const { state } = this.edit;
    setText(this.name, String(this.data.name));
    const shown = formatNumber(this.data.value);
    if (shown !== this.#shown) {
      this.#shown = shown;
      setText(this.value, shown);
    }
    setText(this.deltaText, this.#delta === 0 ? "" : formatDelta(this.#delta));
    const mark = { pending: "⟳", queued: "◷", conflict: "▲" }[/** @type {string} */ (state)];
    const desired = mark !== undefined;
    setText(this.desired, desired ? `→ ${formatNumber(this.edit.desired)} ${mark}` : "");
    this.element.dataset.edit = state;
    const beside = this.desired.textContent?.length ?? 0;
    const long = shown.length + beside > TWO_LINES;
    this.element.classList.toggle("long", long);
    this.element.style.setProperty("--chars", String(Math.max(4, long ? Math.max(shown.length, beside) : shown.length + beside)));
    this.element.classList.toggle("gone", this.gone);
    this.editor.hidden = state !== "editing";
    this.box.hidden = state === "editing";
    this.#drawNote();
    this.drawAge(now, null);
    const paths = sparkline(this.#history.points(), now);
    this.line.setAttribute("d", paths.line);
    this.area.setAttribute("d", paths.area);
    this.end.setAttribute("d", paths.end);
    if (this.#flash) this.#drawFlash(now);
    this.drawnAt = now;
  }

  /**
   * @param {number} now
   * @param {number | null} asOf  Since when nothing is known any more.
   */
  drawAge(now, asOf) {
    const since = this.#changedAt || this.#seenAt;
    setText(
      this.age,
      asOf !== null
        ? `◷ as of ${formatClock(asOf)}`
        : !this.#changedAt
          ? `since ${formatClock(since)}`
          : this.#missed
            ? "changed while away"
            : `changed ${formatAge(now - since)}`,
    );
    const title = formatMoment(asOf ?? since);
    if (this.age.title !== title) this.age.title = title;
  }

  /** Begin to edit the number. */
  open() {
    if (this.gone || this.edit.state === "editing" || this.edit.state === "pending") return;
    if (this.edit.state === "conflict") return this.#events.resolve(this);
    const draft = this.edit.state === "idle" ? this.data.value : this.edit.desired;
    if (this.edit.state === "queued") this.#events.discard(this);
    this.edit.begin(this.data.value);
    this.input.value = String(draft);
    this.draw(Date.now());
    this.input.focus();
    this.input.select();
  }

  /** End editing without saving; a tile whose value was deleted goes with it. */
  cancel() {
    const held = this.editor.contains(document.activeElement) || this.note.contains(document.activeElement);
    this.edit.dismiss();
    this.draw(Date.now());
    if (held) this.focus();
    this.#events.dirty(this);
  }

  #submit() {
    const value = parseWhole(this.input.value);
    if (value === null) {
      this.edit.message = whyNotWhole(this.input.value);
      this.input.setAttribute("aria-invalid", "true");
      this.#drawNote();
      this.input.focus();
      return;
    }
    if (value === this.data.value && !this.gone) return this.cancel();
    this.edit.submit(value);
    this.draw(Date.now());
    this.value.focus();
    this.#events.save(this, value);
  }

  #drawNote() {
    const { state, message, base } = this.edit;
    let text = "";
    if (this.gone) text = "▲ Deleted by somebody else.";
    else if (message) text = state === "failed" ? `◆ Not saved: ${message}` : `◆ ${message}`;
    else if (state === "queued") text = "◷ Waits for the connection.";
    else if (state === "conflict") text = `▲ Changed meanwhile: was ${formatNumber(base)}, now ${formatNumber(this.data.value)}.`;
    else if (state === "editing" && this.data.value !== base) text = `▲ Changed meanwhile: now ${formatNumber(this.data.value)}, was ${formatNumber(base)}.`;
    this.note.hidden = text === "";
    this.element.classList.toggle("noted", text !== "");
    this.again.hidden = state !== "failed" || this.gone;
    this.resolve.hidden = state !== "conflict" || this.gone;
    this.discard.hidden = state !== "queued" || this.gone;
    setText(this.noteText, text);
    if (!message) this.input.removeAttribute("aria-invalid");
  }

  /** @param {number} now */
  #drawFlash(now) {
    this.#flash = false;
    this.#flashedAt = now;
    if (calm.matches) {
      this.box.classList.add("marked");
      window.setTimeout(() => Date.now() - this.#flashedAt >= MARK_FOR && this.box.classList.remove("marked"), MARK_FOR);
      return;
    }
    for (const animation of this.box.getAnimations()) animation.cancel();
    const colour = "var(--flash)";
    this.box.animate([{ backgroundColor: colour }, { backgroundColor: colour, offset: 1 / 3 }, { backgroundColor: "transparent" }], FLASH);
  }

  /** Ids tie the controls to the name, so that a screen reader says which value they belong to. */
  #label() {
    const id = `value-${this.pk}`;
    this.name.id = `${id}-name`;
    this.value.id = id;
    this.noteText.id = `${id}-note`;
    this.value.setAttribute("aria-labelledby", `${this.name.id} ${id}`);
    this.input.setAttribute("aria-labelledby", this.name.id);
    this.input.setAttribute("aria-describedby", this.noteText.id);
    const remove = this.element.querySelector(".remove");
    if (remove === null) return;
    remove.id = `${id}-remove`;
    remove.setAttribute("aria-labelledby", `${remove.id} ${this.name.id}`);
  }

  #listen() {
    this.element.querySelector(".remove")?.addEventListener("click", () => this.#events.remove(this));
    if (this.value instanceof HTMLButtonElement) this.value.addEventListener("click", () => this.open());
    this.again.addEventListener("click", () => this.open());
    this.resolve.addEventListener("click", () => this.#events.resolve(this));
    this.discard.addEventListener("click", () => {
      this.#events.discard(this);
      this.cancel();
    });
    find(this.note, ".dismiss").addEventListener("click", () => this.cancel());
    find(this.editor, ".cancel").addEventListener("click", () => this.cancel());
    this.editor.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || (this.edit.state !== "editing" && this.edit.state !== "failed")) return;
      event.stopPropagation();
      this.cancel();
    });
    // What waited because somebody was here (its place, its going) can happen now.
    this.element.addEventListener("focusout", () => this.#events.dirty(this));
  }
}
