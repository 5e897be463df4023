/**
 * The whole dashboard as it stood at a moment of the past, in a grid of its own; the live one goes on behind it.
 * Fetched when somebody first travels.
 *
 * @typedef {import("./tile.js").Tile} Tile
 *
 * @typedef {object} Home  What the live page lends.
 * @property {import("./grid.js").Grid} grid
 * @property {import("./grid.js").GridEvents} events  Of its grid.
 * @property {import("./toolbar.js").Toolbar} toolbar
 * @property {import("./panel.js").Panel} panel
 * @property {import("./status.js").Status} status
 * @property {import("./pins.js").Pins} pins
 */
import { parameters, write } from "./address.js";
import { announce } from "./announce.js";
import { find, setText } from "./dom.js";
import { formatMoment, formatNumber } from "./format.js";
import { Grid } from "./grid.js";
import { formatStep, SPANS, SPEEDS, stretch, toAddress, toLocal } from "./journey.js";
import { ShortPasts, SHORT, stood } from "./past.js";
import { reason } from "./reason.js";

/** It is played in steps of so many ms; in longer ones where motion is not wanted. */
const TICK = 250;
const CALM_TICK = 1000;
/** A moment that is left this soon (ms) isn't worth its charts, nor being read out. */
const SETTLED = 400;
const AGAIN = 5000;
/** The address says where one is this often at most (ms). */
const ADDRESSED = 500;
/** Lines are asked for so many seconds of playing at a time; faster than this they would be gone before they come. */
const AHEAD = 10;
const LINES_UNTIL = 60;
const FROZEN = "This is the past: it can't be edited. Go back to live to edit.";
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

export class Travel {
  #home;
  #grid;
  #pasts;
  #bar = find(document, "#travel");
  #slider = /** @type {HTMLInputElement} */ (find(this.#bar, ".slider"));
  #exactly = /** @type {HTMLInputElement} */ (find(this.#bar, ".exactly"));
  #speed = /** @type {HTMLSelectElement} */ (find(this.#bar, ".speed"));
  #span = /** @type {HTMLSelectElement} */ (find(this.#bar, ".span"));
  #play = find(this.#bar, ".play");
  #nothing = find(document, "#nothing-then");
  #active = false;
  /** The moment that is wanted, and the one that is shown; seconds of the server's clock. */
  #wanted = 0;
  #shown = 0;
  #earliest = 0;
  #asking = false;
  #leaps = false;
  #settling = 0;
  #ticking = 0;
  #addressing = 0;
  /** @type {import("./journey.js").Stretch | null} */
  #stretch = null;
  /** Of which time there are lines. */
  #lines = { from: 0, to: 0, points: SHORT.points };

  /** @param {Home} home */
  constructor(home) {
    this.#home = home;
    const element = find(document, "#past-grid");
    const nothing = () => {};
    this.#grid = new Grid(element, {
      ...home.events,
      may: (kind, action) => action === "update" && home.events.may(kind, action),
      frozen: FROZEN,
      now: () => this.#shown * 1000,
      skew: () => 0,
      seen: (tile) => this.#want(tile),
      judged: nothing,
    });
    this.#pasts = new ShortPasts(() => this.#lines);
    // What edits says why it doesn't; nobody need wonder.
    document.addEventListener("click", (event) => this.#refuse(event), true);
    this.#fill();
    this.#listen();
  }

  /** By the server's clock, as are all moments here. */
  get #now() {
    return (Date.now() - this.#home.events.skew()) / 1000;
  }

  get #step() {
    return SPANS[this.#span.value].step;
  }

  /** @param {number} at  @param {boolean} [kept]  At least where something is kept. */
  go(at, kept = false) {
    this.#leaps = kept;
    if (!this.#active) {
      this.#active = true;
      this.#shown = 0;
      this.#bar.hidden = false;
      this.#press(true);
      this.#home.status.travel("…");
      this.#home.toolbar.use(this.#grid);
    }
    this.#seek(at);
  }

  /** Back to live, which was there all along. @param {string} [words] */
  leave(words = "Live again.") {
    if (!this.#active) return;
    // Where the browser's way back leads to; unless somebody has just gone it.
    if (this.#addressing !== 0 && parameters().has("at")) this.#address();
    window.clearTimeout(this.#addressing);
    this.#addressing = 0;
    this.#active = false;
    this.#pause();
    window.clearTimeout(this.#settling);
    write({ at: null }, { back: true });
    const held = this.#bar.contains(document.activeElement) || find(document, "#past-grid").contains(document.activeElement);
    delete document.body.dataset.past;
    this.#bar.hidden = this.#nothing.hidden = true;
    this.#press(false);
    const { grid, toolbar, panel, status } = this.#home;
    toolbar.use(grid);
    grid.flush();
    panel.use(grid, null);
    status.travel(null);
    this.#grid.stand([], new Set());
    if (held) find(document, "#past").focus();
    announce(words);
  }

  /** @param {boolean} is */
  #press(is) {
    find(document, "#past").setAttribute("aria-pressed", String(is));
    for (const opens of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-opens]"))) {
      opens.ariaDisabled = String(is);
      opens.title = is ? FROZEN : "";
    }
  }

  // Which moment

  /** @param {number} at */
  #seek(at) {
    this.#wanted = Math.min(at, this.#now);
    // Not at every step: browsers forbid that.
    this.#addressing ||= window.setTimeout(() => this.#address(), ADDRESSED);
    this.#draw();
    void this.#ask();
  }

  /** Have the address say which moment it is. */
  #address() {
    window.clearTimeout(this.#addressing);
    this.#addressing = 0;
    if (this.#active) write({ at: toAddress(this.#wanted) });
  }

  /** One question at a time; what is wanted meanwhile is asked next. */
  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    window.clearTimeout(this.#settling);
    let at = NaN;
    try {
      while (this.#active && at !== this.#wanted) {
        at = this.#wanted;
        const answer = await stood(at);
        if (this.#active) this.#show(answer);
      }
      this.#tell("");
    } catch (error) {
      this.#pause();
      this.#tell(`That moment can't be shown: ${reason(error)}${this.#shown ? ` Below is ${formatMoment(this.#shown * 1000)}.` : ""}`);
      this.#settling = window.setTimeout(() => this.#active && void this.#ask(), AGAIN);
    } finally {
      this.#asking = false;
    }
  }

  /** @param {import("./past.js").Stood} answer */
  #show({ at, earliest, source, values }) {
    this.#shown = at;
    this.#earliest = earliest ?? this.#now;
    if (this.#leaps && at < this.#earliest) this.#wanted = Math.ceil(this.#earliest);
    this.#leaps = false;
    const rows = values.map(({ stream, pk, data, since }) => ({ id: `${stream}/${pk}`, kind: stream, pk, data, since: since === null ? 0 : since * 1000 }));
    this.#home.status.travel(formatMoment(at * 1000));
    // The stretch may begin elsewhere.
    this.#draw();
    this.#grid.stand(rows, this.#home.pins.ids);
    this.#grid.flush();
    this.#home.toolbar.draw();
    if (!this.#covered) for (const tile of this.#grid.tiles.values()) tile.forget();
    if (this.#ticking !== 0) this.#ready();
    this.#home.panel.use(this.#grid, at * 1000, false);
    const gone = rows.filter(({ id }) => !this.#home.grid.tiles.has(id)).length;
    const extent = rows.length === 1 ? "1 value" : `${formatNumber(rows.length)} values`;
    setText(find(this.#bar, ".extent"), `${extent}${gone ? `, ${formatNumber(gone)} deleted since` : ""}`);
    setText(find(this.#bar, ".exact"), source === "samples" || rows.length === 0 ? "" : `known to the ${source.slice(0, -1)}`);
    const before = at < this.#earliest;
    this.#nothing.hidden = rows.length > 0;
    setText(find(this.#nothing, "p"), before ? `Nothing is kept of before ${formatMoment(this.#earliest * 1000)}.` : `There was no value at ${formatMoment(at * 1000)}.`);
    find(this.#nothing, "button").hidden = !before || earliest === null;
    window.clearTimeout(this.#settling);
    if (this.#ticking !== 0) return;
    this.#settling = window.setTimeout(() => {
      this.#ready();
      this.#home.panel.use(this.#grid, at * 1000);
      announce(this.#nothing.hidden ? `As of ${formatMoment(at * 1000)}: ${extent}.` : find(this.#nothing, "p").textContent ?? "");
    }, SETTLED);
  }

  // Lines

  get #covered() {
    return this.#shown - SHORT.seconds >= this.#lines.from && this.#shown <= this.#lines.to;
  }

  /** Have lines for the moment that is shown. */
  #ready() {
    if (this.#covered) return;
    const at = this.#shown;
    const speed = this.#ticking === 0 ? 0 : Number(this.#speed.value);
    const ahead = Math.min(this.#now - at, speed * AHEAD);
    const seconds = SHORT.seconds + ahead;
    this.#lines = { from: at - SHORT.seconds, to: at + ahead, points: Math.ceil((seconds / SHORT.seconds) * (SHORT.points - 1)) + 1 };
    for (const tile of this.#grid.tiles.values()) {
      tile.asked = tile.seen;
      if (tile.seen) this.#want(tile);
    }
  }

  /** @param {Tile} tile */
  #want(tile) {
    if (!this.#covered || tile.kind === "textval" || (this.#ticking !== 0 && Number(this.#speed.value) > LINES_UNTIL)) return;
    const asked = this.#lines;
    this.#pasts.want(tile.kind, tile.pk, (past) => {
      if (asked !== this.#lines) return;
      tile.forget();
      tile.remember(past);
    });
  }

  // The bar

  #fill() {
    this.#speed.replaceChildren(...SPEEDS.map((speed) => new Option(`${formatNumber(speed)}×`, String(speed))));
    this.#speed.value = "60";
    this.#span.replaceChildren(...Object.keys(SPANS).map((span) => new Option(span)));
    this.#span.value = "1 h";
  }

  #listen() {
    this.#slider.addEventListener("input", () => this.#reach(Number(this.#slider.value)));
    this.#slider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (steps === undefined) return;
      event.preventDefault();
      this.#reach(this.#wanted + steps * (event.shiftKey ? 1 : this.#step));
    });
    this.#exactly.addEventListener("change", () => {
      const at = new Date(this.#exactly.value).getTime();
      if (!Number.isNaN(at)) this.#reach(at / 1000);
    });
    this.#span.addEventListener("change", () => {
      this.#stretch = null;
      this.#draw();
    });
    this.#speed.addEventListener("change", () => this.#ticking !== 0 && this.#begin());
    this.#play.addEventListener("click", () => (this.#ticking === 0 ? this.#begin() : this.#pause(true)));
    for (const [selector, steps] of /** @type {const} */ ([[".back", -1], [".forth", 1]])) find(this.#bar, selector).addEventListener("click", () => this.#reach(this.#wanted + steps * this.#step));
    find(this.#bar, ".live").addEventListener("click", () => this.leave());
    find(this.#nothing, "button").addEventListener("click", () => this.#reach(Math.ceil(this.#earliest)));
    this.#bar.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.leave();
    });
    document.addEventListener("visibilitychange", () => document.hidden && this.#pause(true));
    // Now goes on.
    window.setInterval(() => this.#active && this.#draw(), 10_000);
  }

  /** By somebody's hand. @param {number} at */
  #reach(at) {
    this.#pause();
    this.#seek(at);
  }

  #begin() {
    window.clearTimeout(this.#ticking);
    const speed = Number(this.#speed.value);
    const [began, from] = [performance.now(), this.#wanted];
    const tick = () => {
      const at = from + (speed * (performance.now() - began)) / 1000;
      if (at >= this.#now) return this.leave("The present is reached: live again.");
      this.#ticking = window.setTimeout(tick, calm.matches ? CALM_TICK : TICK);
      this.#seek(at);
    };
    tick();
    if (this.#active) announce(`Playing, ${speed === 1 ? "as fast as it was" : `${formatNumber(speed)} times as fast`}.`);
    this.#draw();
  }

  /** @param {boolean} [told] */
  #pause(told = false) {
    if (this.#ticking === 0) return;
    window.clearTimeout(this.#ticking);
    this.#ticking = 0;
    // With what only a moment that stays is asked for.
    if (told) this.#seek(this.#shown || this.#wanted);
    else this.#draw();
  }

  #draw() {
    const at = this.#wanted;
    const now = this.#now;
    const earliest = this.#earliest || now - SPANS[this.#span.value].seconds;
    const { begin, end } = (this.#stretch = stretch(at, SPANS[this.#span.value].seconds, { earliest, now }, this.#stretch));
    const moment = formatMoment(at * 1000);
    setText(find(this.#bar, ".moment"), moment);
    Object.assign(this.#slider, { min: String(Math.floor(begin)), max: String(Math.floor(end)), value: String(Math.round(at)), ariaValueText: moment });
    setText(find(this.#bar, ".begin"), `${Math.abs(begin - this.#earliest) < 1 ? "Kept since " : ""}${formatMoment(begin * 1000)}`);
    setText(find(this.#bar, ".end"), end > now - 15 ? "Now" : formatMoment(end * 1000));
    if (document.activeElement !== this.#exactly) this.#exactly.value = toLocal(at);
    this.#exactly.max = toLocal(now);
    const playing = this.#ticking !== 0;
    setText(find(this.#play, ".icon"), playing ? "❚❚" : "▶");
    setText(find(this.#play, ".word"), playing ? "Pause" : "Play");
    const step = formatStep(this.#step);
    for (const [selector, words] of [[".back", `${step} back`], [".forth", `${step} on`]]) {
      const button = find(this.#bar, selector);
      if (button.title !== words) button.title = words;
      setText(find(button, ".unseen"), words);
    }
    this.#bar.classList.toggle("behind", Math.abs(at - this.#shown) > this.#step);
  }

  /** @param {string} text */
  #tell(text) {
    const problem = find(this.#bar, ".problem");
    problem.hidden = text === "";
    setText(problem, text && `▲ ${text}`);
    if (text) announce(text);
  }

  /** @param {MouseEvent} event */
  #refuse(event) {
    if (!this.#active || !(event.target instanceof Element) || !event.target.closest("#past-grid button.value, [data-opens]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#tell(FROZEN);
  }
}
