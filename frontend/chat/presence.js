import { find, setText } from "../dashboard/dom.js";
import { newKey } from "../databinding/key.js";
import { people } from "./order.js";

/** A third of the lease on the server; a hidden page's timers run once a minute, which is enough, too. */
const RENEW = 30_000;

/** Who is here: says that this page is, for as long as it lives, and shows them all. */
export class Presence {
  #stream;
  #handle;
  #key = newKey();
  #list = find(document, "#people");

  /**
   * @param {import("../databinding/stream.js").Stream} stream
   * @param {() => string} handle  Whose page this is; nobody's is shown nowhere.
   */
  constructor(stream, handle) {
    this.#stream = stream;
    this.#handle = handle;
    stream.on("change", () => this.draw());
    stream.on("state", ({ state }) => state === "live" && this.here());
    window.setInterval(() => this.here(), RENEW);
    window.addEventListener("pagehide", () => this.#gone());
    // A page that comes back as it was left, by the browser's "back".
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.here());
    this.draw();
  }

  /** Say so now: the name was given, or changed. */
  here() {
    const handle = this.#handle();
    if (handle === "" || this.#stream.state !== "live") return;
    // If it fails it is said again soon, and until then nobody would have to know.
    this.#stream.request("here", { key: this.#key, handle }).catch(() => {});
  }

  /** The page is left, and its websocket with it; a beacon outlives them. */
  #gone() {
    navigator.sendBeacon("gone/", new URLSearchParams({ key: this.#key }));
  }

  draw() {
    const names = people(this.#stream.rows.values());
    setText(find(document, "#people-count"), String(names.length));
    const shown = [...this.#list.children].map(({ textContent }) => textContent);
    if (JSON.stringify(shown) === JSON.stringify(names)) return;
    this.#list.replaceChildren(
      ...names.map((name) => {
        const item = document.createElement("li");
        item.dir = "auto";
        item.textContent = name;
        return item;
      }),
    );
  }
}
