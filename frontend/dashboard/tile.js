import { drawing } from "../databinding/drawing.js";
import { numberOf, pointsOf, Tail } from "../databinding/tail.js";
import { find, instantiate, neighbour, setText } from "./dom.js";
import { Edit } from "./edit.js";
import { formatAge, formatClock, formatMoment } from "./format.js";
import { isStale, reportedAt } from "./freshness.js";
import { draft, format, formatChange, formatWithUnit, gauge, judge, parse } from "./kinds.js";

/** What its line shows at most: ms, and points; and its height in the units of its drawing. */
const SPAN = 300_000;
const POINTS = 300;
const HEIGHT = 32;
/** A box flashes if its value held this long (ms). One that never rests needs no flash: it is seen to move. */
const FLASH_AFTER = 2500;
/** Instead of the flash where motion is not wanted: a mark for this long (ms). */
const MARK_FOR = 2000;
const DAY = 86_400_000;
/** So many characters don't fit on one line beside each other. */
const TWO_LINES = 20;
const FLASH = { duration: 1500, easing: "ease-out", pseudoElement: "::before" };
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * One value on the page. `take`, `describe` and `edit` change what it knows, `draw` what is seen; the grid says when.
 * It has no elements before it is first seen.
 *
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("./kinds.js").Value} Value
 *
 * @typedef {object} TileEvents
 * @property {(tile: Tile, value: Value) => void} save
 * @property {(tile: Tile) => void} remove
 * @property {(tile: Tile) => void} discard  The edit that waits is to be taken back.
 * @property {(tile: Tile) => void} resolve  Theirs or mine?
 * @property {(tile: Tile) => void} dirty  Something is to be drawn soon.
 * @property {(tile: Tile) => void} open  All of it is to be shown.
 * @property {(tile: Tile) => void} pin  It is to be pinned, or to be no longer.
 * @property {(kind: KindName, action: "create" | "update" | "delete") => boolean} may
 * @property {() => number} skew  ms by which the server's clock is behind ours
 * @property {string} [frozen]  Why nothing can be edited.
 */
export class Tile {
  edit = new Edit();
  /** It was deleted while somebody worked on it: it stays until they let go. */
  gone = false;
  /** When it was drawn last. */
  drawnAt = -Infinity;
  pinned = false;
  /** Whether its past was asked for: before, it needn't remember any. */
  asked = false;
  /** Whether some of it was missed since. */
  behind = false;
  changedAt = 0;
  /** @type {import("./kinds.js").Description} */
  about;
  /** @type {import("./kinds.js").Judgement} */
  judgement;

  #events;
  #tail = new Tail(SPAN, POINTS);
  /** The value before the last change. @type {unknown} */
  #before;
  #missed = false;
  /** Since when it is known to be what it is, unless it has changed here. */
  #since;
  #flash = false;
  #flashedAt = -Infinity;
  /** @type {Animation | null} */
  #flashing = null;
  #shown = "";
  #chars = 0;
  /** @type {ReturnType<Tile["build"]> | null} */
  #parts = null;

  /**
   * @param {KindName} kind
   * @param {import("../databinding/store.js").Row} row
   * @param {import("./kinds.js").Description} about
   * @param {number} now
   * @param {TileEvents} events
   */
  constructor(kind, row, about, now, events) {
    this.kind = kind;
    this.pk = row.pk;
    this.id = `${kind}/${row.pk}`;
    this.data = row.data;
    this.about = about;
    this.judgement = judge(row.data.value, about);
    this.#events = events;
    this.#since = now;
    const number = numberOf(row.data.value);
    this.#tail.push(now, number);
  }

  /** @returns {HTMLElement} */
  get element() {
    return this.parts.element;
  }

  get parts() {
    return (this.#parts ??= this.build());
  }

  /** Whether it stands on the page. */
  get seen() {
    return this.#parts !== null && this.#parts.element.isConnected;
  }

  /** Whether somebody works on it: then it is neither moved nor removed. */
  get busy() {
    return this.#parts !== null && (this.edit.state === "editing" || this.#parts.element.contains(document.activeElement));
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
      const number = numberOf(data.value);
      if (number !== null && !this.asked) this.#tail = new Tail(SPAN, POINTS);
      this.#tail.push(now, number);
      this.#before = before;
      this.#flash ||= now - this.changedAt >= FLASH_AFTER;
      this.changedAt = now;
      this.#missed = missed;
    }
    this.judgement = judge(data.value, this.about);
    this.#events.dirty(this);
  }

  /** @param {import("./kinds.js").Description} about  How it is to be read and shown. */
  describe(about) {
    this.about = about;
    this.judgement = judge(this.data.value, about);
    this.#events.dirty(this);
  }

  /** @param {import("./past.js").Past} past  What it was before the page was here, and while it was away. */
  remember(past) {
    this.#tail.fill(pointsOf(past, this.#events.skew()));
    const last = this.#tail.points().at(-1);
    // Of a point only its end is known to be so.
    if (last && last.value !== null) this.#since = Math.min(this.#since, last.time + 1000 * past.step);
    this.#events.dirty(this);
  }

  /**
   * As it stood at a moment of the past.
   *
   * @param {import("../databinding/protocol.js").Data} data
   * @param {number} since  When it became so, in ms; 0: nobody knows.
   */
  stand(data, since) {
    this.data = data;
    // By then nothing was known, or it was: no clock runs on.
    this.about = { ...data, expected_interval: null };
    this.changedAt = since;
    this.judgement = judge(data.value, data);
    this.drawnAt = -Infinity;
    this.#events.dirty(this);
  }

  /** Nothing of its line is for the moment that is shown. */
  forget() {
    this.#tail = new Tail(SPAN, POINTS);
    this.#events.dirty(this);
  }

  /** @param {number} now */
  stale(now) {
    return this.data.value === null || isStale(this.about, this.changedAt, this.#events.skew(), now);
  }

  /** @param {number} now  Whether it is to be looked after: critical, a warning, stale. */
  problem(now) {
    return this.judgement.level !== "ok" || this.stale(now);
  }

  /**
   * The connection was lost: what comes now doesn't continue what came before.
   *
   * @param {number} time
   */
  interrupt(time) {
    this.#tail.push(time, null);
  }

  /** Put the focus here. */
  focus() {
    (this.gone ? neighbour(this.element) : this.parts.value)?.focus();
  }

  /**
   * The rows are what the database holds again.
   *
   * @param {number} time
   */
  resume(time) {
    this.#tail.push(time, numberOf(this.data.value));
    this.#events.dirty(this);
  }

  /** @param {number} now */
  draw(now) {
    const { element, name, box, value, unit, badge, delta, desired, editor, line, area, end } = this.parts;
    const { state } = this.edit;
    setText(name, String(this.data.name));
    const shown = format(this.kind, this.data.value, this.about);
    if (shown !== this.#shown) {
      this.#shown = shown;
      setText(value, shown);
      if (this.kind === "textval") value.title = shown;
    }
    if (value.role === "switch") value.setAttribute("aria-checked", String(this.data.value === true));
    setText(unit, this.about.unit ?? "");
    setText(delta, formatChange(this.kind, this.#before, this.data.value, this.about));
    const mark = { pending: "⟳", queued: "◷", conflict: "▲" }[/** @type {string} */ (state)];
    setText(desired, mark === undefined ? "" : `→ ${format(this.kind, this.edit.desired, this.about)} ${mark}`);
    element.dataset.edit = state;
    element.dataset.level = this.judgement.level;
    setText(badge, this.judgement.level === "ok" ? "" : `${this.judgement.icon} ${this.judgement.word}`);
    const beside = mark === undefined ? (this.about.unit ? 0.5 + 0.6 * this.about.unit.length : 0) : desired.textContent?.length ?? 0;
    const long = mark !== undefined && shown.length + beside > TWO_LINES;
    element.classList.toggle("long", long);
    const chars = Math.max(4, long ? Math.max(shown.length, beside) : shown.length + beside);
    if (chars !== this.#chars) element.style.setProperty("--chars", String((this.#chars = chars)));
    element.classList.toggle("gone", this.gone);
    element.classList.toggle("pinned", this.pinned);
    editor.hidden = state !== "editing";
    box.hidden = state === "editing";
    this.#drawGauge();
    this.#drawNote();
    this.drawAge(now, null);
    if (this.kind !== "textval") {
      const { warn_low, warn_high, critical_low, critical_high } = this.about;
      const points = this.#tail.points();
      const drawn = drawing(points, now, Math.max(points[0]?.time ?? now, now - SPAN), HEIGHT);
      line.setAttribute("d", drawn.line);
      area.setAttribute("d", drawn.area);
      end.setAttribute("d", drawn.end);
      this.parts.warn.setAttribute("d", drawn.across([warn_low, warn_high]));
      this.parts.critical.setAttribute("d", drawn.across([critical_low, critical_high]));
    }
    if (this.#flash) this.#drawFlash(now);
    this.drawnAt = now;
  }

  /**
   * @param {number} now
   * @param {number | null} asOf  Since when nothing is known any more.
   */
  drawAge(now, asOf) {
    const { age, element } = this.parts;
    const since = this.changedAt || this.#since;
    const stale = asOf === null && this.stale(now);
    element.classList.toggle("stale", stale);
    const reported = reportedAt(this.about, this.changedAt, this.#events.skew());
    const nothing = this.data.value === null;
    const words = nothing
      ? [`◷ nothing known${this.changedAt ? ` since ${formatClock(since)}` : ""}`]
      : asOf !== null
        ? [`◷ as of ${formatClock(asOf)}`]
        : stale && reported !== null
          ? ["◷ stale: ", "last report ", formatAge(now - reported)]
          : !this.changedAt || this.#events.frozen
            ? [`since ${now - since < DAY ? formatClock(since) : formatMoment(since)}`]
            : [this.#missed ? "changed while away" : `changed ${formatAge(now - since)}`];
    // The second is for where there is room for it.
    [...age.children].forEach((part, at) => setText(part, words[at] ?? ""));
    const title = formatMoment(asOf ?? (stale && reported !== null ? reported : since));
    if (age.title !== title) age.title = title;
  }

  /** Begin to edit the value. */
  open() {
    const { input } = this.parts;
    if (this.gone || this.edit.state === "editing" || this.edit.state === "pending") return;
    if (this.edit.state === "conflict") return this.#events.resolve(this);
    const text = draft(this.kind, this.edit.state === "idle" ? this.data.value : this.edit.desired);
    if (this.edit.state === "queued") this.#events.discard(this);
    this.edit.begin(this.data.value);
    input.value = text;
    this.draw(Date.now());
    input.focus();
    input.select();
  }

  /** Yes to no, and back: without an editor. */
  #toggle() {
    if (this.gone || this.edit.state === "pending") return;
    if (this.edit.state === "conflict") return this.#events.resolve(this);
    if (this.edit.state === "queued") this.#events.discard(this);
    this.edit.begin(this.data.value);
    this.#save(!this.data.value);
  }

  /** End editing without saving; a tile whose value was deleted goes with it. */
  cancel() {
    const { editor, note } = this.parts;
    const held = editor.contains(document.activeElement) || note.contains(document.activeElement);
    this.edit.dismiss();
    this.draw(Date.now());
    if (held) this.focus();
    this.#events.dirty(this);
  }

  #submit() {
    const { input } = this.parts;
    const { value, why } = parse(this.kind, input.value, this.about);
    if (value === null) {
      this.edit.message = why;
      input.setAttribute("aria-invalid", "true");
      this.#drawNote();
      input.focus();
      return;
    }
    if (value === this.data.value && !this.gone) return this.cancel();
    this.#save(value);
  }

  /** @param {Value} value */
  #save(value) {
    this.edit.submit(value);
    this.draw(Date.now());
    this.parts.value.focus();
    this.#events.save(this, value);
  }

  #drawGauge() {
    const { meter, fill, marks } = this.parts;
    const shares = gauge(this.data.value, this.about);
    meter.hidden = shares === null;
    if (shares === null) return;
    fill.style.transform = `scaleX(${shares.at.toFixed(4)})`;
    const drawn = shares.marks.map(({ at, level }) => `${level} ${(at * 100).toFixed(1)}`).join();
    if (marks.dataset.drawn === drawn) return;
    marks.dataset.drawn = drawn;
    marks.replaceChildren(
      ...shares.marks.map(({ at, level }) => {
        const tick = document.createElement("i");
        tick.className = level;
        tick.style.left = `${(at * 100).toFixed(1)}%`;
        return tick;
      }),
    );
  }

  #drawNote() {
    const { note, noteText, again, resolve, discard, element, input } = this.parts;
    const { state, message, base } = this.edit;
    const shown = (/** @type {unknown} */ value) => formatWithUnit(this.kind, value, { ...this.about, unit: "" });
    let text = "";
    if (this.gone) text = "▲ Deleted by somebody else.";
    else if (message) text = state === "failed" ? `◆ Not saved: ${message}` : `◆ ${message}`;
    else if (state === "queued") text = "◷ Waits for the connection.";
    else if (state === "conflict") text = `▲ Changed meanwhile: was ${shown(base)}, now ${shown(this.data.value)}.`;
    else if (state === "editing" && this.data.value !== base) text = `▲ Changed meanwhile: now ${shown(this.data.value)}, was ${shown(base)}.`;
    note.hidden = text === "";
    element.classList.toggle("noted", text !== "");
    again.hidden = state !== "failed" || this.gone;
    resolve.hidden = state !== "conflict" || this.gone;
    discard.hidden = state !== "queued" || this.gone;
    setText(noteText, text);
    if (noteText.title !== text) noteText.title = text;
    if (!message) input.removeAttribute("aria-invalid");
  }

  /** @param {number} now */
  #drawFlash(now) {
    const { box } = this.parts;
    this.#flash = false;
    this.#flashedAt = now;
    if (calm.matches) {
      box.classList.add("marked");
      window.setTimeout(() => Date.now() - this.#flashedAt >= MARK_FOR && box.classList.remove("marked"), MARK_FOR);
      return;
    }
    // Opacity alone is animated without the page's help: with a colour, every frame would have to be painted by it.
    this.#flashing?.cancel();
    this.#flashing = box.animate([{ opacity: 1 }, { opacity: 1, offset: 1 / 3 }, { opacity: 0 }], FLASH);
  }

  /** Its elements; only once, when it is first seen. */
  build() {
    const element = instantiate("tile");
    element.dataset.kind = this.kind;
    element.dataset.id = this.id;
    let value = find(element, ".value");
    if (!this.#events.may(this.kind, "update")) {
      const plain = document.createElement("span");
      plain.className = "value";
      value.replaceWith(plain);
      value = plain;
    } else if (this.kind === "boolval") {
      value.setAttribute("role", "switch");
      value.classList.add("switch");
      value.title = "Switch";
      value.removeAttribute("aria-description");
    }
    if (this.#events.frozen && value instanceof HTMLButtonElement) {
      value.ariaDisabled = "true";
      value.title = this.#events.frozen;
      value.setAttribute("aria-description", this.#events.frozen);
    }
    if (!this.#events.may(this.kind, "delete")) find(element, ".remove").remove();
    const parts = {
      element,
      value,
      name: find(element, ".name a"),
      box: find(element, ".box"),
      unit: find(element, ".unit"),
      badge: find(element, ".badge"),
      delta: find(element, ".delta"),
      desired: find(element, ".desired"),
      editor: /** @type {HTMLFormElement} */ (find(element, ".editor")),
      input: /** @type {HTMLInputElement} */ (find(element, ".editor input")),
      meter: find(element, ".meter"),
      fill: find(element, ".meter .fill"),
      marks: find(element, ".meter .marks"),
      note: find(element, ".note"),
      noteText: find(element, ".note-text"),
      again: find(element, ".again"),
      resolve: find(element, ".resolve"),
      discard: find(element, ".discard"),
      pin: find(element, ".pin"),
      age: find(element, ".age"),
      line: find(element, ".line"),
      area: find(element, ".area"),
      end: find(element, ".end"),
      warn: find(element, ".limit.warn"),
      critical: find(element, ".limit.critical"),
    };
    if (this.kind === "textval") parts.input.maxLength = 500;
    this.#label(parts);
    this.#listen(parts);
    return parts;
  }

  /**
   * Ids tie the controls to the name, so that a screen reader says which value they belong to. Behind a tile of the past
   * the live one stands on the same page.
   *
   * @param {ReturnType<Tile["build"]>} parts
   */
  #label({ element, name, value, unit, input, noteText }) {
    const id = `${this.#events.frozen ? "past" : "value"}-${this.kind}-${this.pk}`;
    name.id = `${id}-name`;
    value.id = id;
    unit.id = `${id}-unit`;
    noteText.id = `${id}-note`;
    /** @type {HTMLAnchorElement} */ (name).href = `?value=${this.id}`;
    // A switch says by itself whether it is on.
    if (value instanceof HTMLButtonElement) value.setAttribute("aria-labelledby", this.kind === "boolval" ? name.id : `${name.id} ${id} ${unit.id}`);
    input.setAttribute("aria-labelledby", name.id);
    input.setAttribute("aria-describedby", noteText.id);
    for (const button of element.querySelectorAll(".grip, .pin, .remove")) {
      button.id = `${id}-${button.className}`;
      button.setAttribute("aria-labelledby", `${button.id} ${name.id}`);
    }
  }

  /** @param {ReturnType<Tile["build"]>} parts */
  #listen({ element, name, value, again, resolve, discard, note, editor, pin }) {
    element.querySelector(".remove")?.addEventListener("click", () => this.#events.remove(this));
    pin.addEventListener("click", () => this.#events.pin(this));
    name.addEventListener("click", (event) => {
      // With a key held down it opens elsewhere, as links do.
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#events.open(this);
    });
    if (value instanceof HTMLButtonElement) value.addEventListener("click", () => (this.kind === "boolval" ? this.#toggle() : this.open()));
    again.addEventListener("click", () => (this.kind === "boolval" ? this.#toggle() : this.open()));
    resolve.addEventListener("click", () => this.#events.resolve(this));
    discard.addEventListener("click", () => {
      this.#events.discard(this);
      this.cancel();
    });
    find(note, ".dismiss").addEventListener("click", () => this.cancel());
    find(editor, ".cancel").addEventListener("click", () => this.cancel());
    editor.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || (this.edit.state !== "editing" && this.edit.state !== "failed")) return;
      event.stopPropagation();
      this.cancel();
    });
    // What waited because somebody was here (its place, its going) can happen now.
    element.addEventListener("focusout", () => this.#events.dirty(this));
  }
}
