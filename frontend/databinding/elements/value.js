import { LiveElement } from "./element.js";
import { formatValue } from "./format.js";
import { flash, labelOf, mainField, part, setState, setText, unitOf } from "./parts.js";

/**
 * One field of one row, as it is.
 *
 *     <live-value stream="pumps" pk="1" field="rpm" unit="rpm" label="North"></live-value>
 */
export class LiveValue extends LiveElement {
  #label = part("span", "label");
  #value = part("span", "value");
  #unit = part("span", "unit");
  #state = part("span", "state");
  #shown = "";

  constructor() {
    super();
    this.root.append(this.#label, this.#value, this.#unit, this.#state);
  }

  restarted() {
    this.#shown = "";
  }

  /** @param {import("./look.js").Look} look */
  draw(look) {
    const row = this.row;
    const field = this.getAttribute("field") ?? mainField(row);
    const known = row !== undefined && Object.hasOwn(row, field);
    const text = known ? formatValue(row[field], this.getAttribute("format") ?? "") : "";
    if (row !== undefined && !known) look = { state: "wrong", icon: "◆", word: `No field ${field}` };
    setText(this.#label, labelOf(this));
    setText(this.#value, text);
    setText(this.#unit, text && unitOf(this));
    setState(this.#state, look);
    if (this.#shown && text && text !== this.#shown) flash(this.#value);
    this.#shown = text;
  }
}
