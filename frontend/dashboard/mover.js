/**
 * Somebody gives the values an order of their own: by dragging a tile's grip, or by keys once its grip was pressed.
 *
 * @typedef {import("./tile.js").Tile} Tile
 * @typedef {{tile: Tile, before: string[]}} Moving  before: the order to which Escape goes back
 */
import { announce } from "./announce.js";
import { groupOf, moved } from "./arrangement.js";

/** So close to the edge of the window (px) it scrolls. */
const EDGE = 56;
const SCROLL = 12;

export class Mover {
  #element;
  #grid;
  #order;
  /** By keys. @type {Moving | null} */
  #moving = null;
  /** By a pointer, and where in the tile it took hold (px). @type {(Moving & {x: number, y: number, moved: boolean}) | null} */
  #dragged = null;
  /** Something was dragged: the click that comes with it is none. */
  #ended = false;

  /**
   * @param {HTMLElement} element  The grid's.
   * @param {import("./grid.js").Grid} grid
   * @param {import("./order.js").OwnOrder} order
   */
  constructor(element, grid, order) {
    this.#element = element;
    this.#grid = grid;
    this.#order = order;
    element.addEventListener("pointerdown", (event) => this.#grab(event));
    element.addEventListener("pointermove", (event) => this.#drag(event));
    element.addEventListener("pointerup", () => this.#drop(true));
    element.addEventListener("pointercancel", () => this.#drop(false));
    element.addEventListener("click", (event) => this.#pressed(event));
    element.addEventListener("keydown", (event) => this.#keyed(event));
    // Elsewhere; another grip is where it is to go.
    element.addEventListener("focusout", ({ relatedTarget }) => relatedTarget instanceof Element && !relatedTarget.closest(".grip") && this.#keep());
    // Before, a grip would do nothing: now they are shown.
    element.classList.add("movable");
  }

  /** @param {Event} event  @returns {Tile | undefined} whose grip it is */
  #of(event) {
    const grip = /** @type {Element} */ (event.target).closest(".grip");
    return this.#grid.tiles.get(/** @type {HTMLElement | null} */ (grip?.closest(".tile"))?.dataset.id ?? "");
  }

  /**
   * @param {Tile} tile
   * @param {Tile} target  Whose place it takes.
   */
  #move(tile, target) {
    this.#order.set(moved(this.#grid.order, tile.id, target.id));
    this.#grid.rearrange();
  }

  /** @param {Tile} tile @returns {string} where it is by now */
  #where(tile) {
    const section = this.#grid.section(tile);
    const group = tile.pinned ? "those pinned" : groupOf(String(tile.data.name));
    const at = section.findIndex((place) => place.tile === tile) + 1;
    return `Position ${at} of ${section.length}${group && this.#element.querySelector(".group") ? ` in ${group}` : ""}.`;
  }

  // By a pointer

  /** @param {PointerEvent} event */
  #grab(event) {
    const tile = this.#of(event);
    const place = tile && this.#grid.section(tile).find((one) => one.tile === tile);
    if (!tile || !place || event.button !== 0) return;
    event.preventDefault();
    const grip = /** @type {HTMLElement} */ (/** @type {Element} */ (event.target).closest(".grip"));
    grip.setPointerCapture(event.pointerId);
    if (this.#moving === null) grip.focus({ preventScroll: true });
    this.#ended = false;
    const { x, y } = this.#point(event);
    this.#dragged = { tile, before: this.#grid.order, x: x - place.x, y: y - place.y, moved: false };
  }

  /** @param {MouseEvent} event  @returns {{x: number, y: number}} in the grid */
  #point({ clientX, clientY }) {
    const { left, top } = this.#element.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const dragged = this.#dragged;
    if (dragged === null) return;
    const { tile } = dragged;
    const section = this.#grid.section(tile);
    const { width, height } = this.#grid.size;
    const { x, y } = this.#point(event);
    const over = section.find((place) => x >= place.x && x < place.x + width && y >= place.y && y < place.y + height);
    const own = section.find((place) => place.tile === tile);
    if (own === undefined) return;
    if (!dragged.moved && Math.hypot(x - dragged.x - own.x, y - dragged.y - own.y) < 4) return;
    dragged.moved = true;
    tile.element.classList.add("dragged");
    if (over !== undefined && over.tile !== tile) {
      this.#move(tile, over.tile);
      this.#grid.flush();
    }
    const place = this.#grid.section(tile).find((one) => one.tile === tile) ?? own;
    tile.element.style.translate = `${x - dragged.x - place.x}px ${y - dragged.y - place.y}px`;
    if (event.clientY < EDGE) window.scrollBy(0, -SCROLL);
    else if (event.clientY > window.innerHeight - EDGE) window.scrollBy(0, SCROLL);
  }

  /** @param {boolean} kept */
  #drop(kept) {
    const dragged = this.#dragged;
    if (dragged === null) return;
    const { tile, before } = dragged;
    tile.element.classList.remove("dragged");
    tile.element.style.translate = "";
    this.#dragged = null;
    if (!dragged.moved) return;
    this.#ended = true;
    if (kept) this.#settle(tile);
    else this.#undo({ tile, before });
  }

  // By keys, or by two clicks

  /** @param {MouseEvent} event */
  #pressed(event) {
    const tile = this.#of(event);
    if (tile === undefined || this.#ended) return void (this.#ended = false);
    const moving = this.#moving?.tile;
    if (moving === undefined) this.#begin(tile);
    else {
      if (moving !== tile) this.#move(moving, tile);
      this.#keep();
    }
  }

  /** @param {Tile} tile */
  #begin(tile) {
    this.#moving = { tile, before: this.#grid.order };
    this.#mark(tile, true);
    announce(`${tile.data.name} is moved by the arrow keys. Enter keeps it there, Escape puts it back. ${this.#where(tile)}`);
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    if (event.key === "Escape" && this.#dragged !== null) return this.#drop(false);
    const tile = this.#moving?.tile;
    if (tile === undefined || this.#of(event) !== tile) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      const moving = /** @type {Moving} */ (this.#moving);
      this.#end();
      return this.#undo(moving);
    }
    const { columns } = this.#grid.size;
    const section = this.#grid.section(tile);
    const at = section.findIndex((place) => place.tile === tile);
    const last = section.length - 1;
    const below = Math.floor(at / columns) < Math.floor(last / columns) ? Math.min(at + columns, last) : at;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: below, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (section[to] !== undefined && to !== at) this.#move(tile, section[to].tile);
    this.#grid.reveal(tile);
    announce(this.#where(tile));
  }

  #keep() {
    const moving = this.#moving;
    if (moving === null) return;
    this.#end();
    this.#settle(moving.tile);
  }

  #end() {
    if (this.#moving) this.#mark(this.#moving.tile, false);
    this.#moving = null;
  }

  /** @param {Tile} tile @param {boolean} is */
  #mark(tile, is) {
    tile.element.classList.toggle("moving", is);
    tile.element.querySelector(".grip")?.setAttribute("aria-pressed", String(is));
  }

  /** @param {Tile} tile */
  #settle(tile) {
    this.#order.keep();
    announce(`${tile.data.name} stays there. ${this.#where(tile)}`);
  }

  /** @param {Moving} moving */
  #undo({ tile, before }) {
    this.#order.set(before);
    this.#grid.rearrange();
    announce(`${tile.data.name} is back where it was.`);
  }
}
