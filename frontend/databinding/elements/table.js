import { LiveElement } from "./element.js";
import { formatValue, isNumeric } from "./format.js";
import { compare, membership } from "./members.js";
import { flash, part, setState, setText } from "./parts.js";

/** Scrolling tables have names; each its own. */
let tables = 0;

/**
 * The rows of a stream. Cells are live; while somebody points at it or is in it by keyboard, rows come and go on request.
 *
 *     <live-table stream="pumps" field="name rpm" label="Pumps" order="-rpm"></live-table>
 */
export class LiveTable extends LiveElement {
  static observedAttributes = [...LiveElement.observedAttributes, "order", "limit"];

  #table = part("table", "table");
  #caption = part("span", "caption");
  #state = part("span", "state");
  #news = part("span", "news");
  #apply = part("button", "button");
  #head = document.createElement("tr");
  #body = document.createElement("tbody");
  #scroll = document.createElement("div");
  /** @type {Map<import("../protocol.js").Pk, HTMLTableRowElement>} */
  #shown = new Map();
  /** @type {string[]} */
  #fields = [];
  #forced = false;

  constructor() {
    super();
    const caption = document.createElement("caption");
    const head = document.createElement("thead");
    this.#apply.type = "button";
    this.#apply.textContent = "Apply";
    this.#apply.addEventListener("click", () => {
      this.#forced = true;
      this.update();
      this.#scroll.focus();
    });
    caption.id = `live-table-${++tables}`;
    caption.append(this.#caption, this.#state, this.#news, this.#apply);
    head.append(this.#head);
    this.#table.append(caption, head, this.#body);
    // A region that scrolls has to be reached by keyboard.
    this.#scroll.className = "scroll";
    this.#scroll.tabIndex = 0;
    this.#scroll.setAttribute("role", "region");
    this.#scroll.setAttribute("aria-labelledby", caption.id);
    this.#scroll.append(this.#table);
    this.root.append(this.#scroll);
    for (const event of ["pointerleave", "focusout"]) this.addEventListener(event, () => this.update());
  }

  isMine() {
    return true;
  }

  isThere() {
    return true;
  }

  restarted() {
    this.#shown.clear();
    this.#body.replaceChildren();
    this.#fields = [];
  }

  /** @param {string} name */
  attributeChangedCallback(name, /** @type {string | null} */ before, /** @type {string | null} */ now) {
    if (this.here && (name === "order" || name === "limit")) this.#forced = true;
    super.attributeChangedCallback(name, before, now);
  }

  /** @param {import("./look.js").Look} look */
  draw(look) {
    this.#drawHead();
    const limit = Number(this.getAttribute("limit")) || Infinity;
    const rows = [...this.rows].sort(compare(this.getAttribute("order") ?? ""));
    const wanted = rows.slice(0, limit).map(([pk]) => pk);
    // Nobody goes on reading what isn't his to see.
    this.#forced ||= look.state === "refused";
    const busy = this.matches(":hover") || this.root.activeElement !== null;
    const news = membership([...this.#shown.keys()], wanted);
    const held = busy && !this.#forced && this.#shown.size > 0 && news !== "";
    if (!held && news !== "") this.#place(wanted);
    this.#forced = false;
    for (const [pk, element] of this.#shown) this.#drawRow(element, this.rows.get(pk));
    setText(this.#caption, this.getAttribute("label") ?? "");
    const empty = look.state === "live" && wanted.length === 0;
    setState(this.#state, empty ? { state: "live", icon: "–", word: "No rows" } : look);
    setText(this.#news, held ? ` ${news}` : "");
    this.#apply.hidden = !held;
  }

  #drawHead() {
    const said = (this.getAttribute("field") ?? "").split(/[\s,]+/).filter(Boolean);
    const [first] = this.rows.values();
    const fields = said.length > 0 ? said : first === undefined ? this.#fields : Object.keys(first);
    if (fields.join() === this.#fields.join()) return;
    this.restarted();
    this.#fields = fields;
    this.#head.replaceChildren(
      ...fields.map((field) => {
        const cell = part("th", "heading");
        cell.scope = "col";
        cell.textContent = title(field);
        return cell;
      }),
    );
  }

  /** @param {import("../protocol.js").Pk[]} wanted */
  #place(wanted) {
    const elements = wanted.map((pk) => this.#shown.get(pk) ?? this.#rowOf());
    this.#shown = new Map(wanted.map((pk, index) => [pk, elements[index]]));
    this.#body.replaceChildren(...elements);
  }

  #rowOf() {
    const element = part("tr", "row");
    element.append(...this.#fields.map(() => part("td", "cell")));
    return element;
  }

  /**
   * @param {HTMLTableRowElement} element
   * @param {import("../protocol.js").Data | undefined} data  undefined: it is gone
   */
  #drawRow(element, data) {
    element.style.textDecoration = data === undefined ? "line-through" : "";
    if (data === undefined) return;
    const format = this.getAttribute("format") ?? "";
    this.#fields.forEach((field, index) => {
      const cell = element.cells[index];
      const text = formatValue(data[field], isNumeric(data[field]) ? format : "");
      if (cell.textContent === text) return;
      if (cell.textContent !== "") flash(cell);
      cell.textContent = text;
      const numeric = typeof data[field] === "number";
      cell.classList.toggle("number", numeric);
      this.#head.cells[index].classList.toggle("number", numeric);
    });
  }
}

/** @param {string} field */
function title(field) {
  const words = field.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
