import { Tile } from "./tile.js";

/** A tile's text changes at most this often (ms). */
const DRAW_EVERY = 250;
const collator = new Intl.Collator(undefined, { numeric: true });

/**
 * The tiles, one for each row, in the order of their names. Changes only mark tiles as dirty; one animation frame
 * draws them all.
 *
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 * @typedef {Omit<import("./tile.js").TileEvents, "dirty">} GridEvents
 */
export class Grid {
  /** @type {Map<Pk, Tile>} */
  tiles = new Map();
  #element;
  #events;
  /** @type {Set<Tile>} */
  #dirty = new Set();
  /** @type {Set<Tile>} Tiles that may not stand where they belong. */
  #displaced = new Set();
  #scheduled = false;
  /** @type {number | null} */
  #asOf = null;

  /**
   * @param {HTMLElement} element
   * @param {GridEvents} events
   */
  constructor(element, events) {
    this.#element = element;
    this.#events = { ...events, dirty: (/** @type {Tile} */ tile) => this.#mark(tile) };
    window.setInterval(() => this.#drawAges(), 1000);
  }

  /**
   * The rows the page begins with: drawn at once, before the first paint.
   *
   * @param {ReadonlyMap<Pk, import("../databinding/protocol.js").Data>} rows
   */
  fill(rows) {
    for (const [pk, data] of rows) this.#create({ pk, data, before: null }, false);
    this.#flush();
  }

  /** @param {import("../databinding/stream.js").ChangeEvent} change */
  apply({ created, updated, deleted, resumed, reset }) {
    const now = Date.now();
    const missed = resumed || reset;
    for (const row of created) this.#create(row, true);
    for (const { pk, data, before } of updated) {
      const tile = this.tiles.get(pk);
      if (tile === undefined) continue;
      tile.take(data, now, missed);
      if (data.name !== before?.name) this.#displaced.add(tile);
    }
    for (const { pk } of deleted) {
      const tile = this.tiles.get(pk);
      if (tile === undefined) continue;
      tile.gone = true;
      this.#mark(tile);
    }
  }

  /**
   * The connection was lost: all that is shown is as of then.
   *
   * @param {number} time
   */
  interrupt(time) {
    this.#asOf = time;
    for (const tile of this.tiles.values()) tile.interrupt(time);
    this.#drawAges();
  }

  /** The rows are what the database holds again. */
  resume() {
    this.#asOf = null;
    for (const tile of this.tiles.values()) tile.resume(Date.now());
    this.#drawAges();
  }

  /**
   * What of the tiles' edits waits for the connection.
   *
   * @param {ReadonlySet<Pk | null>} waiting
   */
  queue(waiting) {
    for (const tile of this.tiles.values()) {
      const { state } = tile.edit;
      tile.edit.queue(waiting.has(tile.pk));
      if (tile.edit.state !== state) this.redraw(tile);
    }
  }

  /** @param {Tile} tile */
  redraw(tile) {
    tile.drawnAt = -Infinity;
    this.#mark(tile);
  }

  /**
   * @param {import("../databinding/store.js").Row} row
   * @param {boolean} appears  It is new to somebody who looks.
   */
  #create(row, appears) {
    const held = this.tiles.get(row.pk);
    if (held !== undefined) {
      // It was deleted and has come back before anybody let go of its tile.
      held.gone = false;
      held.take(row.data, Date.now(), false);
      return void this.#displaced.add(held);
    }
    const tile = new Tile(row, Date.now(), this.#events);
    if (appears) tile.element.classList.add("appears");
    this.tiles.set(row.pk, tile);
    this.#displaced.add(tile);
    this.#mark(tile);
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
    for (const tile of this.#dirty) {
      if (tile.gone && !tile.busy) this.#remove(tile);
      else if (now - tile.drawnAt < DRAW_EVERY && !tile.gone) continue;
      else {
        tile.draw(now);
        if (this.#asOf !== null) tile.drawAge(now, this.#asOf);
      }
      this.#dirty.delete(tile);
    }
    this.#place();
    if (this.#dirty.size > 0) window.setTimeout(() => this.#schedule(), DRAW_EVERY);
  }

  /** Put new and renamed tiles where they belong; the others don't move, nor does one that somebody works on. */
  #place() {
    const moving = [...this.#displaced].filter((tile) => !tile.element.isConnected || !tile.busy).sort(byName);
    if (moving.length === 0) return;
    const placed = [...this.tiles.values()].filter((tile) => !this.#displaced.has(tile)).sort(byName);
    let at = 0;
    for (const tile of moving) {
      while (at < placed.length && byName(placed[at], tile) < 0) at++;
      this.#element.insertBefore(tile.element, placed[at]?.element ?? null);
      this.#displaced.delete(tile);
    }
  }

  /** @param {Tile} tile */
  #remove(tile) {
    if (this.tiles.get(tile.pk) === tile) this.tiles.delete(tile.pk);
    this.#displaced.delete(tile);
    tile.element.remove();
  }

  #drawAges() {
    const now = Date.now();
    for (const tile of this.tiles.values()) tile.drawAge(now, this.#asOf);
  }
}

/**
 * @param {Tile} one
 * @param {Tile} other
 */
function byName(one, other) {
  return collator.compare(one.data.name, other.data.name) || collator.compare(String(one.pk), String(other.pk));
}
