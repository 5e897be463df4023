import { find, setText } from "../dashboard/dom.js";
import { lengthOf, problem } from "./text.js";

const REMEMBERED = "chat-handle";
/** From this part of the limit on, the length is shown. */
const NEARLY = 0.8;

/** Where messages are written, by whom. */
export class Composer {
  #form = find(document, "#composer");
  #handle = /** @type {HTMLInputElement} */ (find(document, "#handle"));
  #message = /** @type {HTMLTextAreaElement} */ (find(document, "#message"));
  #problem = find(document, "#problem");
  #length = find(document, "#length");
  #limit = Number(this.#message.dataset.limit);

  /** @param {{write: (handle: string, message: string) => void, renamed: () => void}} actions */
  constructor({ write, renamed }) {
    this.#handle.value = remembered() ?? this.#handle.value;
    this.#handle.addEventListener("change", () => {
      remember(this.handle);
      renamed();
    });
    this.#handle.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.#message.focus();
    });
    this.#message.addEventListener("keydown", (event) => {
      // While it composes, Enter chooses a character.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit(write);
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(write);
    });
    this.#form.addEventListener("input", () => {
      this.#tell(null);
      this.#drawLength();
    });
    this.#drawLength();
  }

  get handle() {
    return this.#handle.value.trim();
  }

  /** @param {(handle: string, message: string) => void} write */
  #submit(write) {
    const found = problem(this.handle, this.#message.value, this.#limit);
    this.#tell(found);
    if (found) return;
    write(this.handle, this.#message.value.trim());
    this.#message.value = "";
    this.#drawLength();
    this.#message.focus();
  }

  /** @param {ReturnType<typeof problem>} found */
  #tell(found) {
    setText(this.#problem, found?.words ?? "");
    for (const field of [this.#handle, this.#message]) field.setAttribute("aria-invalid", String(found?.field === field.name));
    if (found) (found.field === "handle" ? this.#handle : this.#message).focus();
  }

  #drawLength() {
    const length = lengthOf(this.#message.value.trim());
    this.#length.hidden = length < this.#limit * NEARLY;
    setText(this.#length, `${length} of ${this.#limit} characters`);
    // As many lines as are written, up to what the style sheet allows.
    this.#message.style.height = "auto";
    this.#message.style.height = `${this.#message.scrollHeight + 2}px`;
  }
}

/** Storage may be forbidden; then each visit asks anew. */
function remembered() {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

/** @param {string} handle */
function remember(handle) {
  try {
    localStorage.setItem(REMEMBERED, handle);
  } catch {
    // As above.
  }
}
