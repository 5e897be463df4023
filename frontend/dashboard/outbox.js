import { announce } from "./announce.js";
import { find, instantiate, setText } from "./dom.js";
import { format } from "./kinds.js";
import { reason } from "./reason.js";

/**
 * What waits for the connection, and what was refused when it was back, as the page shows it: seen, and to be taken back.
 *
 * @typedef {import("../databinding/outbox.js").Write} Write
 * @typedef {{write: Write, why: string}} Refused
 */
export class OutboxPanel {
  #outbox;
  #streams;
  #panel = find(document, "#outbox");
  #list = find(document, "#outbox-list");
  /** @type {Map<Write, HTMLElement>} */
  #items = new Map();
  /** @type {Map<Write, string>} Creates and deletes; of an update its tile tells. */
  #refused = new Map();

  /**
   * @param {import("../databinding/outbox.js").Outbox} outbox
   * @param {Record<string, import("../databinding/stream.js").Stream>} streams  Whose rows have the names.
   */
  constructor(outbox, streams) {
    this.#outbox = outbox;
    this.#streams = streams;
    outbox.on("change", () => this.draw());
    outbox.on("refused", ({ write, error }) => {
      if (write.action === "update") return;
      this.#refused.set(write, reason(error));
      announce(`${this.#describe(write)}: not done. ${reason(error)}`);
      this.draw();
    });
    find(this.#panel, ".discard-all").addEventListener("click", () => {
      for (const write of outbox.late) outbox.discard(write);
      this.#refused.clear();
      this.draw();
      if (this.#panel.hidden) find(document, "#grid").focus();
    });
    // What waits is lost with the page.
    window.addEventListener("beforeunload", (event) => outbox.late.length > 0 && event.preventDefault());
  }

  /** What was refused names what nobody here may see any more. */
  withdraw() {
    this.#refused.clear();
    this.draw();
  }

  draw() {
    const late = this.#outbox.late;
    const shown = [...this.#refused.keys(), ...late];
    for (const [write, item] of this.#items)
      if (!shown.includes(write)) {
        const next = /** @type {HTMLElement | null} */ (item.nextElementSibling ?? item.previousElementSibling);
        if (item.contains(document.activeElement)) /** @type {HTMLElement} */ (next?.querySelector("button") ?? find(document, "#grid")).focus();
        item.remove();
        this.#items.delete(write);
      }
    for (const write of shown) this.#draw(write);
    this.#panel.hidden = shown.length === 0;
    const all = find(this.#panel, ".discard-all");
    all.hidden = shown.length < 2;
    setText(all, late.length ? "Discard all" : "Dismiss all");
    const many = late.length === 1 ? "1 change waits" : `${late.length} changes wait`;
    const some = this.#refused.size === 1 ? "1 change was refused." : `${this.#refused.size} changes were refused.`;
    const waits = late.some(({ state }) => state === "waiting") ? ` for the ${late.some(({ error }) => error) ? "server" : "connection"}.` : " to be confirmed.";
    setText(find(this.#panel, ".icon"), late.length ? "◷" : "◆");
    setText(find(this.#panel, ".text"), [late.length ? many + waits : "", this.#refused.size ? some : ""].filter(Boolean).join(" "));
  }

  /** @param {Write} write */
  #draw(write) {
    const why = this.#refused.get(write);
    let item = this.#items.get(write);
    if (item === undefined) {
      item = instantiate("outbox-item");
      find(item, "button").addEventListener("click", () => this.#discard(write));
      this.#items.set(write, item);
    }
    const what = this.#describe(write);
    if (!item.isConnected) {
      this.#list.append(item);
      if (why === undefined) announce(`${what}: waits for the connection.`);
    }
    item.classList.toggle("refused", why !== undefined);
    setText(find(item, ".what"), what);
    setText(find(item, ".why"), why ?? write.error?.message ?? "");
    const button = /** @type {HTMLButtonElement} */ (find(item, "button"));
    const sending = why === undefined && write.state === "sending";
    button.setAttribute("aria-disabled", String(sending));
    const word = why === undefined ? "Discard" : "Dismiss";
    setText(button, word);
    button.ariaLabel = `${word}: ${what}`;
  }

  /** @param {Write} write */
  #discard(write) {
    if (!this.#refused.delete(write) && !this.#outbox.discard(write)) return;
    announce(`${this.#describe(write)}: discarded.`);
    this.draw();
  }

  /** @param {Write} write */
  #describe({ stream, action, pk, data, base }) {
    const row = pk === null ? data : this.#streams[stream]?.rows.get(pk);
    const kind = /** @type {import("./kinds.js").KindName} */ (stream);
    const shown = (/** @type {unknown} */ value) => format(kind, value, row ?? {});
    const name = row?.name ?? pk;
    if (action === "create") return `Add ${name} = ${shown(data.value)}`;
    if (action === "delete") return `Delete ${name}`;
    return `${name}: ${shown(base?.value)} → ${shown(data.value)}`;
  }
}
