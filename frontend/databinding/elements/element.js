import { isLost, lookOf } from "./look.js";
import { schedule } from "./schedule.js";
import { use } from "./shared.js";
import { sheet } from "./style.js";

/** What elements have in common beside their address. */
const OBSERVED = ["stream", "pk", "url", "params", "field", "format", "unit", "label", "stale-after"];
/** What, if it changes, is another subscription. */
const ADDRESS = ["stream", "url", "params"];

/** The base of the live elements: a stream that is used while the element is in the page, and how it stands. */
export class LiveElement extends HTMLElement {
  static observedAttributes = OBSERVED;

  /** @type {ReturnType<typeof use> | null} */
  #used = null;
  /** @type {(() => void)[]} */
  #unlisten = [];
  /** @type {string | null} Why there is nothing to show: the attributes are wrong. */
  #wrong = null;
  #staleTimer = 0;
  /** When the row was last seen to change (ms). */
  #changed = 0;
  /** Is it in the page, and has it been told so? Its attributes are told before. */
  here = false;
  root;

  constructor() {
    super();
    this.root = this.attachShadow({ mode: "open" });
    this.root.adoptedStyleSheets = [sheet()];
  }

  connectedCallback() {
    this.here = true;
    this.#open();
    this.update();
  }

  disconnectedCallback() {
    this.here = false;
    this.#close();
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} now
   */
  attributeChangedCallback(name, before, now) {
    if (before === now || !this.here) return;
    if (ADDRESS.includes(name)) {
      this.#close();
      this.#open();
    }
    if (ADDRESS.includes(name) || name === "pk" || name === "field") this.restarted();
    this.update();
  }

  #open() {
    this.#wrong = null;
    const stream = this.getAttribute("stream");
    if (!stream) return this.#refuse("The attribute stream is missing");
    try {
      const said = this.getAttribute("params");
      this.#used = use(this.getAttribute("url") ?? defaultUrl(), stream, said === null ? undefined : JSON.parse(said));
    } catch (error) {
      return this.#refuse(error instanceof SyntaxError ? "The attribute params is no JSON" : String(/** @type {Error} */ (error).message));
    }
    this.#changed = Date.now();
    this.#unlisten = [
      this.#used.connection.on("state", () => {
        this.stood();
        this.update();
      }),
      this.#used.stream.on("state", () => {
        this.stood();
        this.update();
      }),
      this.#used.stream.on("change", (change) => {
        const mine = [...change.created, ...change.updated, ...change.deleted].some(({ pk }) => this.isMine(pk));
        if (mine) this.#changed = Date.now();
        if (mine || change.reset) {
          this.took(mine);
          this.update();
        }
      }),
    ];
  }

  #close() {
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
    window.clearTimeout(this.#staleTimer);
    this.#used?.leave();
    this.#used = null;
  }

  /** @param {string} why */
  #refuse(why) {
    this.#wrong = why;
  }

  /** @returns {ReadonlyMap<import("../protocol.js").Pk, import("../protocol.js").Data>} */
  get rows() {
    return this.#used?.stream.rows ?? new Map();
  }

  /** @returns {import("../protocol.js").Data | undefined} The row of the attribute `pk`. */
  get row() {
    const pk = this.getAttribute("pk");
    if (pk === null) return undefined;
    return this.rows.get(pk) ?? this.rows.get(Number(pk));
  }

  /** Is the connection up, and what is shown as the database has it? */
  get live() {
    return this.#used?.stream.state === "live";
  }

  /** Is what is shown from before: is the connection lost, or did the server refuse to go on? */
  get old() {
    if (this.#used === null) return false;
    const { connection, stream } = this.#used;
    return stream.error !== null || isLost(connection.status, stream.state);
  }

  /** @returns {import("./look.js").Look} */
  look() {
    if (this.#wrong !== null || this.#used === null) return { state: "wrong", icon: "◆", word: this.#wrong ?? "" };
    const { connection, stream } = this.#used;
    const limit = Number(this.getAttribute("stale-after")) * 1000;
    const due = this.#changed + limit - Date.now();
    window.clearTimeout(this.#staleTimer);
    if (limit > 0 && due > 0) this.#staleTimer = window.setTimeout(() => this.update(), due + 1);
    const staleSince = limit > 0 && due <= 0 ? this.#changed : null;
    return lookOf({ connection: connection.status, stream, there: this.isThere(), staleSince });
  }

  /** Draw soon, with whatever else is to be drawn. */
  update() {
    schedule(this, () => {
      if (!this.here) return;
      const look = this.look();
      if (this.dataset.state !== look.state) this.dataset.state = look.state;
      this.draw(look);
    });
  }

  // What each kind of element says for itself

  /** @param {import("../protocol.js").Pk} pk */
  isMine(pk) {
    return String(pk) === this.getAttribute("pk");
  }

  isThere() {
    return this.row !== undefined;
  }

  /** The stream, row or field is another one. */
  restarted() {}

  /** The connection or the stream stands otherwise. */
  stood() {}

  /**
   * Rows changed.
   *
   * @param {boolean} _mine
   */
  took(_mine) {}

  /** @param {import("./look.js").Look} _look */
  draw(_look) {}
}

/** Where the page's elements connect to, unless they say so: what `live_elements` put there. */
function defaultUrl() {
  return document.querySelector("script[data-live-url]")?.getAttribute("data-live-url") ?? "/stream/";
}
