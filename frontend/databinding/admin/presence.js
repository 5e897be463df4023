/** A third of the lease on the server; a hidden page's timers run once a minute, which is enough, too. */
const RENEW = 30_000;
/** As the row is left and the next is entered, one word is enough (ms). */
const SETTLE = 150;

/** Who is at which row: says where this page is, for as long as it lives, and shows the others. */
export class Presence {
  #stream;
  #page;
  #bar;
  #row = "";
  #timer = 0;
  #key = newKey();
  /** @type {import("../protocol.js").Pk | null} Our own, which isn't shown. */
  #mine = null;
  /** @type {(people: Map<string, string[]>) => void} */
  #draw = () => {};

  /**
   * @param {import("../connection.js").Connection} live
   * @param {import("./live.js").Page} page
   * @param {import("./bar.js").Bar} bar
   */
  constructor(live, page, bar) {
    this.#page = page;
    this.#bar = bar;
    this.#row = page.pk ?? "";
    this.#stream = live.stream("presence", { params: { place: page.stream } });
    this.#stream.on("change", () => this.draw());
    this.#stream.on("error", () => {}); // Said by the states.
    this.#stream.on("state", ({ state }) => state === "live" && this.#say());
    window.setInterval(() => this.#say(), RENEW);
    window.addEventListener("pagehide", () => this.#gone());
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.#say());
  }

  /**
   * Have those at each row drawn, by its primary key ("" is the list), whenever they change.
   *
   * @param {(people: Map<string, string[]>) => void} draw
   */
  onChange(draw) {
    this.#draw = draw;
    this.draw();
  }

  /**
   * This page is at that row now.
   *
   * @param {string} row
   */
  at(row) {
    if (row === this.#row) return;
    this.#row = row;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#say(), SETTLE);
  }

  async #say() {
    if (this.#stream.state !== "live") return;
    const said = { place: this.#page.stream, row: this.#row, key: this.#key };
    // If it fails it is said again soon, and until then nobody would have to know.
    const reply = await this.#stream.request("here", said).catch(() => null);
    if (reply?.data?.pk === undefined || reply.data.pk === this.#mine) return;
    this.#mine = reply.data.pk;
    this.draw();
  }

  /** The page is left, and its websocket with it; a beacon outlives them. */
  #gone() {
    const token = document.querySelector("input[name=csrfmiddlewaretoken]");
    const csrfmiddlewaretoken = token instanceof HTMLInputElement ? token.value : "";
    navigator.sendBeacon(this.#page.gone, new URLSearchParams({ key: this.#key, csrfmiddlewaretoken }));
  }

  draw() {
    const people = peopleByRow(othersOf(this.#stream.rows, this.#mine, this.#page.user), this.#page.user);
    this.#draw(people);
    const here = this.#page.kind === "form" ? (people.get(this.#page.pk ?? "") ?? []) : [...people.values()].flat();
    // One's own other windows are said at their rows alone.
    this.#bar.people([...new Set(here)].filter((name) => this.#page.kind === "form" || !name.startsWith(`${this.#page.user} (`)).sort());
  }
}

/**
 * Those who aren't this page. Which row is its own is told only after that has come: until then none of its user's is
 * another window. Pure.
 *
 * @param {ReadonlyMap<import("../protocol.js").Pk, any>} rows
 * @param {import("../protocol.js").Pk | null} mine
 * @param {string} self
 * @returns {{row: string, name: string}[]}
 */
export function othersOf(rows, mine, self) {
  const others = [...rows].filter(([pk, { name }]) => (mine === null ? name !== self : pk !== mine));
  return others.map(([, data]) => data);
}

/**
 * Those at each row, each name once. Pure.
 *
 * @param {{row: string, name: string}[]} rows
 * @param {string} self  Whose page this is: another page of theirs is said to be that.
 */
export function peopleByRow(rows, self) {
  /** @type {Map<string, string[]>} */
  const people = new Map();
  for (const { row, name } of rows) {
    const there = people.get(row) ?? [];
    const said = name === self ? `${name} (you, in another window)` : name;
    if (!there.includes(said)) there.push(said);
    people.set(row, there.sort());
  }
  return people;
}

/** Of a page that isn't served securely there is no `crypto.randomUUID`. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
