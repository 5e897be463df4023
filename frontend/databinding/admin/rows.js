import { symbol } from "./bar.js";
import { controlsOf, isDraft, serve, served, words } from "./controls.js";
import { describe } from "./describe.js";

/** How long a cell that changed is seen to have (ms). */
const FLASH = 2000;
/** The number of its form in a control's name: it differs between the page and what is asked for later. */
const NUMBER = /^(.*?-)\d+(-.*)$/;

let marks = 0;

/** One row of a change list, kept as the admin would render it now. */
export class Row {
  pk;
  element;
  /** @type {"here" | "left" | "deleted"} */
  state = "here";
  /** @type {string[]} What the server last said of each cell. */
  #cells;
  /** @type {HTMLTableRowElement | null} What waits until there is no draft in the row any more. */
  #waiting = null;
  #token = "";
  #bound;
  #keepToken;

  /**
   * @param {string} pk
   * @param {HTMLTableRowElement} element
   * @param {boolean} bound  Its controls came back with what their user had said: they are left alone.
   * @param {(pk: string, token: string) => void} keepToken  Has the row's controls compared with this when they are saved.
   */
  constructor(pk, element, bound, keepToken) {
    this.pk = pk;
    this.#bound = bound;
    this.element = element;
    this.#keepToken = keepToken;
    this.#cells = [...element.cells].map(content);
    element.addEventListener("input", () => this.#settle());
    element.addEventListener("change", () => this.#settle());
  }

  /** How many of its controls hold something that isn't saved. */
  get drafts() {
    return controlsOf(this.element).filter((control) => inForm(control) && isDraft(control)).length;
  }

  /**
   * What the admin shows of it now.
   *
   * @param {HTMLTableRowElement} fresh
   * @param {string} token
   * @returns {boolean} whether anything of it is seen to be different
   */
  update(fresh, token) {
    this.become("here");
    this.#token = token;
    if (fresh.cells.length !== this.element.cells.length) return false;
    let differs = false;
    for (const [index, cell] of [...fresh.cells].entries()) {
      if (this.#cells[index] === content(cell)) continue;
      this.#cells[index] = content(cell);
      const held = this.element.cells[index];
      const edited = controlsOf(cell).some(inForm);
      if (cell.classList.contains("action-checkbox") || (edited && this.#bound)) continue;
      differs = true;
      if (edited) this.#waiting = fresh;
      else replace(held, cell);
      flash(held);
    }
    if (this.#waiting !== null) this.#waiting = fresh;
    this.#settle();
    return differs;
  }

  /** Put what waits into the controls, unless one of the row holds a draft: then say what it would be. */
  #settle() {
    if (this.#waiting === null) return;
    const draft = this.drafts > 0;
    for (const [index, cell] of [...this.#waiting.cells].entries()) {
      const held = this.element.cells[index];
      const fresh = controlsOf(cell).filter(inForm);
      if (fresh.length === 0) continue;
      for (const control of controlsOf(held).filter(inForm)) {
        const other = fresh.find((one) => sameName(one, control));
        if (other === undefined) continue;
        const differs = served(control) !== served(other);
        mark(control, differs && draft ? words(other) : null);
        if (differs && !draft) serve(control, other);
      }
    }
    if (draft) return;
    this.#waiting = null;
    this.#keepToken(this.pk, this.#token);
  }

  /** @param {Row["state"]} state */
  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.element.dataset.live = state;
    this.#badge("live-state", state === "here" ? [] : [state === "left" ? "left the filter" : "deleted"], "◌");
  }

  /** @param {string[]} people  Who is at this row. */
  people(people) {
    this.#badge("live-here", people, "");
  }

  /**
   * @param {string} className
   * @param {string[]} texts
   * @param {string} icon
   */
  #badge(className, texts, icon) {
    const cell = this.element.querySelector("th") ?? this.element.cells[this.element.cells.length > 1 ? 1 : 0];
    cell.querySelector(`.${className}`)?.remove();
    if (texts.length === 0) return;
    const badge = document.createElement("span");
    badge.className = `live-badge ${className}`;
    badge.append(symbol(icon), ` ${texts.join(", ")}`);
    cell.append(badge);
  }
}

/** @param {HTMLTableCellElement} cell */
function content(cell) {
  return `${cell.className} ${cell.innerHTML.replaceAll(/(name|id|for)="([^"]*?-)\d+(-[^"]*)"/g, '$1="$2$3"')}`;
}

/**
 * Is it one of a list's forms, not the box that selects a row for an action?
 *
 * @param {import("./controls.js").Control} control
 */
function inForm(control) {
  return NUMBER.test(control.name);
}

/**
 * @param {import("./controls.js").Control} one
 * @param {import("./controls.js").Control} other
 */
function sameName(one, other) {
  const value = "value" in one && one.type === "radio" ? one.value === other.value : true;
  return value && one.name.replace(NUMBER, "$1$2") === other.name.replace(NUMBER, "$1$2");
}

/**
 * @param {HTMLTableCellElement} held
 * @param {HTMLTableCellElement} cell
 */
function replace(held, cell) {
  const focused = held.contains(document.activeElement);
  const badges = [...held.querySelectorAll(":scope > .live-badge")];
  held.className = cell.className;
  held.replaceChildren(...document.importNode(cell, true).childNodes, ...badges);
  if (focused) held.querySelector("a")?.focus();
}

/** @param {HTMLElement} cell */
function flash(cell) {
  cell.classList.remove("live-changed");
  void cell.offsetWidth; // Begin anew.
  cell.classList.add("live-changed");
  window.setTimeout(() => cell.classList.remove("live-changed"), FLASH);
}

/**
 * Say beside a draft what others have saved meanwhile; null: nothing else.
 *
 * @param {import("./controls.js").Control} control
 * @param {string | null} theirs
 */
export function mark(control, theirs) {
  const id = control.dataset.liveMark;
  let note = id ? document.getElementById(id) : null;
  if (theirs === null) {
    note?.remove();
    if (id) describe(control, id, false);
    delete control.dataset.liveMark;
    return;
  }
  if (note === null) {
    note = document.createElement("p");
    note.className = "live-mark";
    note.id = control.dataset.liveMark = `live-mark-${++marks}`;
    control.after(note);
    describe(control, note.id, true);
  }
  note.replaceChildren(symbol("▲"), ` Changed by others: now ${theirs}`);
}
