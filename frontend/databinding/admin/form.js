import { Refused, page as pageOf, showAnew } from "./ask.js";
import { button, symbol } from "./bar.js";
import { controlsOf, isDraft, served, words } from "./controls.js";
import { describe } from "./describe.js";

/** Changes that follow each other are one question (ms). */
const PAUSE = 150;
const RETRY = 3000;

/**
 * A change form that says which of its fields others have changed. It never touches what is in them: the server keeps
 * theirs where this user has changed nothing, and asks where both have.
 */
export class ChangeForm {
  #page;
  #form;
  #stream;
  #bar;
  #timer = 0;
  #deleted = false;
  /** Questions that were asked, and the newest of them that was answered: of two, answers may come in any order. */
  #asked = 0;
  #answered = 0;
  /** @type {Map<string, string> | null} What the controls by name were served with; null: not known yet. */
  #before;
  /** @type {Map<string, string>} What others have changed, by the row of the form: in words. */
  #theirs = new Map();
  #newest = button("Show the newest", showAnew);

  /**
   * @param {import("./live.js").Page} page
   * @param {HTMLFormElement} form
   * @param {import("../stream.js").Stream} stream
   * @param {import("./bar.js").Bar} bar
   * @param {import("./presence.js").Presence} presence
   */
  constructor(page, form, stream, bar, presence) {
    this.#page = page;
    this.#form = form;
    this.#stream = stream;
    this.#bar = bar;
    // A form that came back holds what its user had said, not what the row was.
    this.#before = page.bound ? null : snapshot(form);
    stream.on("named", ({ pks, reset }) => {
      if (reset || pks.map(String).includes(page.pk ?? "")) this.#soon(PAUSE);
    });
    form.addEventListener("input", () => this.#draw());
    form.addEventListener("change", () => this.#draw());
    presence.onChange(() => {});
  }

  /** @param {number} ms */
  #soon(ms) {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#look(), ms);
  }

  async #look() {
    if (this.#stream.state === "refused") return; // The admin would refuse it as well; the bar says so.
    const question = ++this.#asked;
    try {
      const fresh = await pageOf(location.href);
      if (question < this.#answered) return;
      this.#answered = question;
      this.#bar.refuse();
      this.#compare(fresh.querySelector("#content-main form[method=post]"));
    } catch (error) {
      if (!(error instanceof Refused)) return this.#soon(RETRY);
      const there = await this.#isThere();
      if (there) this.#bar.refuse(error.message);
      else {
        this.#deleted = true;
        this.#draw();
      }
    }
  }

  /** The admin sends whoever asks for a row that is gone elsewhere, as it does with who isn't logged in. */
  async #isThere() {
    const list = await fetch(this.#page.list, { redirect: "manual" }).catch(() => null);
    return list === null || list.type === "opaqueredirect" || !list.ok;
  }

  /** @param {HTMLFormElement | null} fresh */
  #compare(fresh) {
    if (fresh === null) return;
    const now = snapshot(fresh);
    this.#before ??= now;
    this.#theirs.clear();
    for (const control of controlsOf(fresh)) {
      if (!isOfRow(control) || this.#before.get(nameOf(control)) === now.get(nameOf(control))) continue;
      this.#theirs.set(nameOf(control), words(control));
    }
    // What can't be edited here can't be a draft.
    const texts = [...fresh.querySelectorAll(".readonly")];
    const held = [...this.#form.querySelectorAll(".readonly")];
    if (texts.length === held.length)
      held.forEach((element, index) => {
        if (element.innerHTML !== texts[index].innerHTML) element.innerHTML = texts[index].innerHTML;
      });
    this.#draw();
  }

  #draw() {
    /** @type {Map<Element, {label: string, text: string, draft: boolean}>} */
    const rows = new Map();
    for (const control of controlsOf(this.#form)) {
      const text = this.#theirs.get(nameOf(control));
      const row = control.closest(".form-row, tr.form-row, td");
      if (text === undefined || row === null) continue;
      const known = rows.get(row);
      const draft = isDraft(control) || (known?.draft ?? false);
      rows.set(row, { label: labelOf(row, control), text: known ? `${known.text} ${text}` : text, draft });
    }
    for (const note of this.#form.querySelectorAll(".live-mark")) {
      const row = note.parentElement;
      if (row && !rows.has(row)) this.#unmark(row);
    }
    for (const [row, said] of rows) this.#mark(row, said.text, said.draft);
    const labels = [...new Set([...rows.values()].map(({ label }) => label))];
    const drafts = this.#page.bound || controlsOf(this.#form).some((control) => isOfRow(control) && isDraft(control));
    if (this.#deleted) this.#bar.tell("Deleted by others while you were editing: it can't be saved any more.");
    else if (labels.length === 0) this.#bar.tell("");
    else if (drafts) this.#bar.tell(`Changed by others: ${labels.join(", ")}`);
    else this.#bar.tell(`Changed by others: ${labels.join(", ")}`, this.#newest);
  }

  /**
   * @param {Element} row
   * @param {string} text
   * @param {boolean} draft
   */
  #mark(row, text, draft) {
    let note = row.querySelector(":scope > .live-mark");
    if (note === null) {
      note = document.createElement("p");
      note.className = "live-mark";
      note.id = `live-mark-${controlsOf(row)[0]?.id}`;
      row.append(note);
      for (const control of controlsOf(row)) describe(control, note.id, true);
    }
    row.classList.toggle("live-marked", true);
    const then = draft ? "Saving asks which to keep." : "Saving keeps that, unless you edit it.";
    const said = ` Changed by others: now ${text}. ${then}`;
    if (note.textContent !== `▲${said}`) note.replaceChildren(symbol("▲"), said);
  }

  /** @param {Element} row */
  #unmark(row) {
    const note = row.querySelector(":scope > .live-mark");
    row.classList.remove("live-marked");
    for (const control of controlsOf(row)) if (note) describe(control, note.id, false);
    note?.remove();
  }
}

/**
 * Is it a value of the row, rather than a part of the page's machinery?
 *
 * @param {import("./controls.js").Control} control
 */
function isOfRow(control) {
  const { name } = control;
  if (name === "csrfmiddlewaretoken" || name.includes("live-") || name.includes("__prefix__")) return false;
  return !/-(TOTAL|INITIAL|MIN_NUM|MAX_NUM)_FORMS$/.test(name);
}

/**
 * Radios share their name.
 *
 * @param {import("./controls.js").Control} control
 */
function nameOf(control) {
  return control.type === "radio" ? `${control.name}=${control.value}` : control.name;
}

/** @param {ParentNode} form */
function snapshot(form) {
  const controls = controlsOf(form).filter(isOfRow);
  return new Map(controls.map((control) => [nameOf(control), served(control)]));
}

/**
 * @param {Element} row
 * @param {import("./controls.js").Control} control
 */
function labelOf(row, control) {
  const label = row.querySelector("label, legend")?.textContent ?? control.getAttribute("aria-label") ?? control.name;
  return label.trim().replace(/:$/, "");
}
