import { parameters, write } from "./address.js";
import { Chart } from "./chart.js";
import { find, setText } from "./dom.js";
import { formatAge, formatClock, formatMoment, formatNumber } from "./format.js";
import { reportedAt } from "./freshness.js";
import { format, formatWithUnit } from "./kinds.js";
import { changes, history } from "./past.js";
import { reason } from "./reason.js";

/** Ranges to choose from, in seconds. @type {Record<string, number>} */
const RANGES = { "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };
const POINTS = 300;
/** A range that ends now is asked again this often at most (s). */
const AGAIN = 2;
const CHANGES = 20;
/** For so long (ms) changes of the value that is shown are waited for, to be asked about together. */
const NEWEST = 400;
/** What is under the cursor is read out when the cursor rests (ms). */
const READ_AFTER = 350;
/** Stretches that are shown (s). */
const LEAST = 2;
const MOST = 400 * 86_400;

/**
 * All about one value: at the right, not modal, with an address of its own.
 *
 * @typedef {import("./tile.js").Tile} Tile
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("./kinds.js").Value} Value
 *
 * @typedef {object} PanelEvents
 * @property {(tile: Tile, value: Value) => Promise<unknown>} restore
 * @property {(tile: Tile) => void} pin
 * @property {(tile: Tile) => void} edit
 * @property {(tile: Tile) => void} remove
 * @property {(kind: KindName, action: "create" | "update" | "delete") => boolean} may
 * @property {() => number} skew  ms by which the server's clock is behind ours
 */
export class Panel {
  #grid;
  #events;
  #panel = find(document, "#panel");
  #title = find(document, "#panel-title");
  #list = find(document, "#panel-changes");
  #problem = find(document, "#panel-problem");
  #chart;
  /** @type {Tile | null} */
  #tile = null;
  /** @type {AbortController | null} */
  #asking = null;
  #timer = 0;
  /** @type {number | null} The oldest change that is listed. */
  #oldest = null;
  /** @type {import("./compare.js").Comparison | null} Once something was compared. */
  #comparison = null;
  #readTimer = 0;
  /** The range of the buttons that was looked at last. */
  #named = "1h";
  /** @type {number | null} The moment of the past whose values are shown (ms since 1970); null: it is live. */
  #at = null;
  /** Up to when its past is shown. @type {number | null} */
  #pastOf = null;
  /** Until changes are asked for that have come. */
  #newest = 0;
  #numbers = /** @type {HTMLDetailsElement} */ (find(this.#panel, ".numbers"));
  /** The past that came last, and how its numbers are written. @type {{past: import("./past.js").Past, shown: (value: number | null) => string} | null} */
  #latest = null;

  /**
   * @param {import("./grid.js").Grid} grid
   * @param {PanelEvents} events
   */
  constructor(grid, events) {
    this.#grid = grid;
    this.#events = events;
    const charts = {
      pointed: () => this.#read(),
      zoomed: (/** @type {number} */ from, /** @type {number} */ to) => this.#reach(`${Math.floor(from)}:${Math.ceil(to)}`),
      zoom: (/** @type {number} */ factor, /** @type {number | undefined} */ around) => this.#zoom(factor, around),
    };
    this.#chart = new Chart(find(document, "#chart"), charts);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.#panel.querySelectorAll("[data-zoom]")))
      button.addEventListener("click", () => this.#zoom(Number(button.dataset.zoom)));
    const compare = /** @type {HTMLDetailsElement} */ (find(this.#panel, ".compare"));
    // What few open is fetched when they do.
    compare.addEventListener("toggle", () => {
      if (compare.open) void this.#compare(charts);
    });
    if (parameters().has("with")) compare.open = true;
    this.#numbers.addEventListener("toggle", () => this.#drawTable());
    find(this.#panel, ".close").addEventListener("click", () => this.close());
    find(this.#panel, ".previous").addEventListener("click", () => this.#step(-1));
    find(this.#panel, ".next").addEventListener("click", () => this.#step(1));
    find(this.#panel, ".pin").addEventListener("click", () => {
      if (this.#tile) this.#events.pin(this.#tile);
      this.draw();
    });
    this.#panel.querySelector(".edit")?.addEventListener("click", () => this.#tile && this.#events.edit(this.#tile));
    this.#panel.querySelector(".delete")?.addEventListener("click", () => this.#tile && this.#events.remove(this.#tile));
    find(this.#panel, ".more").addEventListener("click", () => void this.#askChanges());
    for (const name of Object.keys(RANGES)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "range";
      button.textContent = name;
      button.addEventListener("click", () => this.#reach(name === "1h" ? null : name));
      find(this.#panel, ".ranges").append(button);
    }
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.close();
    });
    window.addEventListener("popstate", () => this.follow());
    window.setInterval(() => this.draw(), 1000);
  }

  /** @param {Tile} tile */
  open(tile) {
    write({ value: tile.id }, { back: true });
    this.#show(tile);
    this.#title.focus();
  }

  close() {
    const tile = this.#tile;
    write({ value: null, range: null, with: null }, { back: true });
    this.#show(null);
    if (tile?.seen) tile.parts.name.focus();
    else find(document, "#grid").focus();
  }

  /** Show nothing, until the address says something else. */
  withdraw() {
    this.#show(null);
  }

  /** Show what the address says. */
  follow() {
    const id = parameters().get("value");
    this.#show(id === null ? null : this.#grid.tiles.get(id) ?? null);
    this.#comparison?.follow();
  }

  /**
   * Show values of another grid: those that are live, or those of a moment of the past.
   *
   * @param {import("./grid.js").Grid} grid
   * @param {number | null} at  ms since 1970
   * @param {boolean} [whole]  Its past, too, is to be that of then.
   */
  use(grid, at, whole = true) {
    this.#grid = grid;
    this.#at = at;
    this.follow();
    if (whole && this.#tile !== null && this.#pastOf !== at) this.#show(this.#tile, true);
  }

  /**
   * @param {KindName} kind
   * @param {import("../databinding/stream.js").ChangeEvent} change
   */
  changed(kind, { created, updated, deleted }) {
    const id = parameters().get("value");
    if (this.#at !== null) return;
    if (this.#tile === null) {
      if (created.some(({ pk }) => `${kind}/${pk}` === id)) this.follow();
      return;
    }
    const { pk } = this.#tile;
    if (kind !== this.#tile.kind) return;
    if (deleted.some((row) => row.pk === pk)) return this.close();
    if (updated.some((row) => row.pk === pk && row.data.value !== row.before?.value)) {
      this.draw();
      // Of a value that changes many times a second some at once.
      this.#newest ||= window.setTimeout(() => void this.#askNewest(), NEWEST);
    }
  }

  draw() {
    const tile = this.#tile;
    if (tile === null) return;
    const now = this.#at ?? Date.now();
    setText(this.#title, String(tile.data.name));
    const { level, icon, word } = tile.judgement;
    this.#panel.dataset.level = level;
    setText(find(this.#panel, ".badge"), level === "ok" ? "" : `${icon} ${word}`);
    setText(find(this.#panel, ".reading .number"), format(tile.kind, tile.data.value, tile.about));
    setText(find(this.#panel, ".reading .unit"), tile.about.unit ?? "");
    const reported = reportedAt(tile.about, tile.changedAt, this.#at === null ? this.#events.skew() : 0);
    const stale = tile.stale(now);
    this.#panel.classList.toggle("stale", stale);
    const words = [
      this.#at === null ? "" : `↶ as of ${formatMoment(now)}`,
      tile.changedAt ? `changed ${this.#at === null ? formatAge(now - tile.changedAt) : (now - tile.changedAt < 86_400_000 ? formatClock : formatMoment)(tile.changedAt)}` : "",
      reported === null ? "" : stale ? `◷ stale: last report ${formatAge(now - reported)}` : `reported ${formatAge(now - reported)}`,
    ];
    setText(find(this.#panel, ".times"), words.filter(Boolean).join(" · "));
    find(this.#panel, ".pin").setAttribute("aria-pressed", String(tile.pinned));
    for (const [selector, action] of /** @type {const} */ ([[".edit", "update"], [".delete", "delete"]])) {
      const button = /** @type {HTMLElement | null} */ (this.#panel.querySelector(selector));
      if (button !== null) button.hidden = !this.#events.may(tile.kind, action);
    }
  }

  /** @param {Tile | null} tile @param {boolean} [anew]  It is shown already, but as of another moment. */
  #show(tile, anew = false) {
    if (tile === this.#tile && tile !== null && !anew) return this.draw();
    this.#tile = tile;
    this.#asking?.abort();
    window.clearTimeout(this.#timer);
    this.#panel.hidden = tile === null;
    document.body.classList.toggle("beside", tile !== null);
    this.#chart.clear();
    this.#list.replaceChildren();
    this.#oldest = null;
    this.#latest = null;
    if (tile === null) return;
    // Those of another value are nothing to be read meanwhile.
    this.#panel.dataset.numbers = "awaited";
    this.#pastOf = this.#at;
    const admin = /** @type {HTMLAnchorElement | null} */ (this.#panel.querySelector(".admin"));
    if (admin !== null) admin.href = `/admin/values/${{ intval: "integervalue", floatval: "floatvalue", boolval: "booleanvalue", textval: "textvalue" }[tile.kind]}/${tile.pk}/change/`;
    find(this.#panel, ".past").hidden = tile.kind === "textval";
    this.draw();
    this.#comparison?.follow();
    void this.#ask();
    void this.#askChanges();
  }

  /** @param {1 | -1} step */
  #step(step) {
    const tile = this.#tile && this.#grid.beside(this.#tile, step);
    if (!tile) return;
    write({ value: tile.id });
    this.#show(tile);
  }

  /** The range that the address says, and its name; an hour else. */
  #range() {
    const said = parameters().get("range") ?? "1h";
    const [from, to] = said.split(":").map(Number);
    if (to > from && Number.isFinite(from)) return { name: null, from, to };
    const name = Object.hasOwn(RANGES, said) ? said : "1h";
    const now = this.#now;
    return { name, from: now - RANGES[name], to: now };
  }

  /** Seconds since 1970. */
  get #now() {
    return (this.#at ?? Date.now() - this.#events.skew()) / 1000;
  }

  /** @param {string | null} range  As the address has it; null: an hour. */
  #reach(range) {
    write({ range });
    void this.#ask();
  }

  /**
   * @param {number} factor  How much more is to be seen; 0: what the buttons said last.
   * @param {number} [around]  What is to stay where it is, in seconds since 1970.
   */
  #zoom(factor, around) {
    const { from, to } = this.#range();
    if (factor === 0) return this.#reach(this.#named === "1h" ? null : this.#named);
    const centre = around ?? (from + to) / 2;
    const span = Math.min(MOST, Math.max(LEAST, (to - from) * factor));
    const end = Math.min(this.#now, centre + ((to - centre) / (to - from)) * span);
    this.#reach(`${Math.floor(end - span)}:${Math.ceil(end)}`);
  }

  /** What the cursor is on, in all charts. */
  #read() {
    window.clearTimeout(this.#readTimer);
    this.#readTimer = window.setTimeout(() => {
      const { time, words } = this.#chart;
      const others = this.#comparison?.words ?? [];
      const all = others.length && words ? [`${this.#tile?.data.name} ${words}`, ...others] : [words];
      setText(find(document, "#chart-readout"), time === null ? "" : `${formatMoment(time * 1000)}: ${all.join(" · ")}`);
    }, READ_AFTER);
  }

  /** @param {import("./chart.js").ChartEvents} events */
  async #compare(events) {
    if (this.#comparison === null) {
      const { Comparison } = await import("./compare.js");
      this.#comparison ??= new Comparison(events, { tiles: () => this.#grid.tiles, shown: () => this.#tile });
    }
    this.#comparison.follow();
    void this.#ask();
  }

  async #ask() {
    const tile = this.#tile;
    if (tile === null || tile.kind === "textval") return;
    this.#asking?.abort();
    window.clearTimeout(this.#timer);
    const asking = (this.#asking = new AbortController());
    const { name, from, to } = this.#range();
    for (const button of this.#panel.querySelectorAll(".range")) button.setAttribute("aria-pressed", String(button.textContent === name));
    this.#named = name ?? this.#named;
    find(this.#panel, "[data-zoom='0']").hidden = name !== null;
    void this.#comparison?.ask({ from, to, points: POINTS }, asking.signal);
    setText(find(this.#panel, ".stretch"), name === null ? `${formatMoment(from * 1000)} to ${formatMoment(to * 1000)}` : "");
    try {
      const past = await history(tile.kind, tile.pk, { from, to, points: POINTS }, asking.signal);
      if (asking.signal.aborted) return;
      this.#problem.hidden = true;
      delete this.#panel.dataset.numbers;
      this.#drawNumbers(past, tile);
      await this.#chart.draw(past, tile).catch(() => {
        this.#panel.classList.add("chartless");
        this.#tell("There is no chart, as its library can't be loaded; its numbers are below.");
      });
      if (name !== null && this.#at === null) this.#timer = window.setTimeout(() => void this.#again(), 1000 * Math.max(AGAIN, past.step));
    } catch (error) {
      if (asking.signal.aborted) return;
      if (this.#panel.dataset.numbers) this.#panel.dataset.numbers = "none";
      this.#tell(`The past can't be shown: ${reason(error)}`);
      this.#timer = window.setTimeout(() => void this.#again(), 5000);
    }
  }

  /** Not while nobody looks. */
  #again() {
    if (document.hidden) document.addEventListener("visibilitychange", () => void this.#ask(), { once: true });
    else void this.#ask();
  }

  /** @param {string} text */
  #tell(text) {
    this.#problem.hidden = false;
    setText(this.#problem, `▲ ${text}`);
  }

  /**
   * @param {import("./past.js").Past} past
   * @param {Tile} tile
   */
  #drawNumbers(past, tile) {
    const known = past.mean.map((mean, at) => ({ mean, at })).filter(({ mean }) => mean !== null);
    const shown = (/** @type {number | null} */ value) => (value === null ? "–" : formatWithUnit(tile.kind === "intval" ? "floatval" : tile.kind, value, tile.about));
    const exact = (/** @type {number | null} */ value) => (value === null ? "–" : formatWithUnit(tile.kind, value, tile.about));
    const least = known.length ? Math.min(...known.map(({ at }) => Number(past.min[at]))) : null;
    const most = known.length ? Math.max(...known.map(({ at }) => Number(past.max[at]))) : null;
    const mean = known.length ? known.reduce((sum, { mean }) => sum + Number(mean), 0) / known.length : null;
    const state = tile.kind === "boolval";
    setText(find(this.#panel, ".least"), state ? "–" : exact(least));
    setText(find(this.#panel, ".mean"), state ? (mean === null ? "–" : `${Math.round(mean * 100)} % yes`) : shown(mean));
    setText(find(this.#panel, ".most"), state ? "–" : exact(most));
    setText(find(this.#panel, ".count"), formatNumber(past.count.reduce((sum, count) => sum + count, 0)));
    this.#latest = { past, shown };
    this.#drawTable();
  }

  /** What is read one by one is drawn for who reads it. */
  #drawTable() {
    if (!this.#numbers.open || this.#latest === null) return;
    const { past, shown } = this.#latest;
    const rows = [];
    // The newest first, and of a gap one line.
    for (let at = past.time.length - 1; at >= 0; at--) {
      if (past.mean[at] === null && (at === past.time.length - 1 || past.mean[at + 1] === null) && at > 0) continue;
      const row = document.createElement("tr");
      for (const text of [formatMoment(past.time[at] * 1000), shown(past.min[at]), shown(past.mean[at]), shown(past.max[at])]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      rows.push(row);
    }
    find(this.#panel, "tbody").replaceChildren(...rows);
  }

  /** What has come since the newest that is listed. */
  async #askNewest() {
    this.#newest = 0;
    const tile = this.#tile;
    if (tile === null || this.#at !== null) return;
    const found = await changes(tile.kind, tile.pk, { limit: CHANGES }).catch(() => []);
    if (tile !== this.#tile || this.#at !== null) return;
    const newest = this.#listed[0] ?? 0;
    const items = this.#items(found, tile).filter((item) => Number(item.dataset.id) > newest);
    // Of so many there may be others between them and those that are listed; unless somebody is there, it begins anew.
    const most = items.length === CHANGES && !this.#list.contains(document.activeElement) ? CHANGES : 10 * CHANGES;
    this.#list.prepend(...items);
    if (this.#list.childElementCount <= most) return;
    while (this.#list.childElementCount > most) this.#list.lastElementChild?.remove();
    this.#oldest = this.#listed.at(-1) ?? null;
    find(this.#panel, ".more").hidden = false;
  }

  /** The ids of the changes in the list. */
  get #listed() {
    return [.../** @type {HTMLCollectionOf<HTMLElement>} */ (this.#list.children)].map(({ dataset }) => Number(dataset.id));
  }

  async #askChanges() {
    const tile = this.#tile;
    if (tile === null) return;
    const page = { limit: CHANGES, ...(this.#oldest !== null && { before: this.#oldest }), ...(this.#at !== null && { until: this.#now }) };
    try {
      const found = await changes(tile.kind, tile.pk, page);
      if (tile !== this.#tile) return;
      const listed = this.#listed;
      this.#list.append(...this.#items(found, tile).filter(({ dataset }) => !listed.includes(Number(dataset.id))));
      this.#oldest = found.at(-1)?.id ?? this.#oldest;
      find(this.#panel, ".more").hidden = found.length < CHANGES;
    } catch (error) {
      this.#tell(`The changes can't be shown: ${reason(error)}`);
    }
  }

  /**
   * @param {import("./past.js").Change[]} found
   * @param {Tile} tile
   */
  #items(found, tile) {
    return found.map(({ id, time, value, who }) => {
      const item = document.createElement("li");
      item.dataset.id = String(id);
      const when = document.createElement("time");
      when.dateTime = time;
      when.textContent = formatClock(Date.parse(time));
      when.title = formatMoment(Date.parse(time));
      const what = document.createElement("span");
      what.className = "what";
      what.textContent = value === null ? "◷ nothing is known from here" : formatWithUnit(tile.kind, value, tile.about);
      const author = document.createElement("span");
      author.className = "who";
      author.textContent = who === null ? "" : `by ${who}`;
      item.append(when, what, author);
      if (value !== null && this.#events.may(tile.kind, "update")) {
        const restore = document.createElement("button");
        restore.type = "button";
        restore.className = "button small restore";
        restore.textContent = "Restore";
        restore.setAttribute("aria-label", `Restore ${what.textContent}`);
        restore.addEventListener("click", () => this.#events.restore(tile, value).catch((error) => this.#tell(`Not restored: ${reason(error)}`)));
        item.append(restore);
      }
      return item;
    });
  }
}
