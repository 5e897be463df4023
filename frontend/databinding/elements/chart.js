import { drawing, WIDTH } from "../drawing.js";
import { getJson } from "../json.js";
import { numberOf, pointsOf, Tail } from "../tail.js";
import { LiveElement } from "./element.js";
import { formatValue } from "./format.js";
import { labelOf, mainField, part, setState, setText, unitOf } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
/** While it is seen, the line moves on also when nothing changes (ms). */
const MOVE = 1000;
/** Of the drawing, in its own units. */
const HEIGHT = 40;
/** Points that are asked for of the past. */
const PAST = 200;

/** ms by which the server's clock is behind ours, as far as its answers tell. */
let skew = 0;

/**
 * One number of one row over the last seconds: its tail, live, as a small drawing, with its value.
 *
 *     <live-chart stream="pumps" pk="1" field="rpm" seconds="120"></live-chart>
 */
export class LiveChart extends LiveElement {
  static observedAttributes = [...LiveElement.observedAttributes, "seconds", "history"];

  #label = part("figcaption", "label");
  #value = part("span", "value");
  #unit = part("span", "unit");
  #state = part("span", "state");
  #range = document.createElement("span");
  #area = document.createElementNS(SVG, "path");
  #line = document.createElementNS(SVG, "path");
  #end = document.createElementNS(SVG, "path");
  /** @type {Tail | null} */
  #tail = null;
  #missed = false;
  #timer = 0;

  constructor() {
    super();
    const figure = part("figure", "figure");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("part", "chart");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    for (const [path, name] of /** @type {const} */ ([[this.#area, "area"], [this.#line, "line"], [this.#end, "end"]])) {
      path.setAttribute("part", name);
      svg.append(path);
    }
    this.#range.className = "unseen";
    const now = document.createElement("span");
    now.append(this.#value, this.#unit, this.#state, this.#range);
    figure.append(this.#label, now, svg);
    this.root.append(figure);
  }

  connectedCallback() {
    super.connectedCallback();
    this.restarted(); // What it begins with are the rows that are there: they came with the page, or to others.
    this.#timer = window.setInterval(() => document.visibilityState === "visible" && this.update(), MOVE);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.clearInterval(this.#timer);
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} now
   */
  attributeChangedCallback(name, before, now) {
    if (this.here && before !== now && (name === "seconds" || name === "history")) this.restarted();
    super.attributeChangedCallback(name, before, now);
  }

  restarted() {
    this.#tail = new Tail(this.#span);
    if (!this.old) this.took();
    void this.#ask(this.#tail);
  }

  stood() {
    // While there is no connection nothing is known of the value; back, it is again what it is.
    if (this.live) {
      this.took();
      if (this.#missed && this.#tail) void this.#ask(this.#tail);
      this.#missed = false;
    } else if (this.old) {
      this.#missed = true;
      this.#tail?.push(Date.now(), null);
    }
  }

  took() {
    const value = numberOf(this.row?.[this.#field]);
    if (value !== null || this.live) this.#tail?.push(Date.now(), value);
  }

  get #span() {
    const seconds = Number(this.getAttribute("seconds") ?? 120);
    return (seconds > 0 ? seconds : 120) * 1000;
  }

  get #field() {
    return this.getAttribute("field") ?? mainField(this.row);
  }

  /**
   * The past, where the page knows who tells it.
   *
   * @param {Tail} tail
   */
  async #ask(tail) {
    const address = this.getAttribute("history");
    if (!address) return;
    const url = new URL(address, document.baseURI);
    url.searchParams.set("points", String(PAST));
    const asked = Date.now();
    try {
      let { data, date } = await this.#since(asked - skew - this.#span, url);
      // An answer tells the server's time to the second, and was on its way for some time.
      const [least, most] = [asked - date - 1000, Date.now() - date];
      if (skew < least || skew > most) {
        skew = (least + most) / 2;
        ({ data } = await this.#since(Date.now() - skew - this.#span, url));
      }
      if (data === null) return;
      tail.fill(pointsOf(data, skew));
      this.update();
    } catch (error) {
      console.warn(`The history at ${url.pathname} can't be had: ${error}`); // The tail goes on by itself.
    }
  }

  /**
   * @param {number} begin  By the server's clock.
   * @param {URL} url
   */
  #since(begin, url) {
    url.searchParams.set("from", String(begin / 1000));
    return getJson(url);
  }

  /** @param {import("./look.js").Look} look */
  draw(look) {
    const format = this.getAttribute("format") ?? "";
    const row = this.row;
    if (row !== undefined && numberOf(row[this.#field]) === null && row[this.#field] !== null)
      look = { state: "wrong", icon: "◆", word: this.#field in row ? `${this.#field} is no number` : `No field ${this.#field}` };
    if (look.state === "refused") this.#tail = new Tail(this.#span);
    const now = Date.now();
    const drawn = drawing(this.#tail?.points() ?? [], now, now - this.#span, HEIGHT);
    for (const [path, d] of /** @type {const} */ ([[this.#line, drawn.line], [this.#area, drawn.area], [this.#end, drawn.end]]))
      if (path.getAttribute("d") !== d) path.setAttribute("d", d);
    setText(this.#label, labelOf(this));
    const value = row === undefined ? "" : formatValue(row[this.#field], format);
    setText(this.#value, value);
    setText(this.#unit, value && unitOf(this));
    setState(this.#state, look);
    const range = drawn.least === null || drawn.most === null ? "" : rangeOf(drawn.least, drawn.most, format, this.#span);
    setText(this.#range, range);
  }
}

/**
 * What the drawing shows, in words.
 *
 * @param {number} least
 * @param {number} most
 * @param {string} format
 * @param {number} span
 */
function rangeOf(least, most, format, span) {
  const seconds = Math.round(span / 1000);
  const time = seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
  return `, from ${formatValue(least, format)} to ${formatValue(most, format)} in the last ${time}`;
}
