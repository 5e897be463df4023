/**
 * Charts of other values beside the panel's own, with one cursor for all. The page's address says which.
 *
 * @typedef {import("./tile.js").Tile} Tile
 * @typedef {{id: string, chart: Chart, item: HTMLElement}} Compared
 */
import { parameters, write } from "./address.js";
import { announce } from "./announce.js";
import { Chart } from "./chart.js";
import { find, instantiate, setText } from "./dom.js";
import { history } from "./past.js";
import { reason } from "./reason.js";

const HEIGHT = 120;
/** More don't fit beside each other, nor into one sentence. */
const MOST = 4;

export class Comparison {
  #events;
  #values;
  #list = find(document, "#compared");
  #names = find(document, "#compare-names");
  #input = /** @type {HTMLInputElement} */ (find(document, "#compare-with"));
  /** @type {Compared[]} */
  #compared = [];
  /** @type {import("./past.js").Range | null} */
  #range = null;

  /**
   * @param {import("./chart.js").ChartEvents} events
   * @param {{tiles: () => ReadonlyMap<string, Tile>, shown: () => Tile | null}} values
   */
  constructor(events, values) {
    this.#events = events;
    this.#values = values;
    this.#input.addEventListener("focus", () => this.#offer());
    this.#input.addEventListener("input", () => this.#input.setCustomValidity(""));
    this.#input.addEventListener("change", () => this.#add());
  }

  /** What is under the cursor of each. */
  get words() {
    return this.#compared.map(({ id, chart }) => chart.words && `${this.#values.tiles().get(id)?.data.name} ${chart.words}`).filter(Boolean);
  }

  /** Compare what the address says. */
  follow() {
    const shown = this.#values.shown();
    const ids = (parameters().get("with") ?? "").split(",").filter((id) => id !== shown?.id && this.#charted(id)).slice(0, MOST);
    for (const { id, chart, item } of this.#compared.filter(({ id }) => !ids.includes(id))) {
      chart.clear();
      item.remove();
      this.#compared = this.#compared.filter((one) => one.id !== id);
    }
    for (const id of ids) if (!this.#compared.some((one) => one.id === id)) this.#begin(id);
    this.#input.disabled = ids.length === MOST;
  }

  /**
   * @param {import("./past.js").Range} range
   * @param {AbortSignal} [signal]
   */
  async ask(range, signal) {
    this.#range = range;
    await Promise.all(this.#compared.map((one) => this.#draw(one, range, signal)));
  }

  /** @param {Compared} compared @param {import("./past.js").Range} range @param {AbortSignal} [signal] */
  async #draw({ id, chart, item }, range, signal) {
    const tile = this.#values.tiles().get(id);
    if (tile === undefined) return;
    setText(find(item, "h3"), String(tile.data.name));
    try {
      const past = await history(tile.kind, tile.pk, range, signal);
      if (!item.isConnected || signal?.aborted) return;
      await chart.draw(past, tile);
      find(item, ".problem").hidden = true;
    } catch (error) {
      if (signal?.aborted) return;
      find(item, ".problem").hidden = false;
      setText(find(item, ".problem"), `▲ ${reason(error)}`);
    }
  }

  /** @param {string} id */
  #charted(id) {
    return (this.#values.tiles().get(id)?.kind ?? "textval") !== "textval";
  }

  #offer() {
    const taken = [this.#values.shown()?.id, ...this.#compared.map(({ id }) => id)];
    const names = [...this.#values.tiles().values()].filter(({ id }) => this.#charted(id) && !taken.includes(id)).map(({ data }) => String(data.name));
    this.#names.replaceChildren(...names.sort().map((name) => new Option(name)));
  }

  #add() {
    const name = this.#input.value.trim();
    const tile = [...this.#values.tiles().values()].find((one) => one.data.name === name && this.#charted(one.id));
    const taken = tile && [this.#values.shown()?.id, ...this.#compared.map(({ id }) => id)].includes(tile.id);
    const why = taken ? "It is there already." : tile || !name ? "" : "There is no number of that name.";
    this.#input.setCustomValidity(why);
    this.#input.reportValidity();
    if (tile === undefined || taken) return;
    this.#input.value = "";
    this.#say([...this.#compared.map(({ id }) => id), tile.id]);
    announce(`${name} compared. One cursor reads all charts.`);
  }

  /** @param {string[]} ids */
  #say(ids) {
    write({ with: ids.join(",") || null });
    this.follow();
    if (this.#range) void this.ask(this.#range);
  }

  /** @param {string} id */
  #begin(id) {
    const item = instantiate("compared");
    const name = String(this.#values.tiles().get(id)?.data.name);
    const figure = find(item, "figure");
    figure.setAttribute("aria-label", `Chart of ${name}; the arrow keys read it`);
    const button = find(item, "button");
    button.setAttribute("aria-label", `Compare ${name} no longer`);
    button.addEventListener("click", () => {
      this.#say(this.#compared.map((one) => one.id).filter((one) => one !== id));
      this.#input.focus();
    });
    this.#list.append(item);
    this.#compared.push({ id, item, chart: new Chart(figure, this.#events, HEIGHT) });
  }
}
