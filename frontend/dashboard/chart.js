/**
 * A chart of one value's past: least to most as a band, the mean as a line, gaps where nothing is known. A thin adapter
 * around uPlot, which is loaded when the first chart is drawn.
 *
 * @typedef {import("./past.js").Past} Past
 */
import { formatWithUnit } from "./kinds.js";

const LIBRARY = new URL("../uplot/uPlot.iife.min.js", import.meta.url).href;
const STYLES = new URL("../uplot/uPlot.min.css", import.meta.url).href;
/** Pixels; less is a click. */
const LEAST_ZOOM = 8;

/** @type {Promise<any> | null} */
let library = null;

/** @returns {Promise<any>} */
function load() {
  library ??= fetchLibrary();
  return library;
}

async function fetchLibrary() {
  // The library has Intl write numbers in the browser's language, whose name Intl may not know: "en-US@posix".
  try {
    new Intl.Locale(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en" });
  }
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = STYLES;
  const script = document.createElement("script");
  script.src = LIBRARY;
  // Without its styles its parts don't lie where the pointer finds them.
  await Promise.all([link, script].map(put));
  return /** @type {any} */ (window).uPlot;
}

/** @param {HTMLElement} element @returns {Promise<void>} resolves when it has loaded */
function put(element) {
  return new Promise((resolve, reject) => {
    element.onload = () => resolve();
    element.onerror = () => reject(new Error("The chart's library is not there."));
    document.head.append(element);
  });
}

/** @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * Charts of a page have one cursor: where it is in one, it is in all.
 *
 * @typedef {object} ChartEvents
 * @property {() => void} pointed  The cursor is elsewhere.
 * @property {(from: number, to: number) => void} zoomed  A stretch was chosen; seconds since 1970.
 * @property {(factor: number, around: number | undefined) => void} zoom  By keys; 0: as it was.
 */
export class Chart {
  #figure;
  #events;
  #height;
  /** @type {any} */
  #plot = null;
  /** @type {Past | null} */
  #past = null;
  /** @type {import("./tile.js").Tile | null} */
  #tile = null;

  /**
   * @param {HTMLElement} figure  Focusable; keys move its cursor.
   * @param {ChartEvents} events
   * @param {number} [height]
   */
  constructor(figure, events, height = 220) {
    this.#figure = figure;
    this.#events = events;
    this.#height = height;
    new ResizeObserver(() => figure.clientWidth && this.#plot?.setSize({ width: figure.clientWidth, height })).observe(figure);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#anew());
    figure.addEventListener("keydown", (event) => this.#keyed(event));
    figure.addEventListener("dblclick", () => events.zoom(0, undefined));
  }

  /**
   * @param {Past} past
   * @param {import("./tile.js").Tile} tile
   * @returns {Promise<void>} rejects where there is no library
   */
  async draw(past, tile) {
    const uPlot = await load();
    if (this.#tile !== tile) this.clear();
    this.#past = past;
    this.#tile = tile;
    if (this.#plot) this.#plot.setData(data(past));
    else this.#plot = new uPlot(this.#options(uPlot), data(past), this.#figure);
    this.#plot.setScale("x", { min: past.time[0], max: past.time[past.time.length - 1] + past.step });
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = this.#past = this.#tile = null;
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
      height: this.#height,
      legend: { show: false },
      // The others are told where it is, not that something is dragged.
      cursor: { sync: { key: "values", scales: ["x", null], filters: { pub: (/** @type {string} */ type) => type === "mousemove", sub: () => true } }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
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
            this.#events.zoomed(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          },
        ],
        setCursor: [() => this.#events.pointed()],
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

  /** The time under the cursor (seconds since 1970), if it is there. @returns {number | null} */
  get time() {
    return this.#past?.time[this.#plot?.cursor.idx ?? -1] ?? null;
  }

  /** What is under the cursor, in words; nothing if the cursor isn't there. */
  get words() {
    const at = this.#plot?.cursor.idx ?? null;
    const [past, tile] = [this.#past, this.#tile];
    if (at === null || past === null || tile === null) return "";
    const shown = (/** @type {unknown} */ value) => formatWithUnit(tile.kind === "intval" ? "floatval" : tile.kind, value, tile.about);
    const [min, max, mean, last] = [past.min[at], past.max[at], past.mean[at], past.last[at]];
    if (mean == null) return "nothing is known";
    if (tile.kind === "boolval") return shown(last);
    return min === max ? formatWithUnit(tile.kind, min, tile.about) : `mean ${shown(mean)}, ${shown(min)} to ${shown(max)}`;
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    const past = this.#past;
    if (past === null || this.#plot === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const factor = { "+": 0.5, "=": 0.5, "-": 2, 0: 0 }[event.key];
    const last = past.time.length - 1;
    const at = this.#plot.cursor.idx ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: last }[event.key];
    if (to === undefined && factor === undefined) return;
    event.preventDefault();
    if (factor !== undefined) return this.#events.zoom(factor, this.time ?? undefined);
    const index = Math.min(last, Math.max(0, Number(to)));
    this.#plot.setCursor({ left: this.#plot.valToPos(past.time[index], "x"), top: this.#height / 2 }, true, true);
  }
}

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });

/** @param {Past} past */
function data(past) {
  return [past.time, past.max, past.min, past.mean];
}
