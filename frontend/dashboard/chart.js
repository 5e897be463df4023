/**
 * A chart of one value's past: least to most as a band, the mean as a line, gaps where nothing is known. A thin adapter
 * around uPlot, which is loaded when the first chart is drawn.
 *
 * @typedef {import("./past.js").Past} Past
 */
import { setText } from "./dom.js";
import { formatMoment } from "./format.js";
import { formatWithUnit } from "./kinds.js";

const LIBRARY = new URL("../uplot/uPlot.iife.min.js", import.meta.url).href;
const STYLES = new URL("../uplot/uPlot.min.css", import.meta.url).href;
const HEIGHT = 220;
/** What is under the cursor is read out when the cursor rests (ms). */
const READ_AFTER = 350;
/** Pixels; less is a click. */
const LEAST_ZOOM = 8;

/** @type {Promise<any> | null} */
let library = null;

/** @returns {Promise<any>} */
function load() {
  library ??= new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = STYLES;
    document.head.append(link);
    const script = document.createElement("script");
    script.src = LIBRARY;
    script.onload = () => resolve(/** @type {any} */ (window).uPlot);
    script.onerror = () => reject(new Error("The chart's library is not there."));
    document.head.append(script);
  });
  return library;
}

/** @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  #figure;
  #readout;
  #zoomed;
  /** @type {any} */
  #plot = null;
  /** @type {Past | null} */
  #past = null;
  /** @type {import("./tile.js").Tile | null} */
  #tile = null;
  #timer = 0;

  /**
   * @param {HTMLElement} figure  Focusable; the arrow keys move its cursor.
   * @param {HTMLElement} readout
   * @param {(from: number, to: number) => void} zoomed  Seconds since 1970.
   */
  constructor(figure, readout, zoomed) {
    this.#figure = figure;
    this.#readout = readout;
    this.#zoomed = zoomed;
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#figure.clientWidth, height: HEIGHT })).observe(figure);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#anew());
    figure.addEventListener("keydown", (event) => this.#keyed(event));
  }

  /**
   * @param {Past} past
   * @param {import("./tile.js").Tile} tile
   * @returns {Promise<void>} rejects where there is no library
   */
  async draw(past, tile) {
    const uPlot = await load();
    const same = this.#tile === tile && this.#plot !== null;
    this.#past = past;
    this.#tile = tile;
    if (same) this.#plot.setData(data(past));
    else {
      this.clear();
      this.#past = past;
      this.#tile = tile;
      this.#plot = new uPlot(this.#options(uPlot), data(past), this.#figure);
    }
    this.#plot.setScale("x", { min: past.time[0], max: past.time[past.time.length - 1] + past.step });
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = this.#past = this.#tile = null;
    setText(this.#readout, "");
  }

  #anew() {
    const [past, tile] = [this.#past, this.#tile];
    if (past === null || tile === null) return;
    this.clear();
    void this.draw(past, tile);
  }

  /** @param {any} uPlot */
  #options(uPlot) {
    const [ink, line, series] = [colour("--muted"), colour("--line"), colour("--series")];
    const stepped = this.#tile?.kind === "boolval";
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const about = this.#tile?.about ?? {};
    const limits = /** @type {const} */ ([["warn_low", "--warn"], ["warn_high", "--warn"], ["critical_low", "--critical"], ["critical_high", "--critical"]]);
    return {
      width: this.#figure.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: "values" }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      select: { show: true },
      scales: { x: { time: true }, y: stepped ? { range: [-0.1, 1.1] } : {} },
      axes: [axis, { ...axis, size: 56, values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => (stepped ? (tick === 0 ? "No" : tick === 1 ? "Yes" : "") : compact.format(tick))) }],
      series: [
        {},
        { label: "Most", stroke: "transparent", points: { show: false } },
        { label: "Least", stroke: "transparent", points: { show: false } },
        { label: "Mean", stroke: series, width: 1.75, points: { show: false }, paths: stepped ? uPlot.paths.stepped({ align: 1 }) : undefined },
      ],
      bands: [{ series: [1, 2], fill: `color-mix(in srgb, ${series} 22%, transparent)` }],
      hooks: {
        setSelect: [
          (/** @type {any} */ plot) => {
            const { left, width } = plot.select;
            if (width < LEAST_ZOOM) return;
            this.#zoomed(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          },
        ],
        setCursor: [() => this.#read()],
        drawAxes: [
          (/** @type {any} */ plot) => {
            // The thresholds, where they are in the picture.
            const { ctx, bbox } = plot;
            ctx.save();
            ctx.setLineDash([4, 4]);
            for (const [name, token] of limits) {
              const limit = about[name] ?? null;
              if (limit === null || limit < plot.scales.y.min || limit > plot.scales.y.max) continue;
              const y = plot.valToPos(limit, "y", true);
              ctx.strokeStyle = colour(token);
              ctx.beginPath();
              ctx.moveTo(bbox.left, y);
              ctx.lineTo(bbox.left + bbox.width, y);
              ctx.stroke();
            }
            ctx.restore();
          },
        ],
      },
    };
  }

  #read() {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => setText(this.#readout, this.#words()), READ_AFTER);
  }

  #words() {
    const at = this.#plot?.cursor.idx ?? null;
    const [past, tile] = [this.#past, this.#tile];
    if (at === null || past === null || tile === null) return "";
    const shown = (/** @type {unknown} */ value) => formatWithUnit(tile.kind === "intval" ? "floatval" : tile.kind, value, tile.about);
    const when = formatMoment(past.time[at] * 1000);
    const [min, max, mean, last] = [past.min[at], past.max[at], past.mean[at], past.last[at]];
    if (mean === null) return `${when}: nothing is known`;
    if (tile.kind === "boolval") return `${when}: ${shown(last)}`;
    return min === max ? `${when}: ${formatWithUnit(tile.kind, min, tile.about)}` : `${when}: mean ${shown(mean)}, ${shown(min)} to ${shown(max)}`;
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    const past = this.#past;
    if (past === null || this.#plot === null) return;
    const last = past.time.length - 1;
    const at = this.#plot.cursor.idx ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, to));
    this.#plot.setCursor({ left: this.#plot.valToPos(past.time[index], "x"), top: HEIGHT / 2 });
    this.#read();
  }
}

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });

/** @param {Past} past */
function data(past) {
  return [past.time, past.max, past.min, past.mean];
}
