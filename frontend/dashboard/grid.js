import { arrange, sorted } from "./arrangement.js";
import { Tile } from "./tile.js";

/** A tile's text changes at most this often (ms). */
const DRAW_EVERY = 250;
/** What is so far out of sight (px) has no place on the page. */
const OVERSCAN = 400;
/** Distances (px). */
const GAP = 12;
const HEADING = 40;
const PHONE = 560;

/**
 * The tiles, one for each value. Changes only mark tiles as dirty; one animation frame draws them all. Only those in
 * sight, and those that somebody works on, stand on the page, each at its place.
 *
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("./kinds.js").Description} Description
 * @typedef {Omit<import("./tile.js").TileEvents, "dirty"> & {seen: (tile: Tile) => void, judged: (tile: Tile, before: string) => void, place: (id: string) => number, now?: () => number}} GridEvents
 *     seen: it came into sight for the first time; judged: its level changed; place: in somebody's own order, the
 *     higher the further in front; now: another time than it is, in ms
 * @typedef {{tile: Tile, x: number, y: number, section: number}} Place
 * @typedef {"tiles" | "rows"} View
 */
export class Grid {
  /** @type {Map<string, Tile>} */
  tiles = new Map();
  /** How many there are after the search. */
  shown = 0;
  #element;
  #events;
  /** @type {Set<Tile>} */
  #dirty = new Set();
  #scheduled = false;
  #unarranged = true;
  /** They have other sizes now, or somebody moves one: they need other places, whatever goes on. */
  #displaced = false;
  /** What is in sight has changed: others have to stand on the page. */
  #unmounted = true;
  /** One stands there out of sight, as somebody works on it. */
  #held = false;
  /** @type {number | null} */
  #asOf = null;
  #interrupted = false;
  #paused = false;
  /** @type {import("./arrangement.js").Arrangement} */
  #arrangement = { search: "", sort: "name", grouped: true };
  /** @type {View} */
  #view = "tiles";
  #ranks = new WeakMap();
  /** @type {Place[]} In their order. */
  #places = [];
  /** @type {Map<string, HTMLElement>} */
  #headings = new Map();
  #size = { width: 0, height: 0, columns: 1 };
  /** The part of the grid that is in sight (px). */
  #sight = { top: 0, bottom: 0 };

  /**
   * @param {HTMLElement} element
   * @param {GridEvents} events
   */
  constructor(element, events) {
    this.#element = element;
    this.#events = { ...events, dirty: (/** @type {Tile} */ tile) => this.#mark(tile) };
    window.setInterval(() => this.#drawAges(), 1000);
    window.addEventListener("scroll", () => this.#look(), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(element);
    window.addEventListener("resize", () => this.#measure());
  }

  /**
   * The rows the page begins with: drawn at once, before the first paint.
   *
   * @param {KindName} kind
   * @param {ReadonlyMap<Pk, import("../databinding/protocol.js").Data>} rows
   * @param {(pk: Pk) => Description} about
   */
  fill(kind, rows, about) {
    for (const [pk, data] of rows) this.#create(kind, { pk, data, before: null }, about(pk), false);
  }

  /** Draw all that is to be drawn, now. */
  flush() {
    this.#measure();
    this.#flush();
  }

  /**
   * @param {KindName} kind
   * @param {import("../databinding/stream.js").ChangeEvent} change
   * @param {(pk: Pk) => Description} about
   */
  apply(kind, { created, updated, deleted, resumed, reset }, about) {
    const now = Date.now();
    // What came between the page and its first connection wasn't missed.
    const missed = this.#interrupted && (resumed || reset);
    for (const row of created) this.#create(kind, row, about(row.pk), true);
    for (const { pk, data, before } of updated) {
      const tile = this.tiles.get(`${kind}/${pk}`);
      if (tile === undefined) continue;
      if (kind !== "intval") tile.about = about(pk);
      this.#judged(tile, () => tile.take(data, now, missed));
      if (data.name !== before?.name) this.#unarranged = true;
    }
    for (const { pk } of deleted) {
      const tile = this.tiles.get(`${kind}/${pk}`);
      if (tile === undefined) continue;
      tile.gone = true;
      this.#mark(tile);
    }
  }

  /**
   * How a value is to be shown has changed.
   *
   * @param {KindName} kind
   * @param {Pk} pk
   * @param {Description} about
   */
  describe(kind, pk, about) {
    const tile = this.tiles.get(`${kind}/${pk}`);
    if (tile !== undefined) this.#judged(tile, () => tile.describe(about));
  }

  /**
   * @param {Partial<import("./arrangement.js").Arrangement>} arrangement
   * @param {View} [view]
   */
  arrange(arrangement, view = this.#view) {
    Object.assign(this.#arrangement, arrangement);
    this.#view = view;
    this.#element.classList.toggle("rows", view === "rows");
    this.#element.classList.toggle("own", this.#arrangement.sort === "own");
    const now = Date.now();
    // An order by what changes is that of the moment it was asked for: nothing moves under the cursor.
    for (const tile of this.tiles.values()) this.#ranks.set(tile, this.#rank(tile, now));
    this.#unarranged = true;
    this.#measure();
    this.#schedule();
  }

  /** Somebody has moved one of them: it is seen where it is now, whatever goes on. */
  rearrange() {
    this.#displaced = true;
    this.arrange({});
  }

  /** @param {Tile} tile  It is pinned now, or is no longer. */
  pinned(tile) {
    this.#unarranged = true;
    this.#mark(tile);
  }

  /** @param {boolean} paused  What comes is kept, but not drawn. */
  pause(paused) {
    this.#paused = paused;
    if (!paused) for (const tile of this.tiles.values()) this.#mark(tile);
  }

  /**
   * The connection was lost: all that is shown is as of then.
   *
   * @param {number} time
   */
  interrupt(time) {
    this.#asOf = time;
    this.#interrupted = true;
    for (const tile of this.tiles.values()) tile.interrupt(time);
    this.#drawAges();
  }

  /**
   * The rows are what the database holds again.
   *
   * @param {KindName} kind  Of one stream, after the other.
   */
  resume(kind) {
    this.#asOf = null;
    for (const tile of this.tiles.values()) {
      if (tile.kind !== kind) continue;
      tile.resume(Date.now());
      tile.behind ||= this.#interrupted;
      if (tile.seen) this.#remind(tile);
    }
    this.#drawAges();
  }

  /** Have its past told, as far as it wasn't. @param {Tile} tile */
  #remind(tile) {
    if (tile.asked && !tile.behind) return;
    tile.asked = true;
    tile.behind = false;
    this.#events.seen(tile);
  }

  /**
   * What of the tiles' edits waits for the connection.
   *
   * @param {ReadonlySet<string>} waiting  Their ids.
   */
  queue(waiting) {
    for (const tile of this.tiles.values()) {
      const { state } = tile.edit;
      tile.edit.queue(waiting.has(tile.id));
      if (tile.edit.state !== state) this.redraw(tile);
    }
  }

  /** @param {Tile} tile */
  redraw(tile) {
    tile.drawnAt = -Infinity;
    this.#mark(tile);
  }

  /**
   * Scroll to a tile; it stands on the page then.
   *
   * @param {Tile} tile
   */
  reveal(tile) {
    this.flush();
    const place = this.#places.find((one) => one.tile === tile);
    if (place === undefined) return;
    const top = this.#element.getBoundingClientRect().top + window.scrollY + place.y;
    if (place.y < this.#sight.top || place.y + this.#size.height > this.#sight.bottom) window.scrollTo({ top: top - window.innerHeight / 3 });
    this.#look();
    this.#flush();
  }

  /**
   * The tile after this one, or before it.
   *
   * @param {Tile} tile
   * @param {1 | -1} step
   */
  beside(tile, step) {
    const at = this.#places.findIndex((place) => place.tile === tile);
    return at === -1 ? undefined : this.#places[at + step]?.tile;
  }

  /**
   * The places of the tile's section, in their order; nothing moves out of its section.
   *
   * @param {Tile} tile
   */
  section(tile) {
    const section = this.#places.find((place) => place.tile === tile)?.section;
    return this.#places.filter((place) => place.section === section);
  }

  /** How large the tiles are (px), and how many stand beside each other. */
  get size() {
    return this.#size;
  }

  /** All of them in their order, whatever is searched for and however they are grouped. */
  get order() {
    const tiles = [...this.tiles.values()].map(({ id, data, pinned }) => ({ id, data, pinned, rank: this.#events.place(id) }));
    return sorted(tiles, "own").map(({ id }) => id);
  }

  /**
   * Those that stood at a moment of the past, and no others.
   *
   * @param {{id: string, kind: KindName, pk: Pk, data: import("../databinding/protocol.js").Data, since: number}[]} rows
   *     since: in ms
   * @param {ReadonlySet<string>} pins
   */
  stand(rows, pins) {
    const stood = new Set(rows.map(({ id }) => id));
    for (const tile of this.tiles.values())
      if (!stood.has(tile.id)) {
        if (tile.busy) this.#element.focus();
        this.#remove(tile);
      }
    for (const { id, kind, pk, data, since } of rows) {
      const held = this.tiles.get(id);
      if (held === undefined) this.#create(kind, { pk, data, before: null }, data, false);
      else if (held.data.name !== data.name) this.#unarranged = true;
      const tile = /** @type {Tile} */ (this.tiles.get(id));
      tile.stand(data, since);
      tile.pinned = pins.has(id);
    }
    this.#schedule();
  }

  /**
   * Nobody here may see them any more: they go, whoever works on them.
   *
   * @param {KindName} [kind]  Of one stream; else all.
   */
  withdraw(kind) {
    const held = this.#element.contains(document.activeElement);
    for (const tile of [...this.tiles.values()]) if (!kind || tile.kind === kind) this.#remove(tile);
    this.#displaced = true;
    this.flush();
    if (held) this.#element.focus();
  }

  /** How many are warnings or critical, and how many stale. */
  problems() {
    const now = this.#now;
    let bad = 0;
    let stale = 0;
    for (const tile of this.tiles.values()) {
      if (tile.judgement.level !== "ok") bad++;
      if (tile.stale(now)) stale++;
    }
    return { bad, stale };
  }

  /**
   * @param {KindName} kind
   * @param {import("../databinding/store.js").Row} row
   * @param {Description} about
   * @param {boolean} appears  It is new to somebody who looks.
   */
  #create(kind, row, about, appears) {
    const held = this.tiles.get(`${kind}/${row.pk}`);
    this.#unarranged = true;
    if (held !== undefined) {
      // It was deleted and has come back before anybody let go of its tile.
      held.gone = false;
      held.take(row.data, Date.now(), false);
      return;
    }
    const tile = new Tile(kind, row, about, Date.now(), this.#events);
    if (appears) tile.element.classList.add("appears");
    this.tiles.set(tile.id, tile);
    this.#mark(tile);
  }

  /**
   * @param {Tile} tile
   * @param {() => void} work
   */
  #judged(tile, work) {
    const { level } = tile.judgement;
    work();
    if (tile.judgement.level !== level) this.#events.judged(tile, level);
  }

  /**
   * @param {Tile} tile
   * @param {number} now
   */
  #rank(tile, now) {
    if (this.#arrangement.sort === "changed") return tile.changedAt;
    if (this.#arrangement.sort === "own") return this.#events.place(tile.id);
    const level = { ok: 0, warn: 2, critical: 3 }[tile.judgement.level];
    return level || (tile.stale(now) ? 1 : 0);
  }

  /** The time that is shown. */
  get #now() {
    return this.#events.now?.() ?? Date.now();
  }

  /** @param {Tile} tile */
  #mark(tile) {
    this.#dirty.add(tile);
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#scheduled = false;
    const now = Date.now();
    for (const tile of this.#dirty) if (tile.gone && !tile.busy) this.#remove(tile);
    if (this.#displaced || (this.#unarranged && !this.#paused)) this.#arrange();
    if (this.#unmounted || this.#held) this.#mount();
    let later = false;
    for (const tile of this.#dirty) {
      // What isn't seen is drawn when it comes into sight.
      if (!tile.seen) this.#dirty.delete(tile);
      else if (this.#paused && !tile.busy && tile.edit.state === "idle") this.#dirty.delete(tile);
      else if (now - tile.drawnAt < DRAW_EVERY && !tile.gone) later = true;
      else {
        this.#draw(tile, now);
        // Of one that is gone and busy we hear when it is let go of.
        this.#dirty.delete(tile);
      }
    }
    if (later) window.setTimeout(() => this.#schedule(), DRAW_EVERY);
  }

  /**
   * @param {Tile} tile
   * @param {number} now
   */
  #draw(tile, now) {
    tile.draw(this.#now);
    tile.drawnAt = now;
    if (this.#asOf !== null) tile.drawAge(now, this.#asOf);
  }

  /** Give each its place; one that somebody works on keeps its own until they let go. */
  #arrange() {
    if (!this.#displaced && [...this.tiles.values()].some((tile) => tile.busy && tile.edit.state === "editing" && this.#places.length > 0)) {
      // Where somebody types nothing moves, but what is new is shown behind the last.
      const known = new Set(this.#places.map(({ tile }) => tile));
      const fresh = [...this.tiles.values()].filter((tile) => !known.has(tile));
      if (fresh.length === 0) return;
    }
    this.#unarranged = this.#displaced = false;
    this.#unmounted = true;
    const tiles = [...this.tiles.values()].map((tile) => ({ tile, id: tile.id, data: tile.data, pinned: tile.pinned, rank: this.#ranks.get(tile) ?? 0 }));
    const sections = arrange(tiles, this.#arrangement);
    const { width, height, columns } = this.#size;
    this.#places = [];
    /** @type {Set<string>} */
    const titles = new Set();
    let y = 0;
    for (const [section, { title, tiles }] of sections.entries()) {
      if (title) {
        titles.add(title);
        this.#heading(title, tiles.length, y);
        y += HEADING;
      }
      tiles.forEach(({ tile }, at) => {
        const column = at % columns;
        this.#places.push({ tile, section, x: column * (width + this.#gap), y: y + Math.floor(at / columns) * (height + this.#gap) });
      });
      y += Math.ceil(tiles.length / columns) * (height + this.#gap) + (this.#view === "rows" ? GAP : 0);
    }
    for (const [title, heading] of this.#headings)
      if (!titles.has(title)) {
        heading.remove();
        this.#headings.delete(title);
      }
    this.shown = this.#places.length;
    this.#element.style.height = `${y}px`;
  }

  get #gap() {
    return this.#view === "rows" ? 0 : GAP;
  }

  /**
   * @param {string} title
   * @param {number} count
   * @param {number} y
   */
  #heading(title, count, y) {
    let heading = this.#headings.get(title);
    if (heading === undefined) {
      heading = document.createElement("li");
      heading.className = "group";
      const text = document.createElement("h2");
      text.append(title, " ", document.createElement("span"));
      heading.append(text);
      this.#headings.set(title, heading);
    }
    const number = /** @type {HTMLElement} */ (heading.querySelector("span"));
    if (number.textContent !== String(count)) number.textContent = String(count);
    heading.style.transform = `translateY(${y}px)`;
    heading.dataset.y = String(y);
  }

  /** Put on the page what is in sight, in the order in which it is read and reached by Tab. */
  #mount() {
    const { top, bottom } = this.#sight;
    const { width, height } = this.#size;
    const now = Date.now();
    /** @type {{element: HTMLElement, y: number}[]} */
    const wanted = [];
    const stays = new Set();
    this.#unmounted = this.#held = false;
    this.#places.forEach(({ tile, x, y }, at) => {
      const near = y + height > top - OVERSCAN && y < bottom + OVERSCAN;
      if (!near && !tile.busy) return;
      this.#held ||= !near;
      const fresh = !tile.seen;
      const { element } = tile;
      stays.add(element);
      const place = `translate(${x}px, ${y}px)`;
      if (element.style.transform !== place) element.style.transform = place;
      if (element.style.width !== `${width}px`) element.style.width = `${width}px`;
      element.setAttribute("aria-setsize", String(this.#places.length));
      element.setAttribute("aria-posinset", String(at + 1));
      wanted.push({ element, y });
      if (fresh) {
        this.#draw(tile, now);
        this.#dirty.delete(tile);
        this.#remind(tile);
      }
    });
    for (const heading of this.#headings.values()) {
      const y = Number(heading.dataset.y);
      if (y < top - OVERSCAN || y > bottom + OVERSCAN) continue;
      stays.add(heading);
      const before = wanted.findIndex((one) => one.y >= y);
      wanted.splice(before === -1 ? wanted.length : before, 0, { element: heading, y });
    }
    for (const child of [...this.#element.children]) if (!stays.has(child)) child.remove();
    let at = this.#element.firstElementChild;
    for (const { element } of wanted) {
      if (element === at) at = at.nextElementSibling;
      // To move what has the focus would take it away; the others go around it.
      else if (element.isConnected && element.contains(document.activeElement)) at = element.nextElementSibling;
      else this.#element.insertBefore(element, at);
    }
  }

  /** @param {Tile} tile */
  #remove(tile) {
    if (this.tiles.get(tile.id) === tile) this.tiles.delete(tile.id);
    this.#dirty.delete(tile);
    this.#unarranged = this.#unmounted = true;
    this.#places = this.#places.filter((place) => place.tile !== tile);
    tile.element.remove();
  }

  /** How large tiles are by now. */
  #measure() {
    const available = this.#element.clientWidth;
    // Another one is shown.
    if (available === 0) return;
    const style = getComputedStyle(this.#element);
    const height = parseFloat(style.getPropertyValue(this.#view === "rows" ? "--row-height" : "--tile-height")) || 148;
    const least = available < PHONE ? 156 : 220;
    const columns = this.#view === "rows" ? 1 : Math.max(1, Math.floor((available + GAP) / (least + GAP)));
    const width = (available - (columns - 1) * (columns > 1 ? GAP : 0)) / columns;
    if (this.#size.width !== width || this.#size.height !== height || this.#size.columns !== columns) {
      this.#size = { width, height, columns };
      this.#unarranged = this.#displaced = true;
      this.#schedule();
    }
    this.#look();
  }

  /** What is in sight by now. */
  #look() {
    const { top } = this.#element.getBoundingClientRect();
    const sight = { top: -top, bottom: window.innerHeight - top };
    if (Math.abs(sight.top - this.#sight.top) < 40 && Math.abs(sight.bottom - this.#sight.bottom) < 40) return;
    this.#sight = sight;
    this.#unmounted = true;
    this.#schedule();
  }

  #drawAges() {
    const now = this.#now;
    for (const tile of this.tiles.values()) if (tile.seen) tile.drawAge(now, this.#asOf);
  }
}
