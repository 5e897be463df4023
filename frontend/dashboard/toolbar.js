import { parameters, write } from "./address.js";
import { find, setText } from "./dom.js";
import { formatClock, formatNumber } from "./format.js";
import { keep, recall } from "./kept.js";

/** Typing is followed this fast (ms). */
const SEARCH_AFTER = 80;
/** Where keys are kept that are to do nothing. */
const KEYS = "dashboard.keys-off";
const SORTS = /** @type {const} */ (["name", "problems", "changed", "own"]);

/** Search, order, groups, view, pause and full screen; all but the last two are in the page's address. */
export class Toolbar {
  /** That is shown. */
  grid;
  #own;
  #search = /** @type {HTMLInputElement} */ (find(document, "#search"));
  #sort = /** @type {HTMLSelectElement} */ (find(document, "#sort"));
  #grouped = /** @type {HTMLButtonElement} */ (find(document, "#grouped"));
  #view = /** @type {HTMLButtonElement} */ (find(document, "#view"));
  #pause = /** @type {HTMLButtonElement} */ (find(document, "#pause"));
  #screen = /** @type {HTMLButtonElement} */ (find(document, "#full-screen"));
  #keys = /** @type {HTMLInputElement} */ (find(document, "#keys"));
  #none = find(document, "#none");
  #timer = 0;
  /** @type {number | null} */
  #pausedAt = null;

  /**
   * @param {import("./grid.js").Grid} grid
   * @param {() => void} own  Somebody wants an order of their own.
   */
  constructor(grid, own) {
    this.grid = grid;
    this.#own = own;
    this.#search.addEventListener("input", () => {
      window.clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.#arrange(), SEARCH_AFTER);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#search.value) return;
      event.preventDefault();
      this.#search.value = "";
      this.#arrange();
    });
    this.#sort.addEventListener("change", () => this.#arrange());
    for (const button of [this.#grouped, this.#view])
      button.addEventListener("click", () => {
        press(button, !pressed(button));
        this.#arrange();
      });
    this.#pause.addEventListener("click", () => this.#setPaused(this.#pausedAt === null));
    find(document, "#problems").addEventListener("click", () => {
      this.#sort.value = "problems";
      press(this.#grouped, false);
      this.#arrange();
    });
    find(document, "#search-all").addEventListener("click", () => {
      this.#search.value = "";
      this.#arrange();
      this.#search.focus();
    });
    this.#screen.hidden = !document.fullscreenEnabled;
    this.#screen.addEventListener("click", () => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
    document.addEventListener("fullscreenchange", () => press(this.#screen, document.fullscreenElement !== null));
    document.addEventListener("keydown", (event) => {
      // A slash goes to the search, as in many places; not where somebody writes one.
      const target = /** @type {Element} */ (event.target);
      if (!this.#keys.checked || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
      event.preventDefault();
      this.#search.focus();
    });
    // Who speaks to his computer, or hits keys by chance, has it off.
    this.#keys.checked = !recall(KEYS).includes("/");
    this.#keys.addEventListener("change", () => {
      keep(KEYS, this.#keys.checked ? [] : ["/"]);
      this.#hint();
    });
    this.#hint();
    window.setInterval(() => this.draw(), 1000);
  }

  #hint() {
    this.#search.placeholder = this.#keys.checked ? "Search  /" : "Search";
  }

  /** As the address says. */
  begin() {
    const said = parameters();
    this.#search.value = said.get("q") ?? "";
    const sort = said.get("sort");
    this.#sort.value = SORTS.find((one) => one === sort) ?? "name";
    press(this.#grouped, said.get("groups") !== "off");
    press(this.#view, said.get("view") === "rows");
    this.#arrange();
  }

  /** @param {import("./grid.js").Grid} grid  That is shown from now on. */
  use(grid) {
    this.grid = grid;
    this.#arrange();
  }

  /** What changes by itself: how many problems there are, and whether any value is found. */
  draw() {
    const { bad, stale } = this.grid.problems();
    const problems = find(document, "#problems");
    problems.hidden = bad + stale === 0;
    for (const [selector, many] of /** @type {const} */ ([[".bad", bad], [".stale", stale]])) {
      const told = find(problems, selector);
      told.hidden = many === 0;
      setText(find(told, ".many"), formatNumber(many));
    }
    this.#none.hidden = this.grid.shown > 0 || this.grid.tiles.size === 0;
    if (!this.#none.hidden) setText(find(this.#none, ".sought"), this.#search.value.trim());
  }

  #arrange() {
    const search = this.#search.value.trim();
    const sort = SORTS.find((one) => one === this.#sort.value) ?? "name";
    const grouped = pressed(this.#grouped);
    const rows = pressed(this.#view);
    write({ q: search || null, sort: sort === "name" ? null : sort, groups: grouped ? null : "off", view: rows ? "rows" : null });
    if (sort === "own") this.#own();
    this.grid.arrange({ search, sort, grouped }, rows ? "rows" : "tiles");
    requestAnimationFrame(() => this.draw());
  }

  /** @param {boolean} paused */
  #setPaused(paused) {
    this.#pausedAt = paused ? Date.now() : null;
    press(this.#pause, paused);
    this.grid.pause(paused);
    document.body.classList.toggle("paused", paused);
    setText(find(this.#pause, ".icon"), paused ? "▶" : "❚❚");
    setText(find(this.#pause, ".word"), paused ? `Paused at ${formatClock(Date.now())}` : "Pause");
  }
}

/** @param {HTMLElement} button */
function pressed(button) {
  return button.getAttribute("aria-pressed") === "true";
}

/** @param {HTMLElement} button @param {boolean} is */
function press(button, is) {
  button.setAttribute("aria-pressed", String(is));
}
