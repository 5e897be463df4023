import { Refused, ask, showAnew } from "./ask.js";
import { button } from "./bar.js";
import { news } from "./news.js";
import { Row } from "./rows.js";

/** At most one request in this time, or in some times what the last one took (ms). */
const PAUSE = 250;
const TIMES = 4;
const RETRY = 3000;
/** Where an applied list goes on (sessionStorage). */
const PLACE = "live-admin-place";
const APPLIED = "Applied: this is the list as it is now.";

/**
 * @typedef {object} Answer  What the admin says of its rows now.
 * @property {string} html  Their table.
 * @property {string[]} pks
 * @property {Record<string, string>} tokens
 * @property {string[]} left  Of those asked for: there, but not in this list.
 * @property {string[]} page  What the page would show.
 */

/** A change list whose rows are as a reload would show them; what comes and goes is applied on request. */
export class ChangeList {
  #page;
  #form;
  #stream;
  #bar;
  /** Somebody has just had it drawn anew; said until there is something else to say. */
  #applied = false;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #order;
  /** @type {Set<string>} Rows that others changed, not asked for yet. */
  #pending = new Set();
  #due = false;
  #asking = false;
  #timer = 0;
  #notBefore = 0;
  /** @type {Answer | null} */
  #answer = null;
  #apply = button("Apply", () => this.#reload());

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
    this.#order = page.pks ?? [];
    const elements = tableRows(document);
    if (elements.length === this.#order.length)
      this.#order.forEach((pk, index) => this.#rows.set(pk, new Row(pk, elements[index], page.bound, (...token) => this.#keep(...token))));
    stream.on("named", ({ pks, reset }) => {
      const named = reset ? this.#order : pks.map(String);
      for (const pk of named) if (this.#rows.has(pk)) this.#pending.add(pk);
      this.#due = true;
      this.#soon();
    });
    document.addEventListener("visibilitychange", () => this.#soon());
    form.addEventListener("input", () => this.#tell());
    form.addEventListener("focusin", (event) => presence.at(this.#rowOf(event.target)));
    form.addEventListener("focusout", () => presence.at(""));
    presence.onChange((people) => {
      for (const row of this.#rows.values()) row.people(people.get(row.pk) ?? []);
    });
    this.#arrive();
  }

  /** @param {EventTarget | null} target */
  #rowOf(target) {
    const control = target instanceof HTMLElement && target.matches("input:not(.action-select), select, textarea");
    const element = control ? target.closest("tr") : null;
    return [...this.#rows.values()].find((row) => row.element === element)?.pk ?? "";
  }

  /** Ask when it is time to: many changes are one question, and nobody looks at a hidden page. */
  #soon() {
    if (!this.#due || this.#asking || document.visibilityState === "hidden") return;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#ask(), Math.max(50, this.#notBefore - performance.now()));
  }

  async #ask() {
    if (this.#stream.state === "refused") return; // The admin would refuse it as well; the bar says so.
    const pks = [...this.#pending];
    this.#pending.clear();
    this.#due = false;
    this.#asking = true;
    const began = performance.now();
    /** @type {Answer | null} */
    let answer = null;
    try {
      answer = await ask(`${this.#page.rows}${location.search}`, this.#form, { pks });
      this.#bar.refuse();
    } catch (error) {
      for (const pk of pks) this.#pending.add(pk);
      this.#due = true;
      if (error instanceof Refused) this.#bar.refuse(error.message);
      this.#notBefore = performance.now() + RETRY;
    }
    this.#asking = false;
    this.#notBefore = Math.max(this.#notBefore, performance.now() + Math.max(PAUSE, TIMES * (performance.now() - began)));
    this.#soon();
    if (answer !== null) this.#take(answer, pks);
  }

  /**
   * @param {Answer} answer
   * @param {string[]} asked
   */
  #take(answer, asked) {
    const parsed = new DOMParser().parseFromString(answer.html, "text/html");
    const elements = tableRows(parsed);
    answer.pks.forEach((pk, index) => this.#rows.get(pk)?.update(elements[index], answer.tokens[pk] ?? ""));
    for (const pk of asked)
      if (!answer.pks.includes(pk)) this.#rows.get(pk)?.become(answer.left.includes(pk) ? "left" : "deleted");
    this.#answer = answer;
    this.#tell();
  }

  #tell() {
    if (this.#answer === null) return;
    const rows = [...this.#rows.values()];
    const text = news(this.#order, this.#answer.page, rows);
    if (text === "") return this.#bar.tell(this.#applied ? APPLIED : "");
    const drafts = this.#page.bound || rows.some((row) => row.drafts > 0);
    this.#apply.disabled = drafts;
    const first = drafts ? " Save or undo your edits to apply." : "";
    this.#bar.tell(text + (first && `.${first}`), this.#apply);
  }

  /**
   * @param {string} pk
   * @param {string} token
   */
  #keep(pk, token) {
    const field = this.#form.querySelector('input[type=hidden][name$="-live-base"]');
    if (!(field instanceof HTMLInputElement)) return;
    field.value = JSON.stringify({ ...JSON.parse(field.value || "{}"), [pk]: token });
  }

  /** Show the list as it is now: drawn by the admin itself, where it was left. */
  #reload() {
    sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname + location.search, top: scrollY }));
    showAnew();
  }

  #arrive() {
    const said = sessionStorage.getItem(PLACE);
    sessionStorage.removeItem(PLACE);
    const place = said === null ? null : JSON.parse(said);
    if (place?.path !== location.pathname + location.search) return;
    window.scrollTo({ top: place.top, behavior: "instant" });
    this.#applied = true;
    this.#bar.tell(APPLIED);
    const table = document.querySelector("#result_list");
    if (table instanceof HTMLElement) {
      table.tabIndex = -1;
      table.focus({ preventScroll: true });
    }
  }
}

/**
 * The rows of the list's table, without those that only carry errors.
 *
 * @param {ParentNode} root
 * @returns {HTMLTableRowElement[]}
 */
function tableRows(root) {
  /** @type {NodeListOf<HTMLTableRowElement>} */
  const found = root.querySelectorAll("#result_list > tbody > tr");
  return [...found].filter((row) => !(row.cells.length === 1 && row.cells[0].querySelector(".errorlist.nonfield")));
}
