import { standing } from "../databinding/standing.js";
import { announce } from "./announce.js";
import { find, setText } from "./dom.js";
import { formatClock } from "./format.js";

/**
 * @typedef {import("../databinding/standing.js").Standing} Standing
 *
 * @typedef {object} Rows  A stream, or several taken together.
 * @property {import("../databinding/stream.js").StreamState} state
 * @property {Error | null} error
 * @property {boolean} loaded
 * @property {(event: "state", listener: () => void) => unknown} on
 */

/** @type {Record<Standing, {icon: string, word: string}>} */
const LOOKS = {
  connecting: { icon: "⟳", word: "Connecting" },
  "catching up": { icon: "⟳", word: "Catching up" },
  live: { icon: "●", word: "Live" },
  reconnecting: { icon: "▲", word: "Reconnecting" },
  offline: { icon: "◆", word: "Offline" },
  ended: { icon: "◆", word: "Disconnected" },
  "logged out": { icon: "⊘", word: "Logged out" },
  refused: { icon: "◆", word: "No access" },
};

/** Words that are gone within this are not worth being read out (ms). */
const ANNOUNCE_AFTER = 1500;

/** The connection as the page shows it: the pill, the banner with its reason, the document's title. */
export class Status {
  #live;
  #stream;
  #words;
  #title = document.title;
  #pill = find(document, "#status");
  #banner = find(document, "#banner");
  #retry = find(document, "#retry");
  #again = this.#retry.textContent ?? "";
  /** Why the server can't serve the rows just now: until it does. @type {Error | null} */
  #trouble = null;
  /** @type {Standing} */
  #spoken = "connecting";
  #timer = 0;
  /** The moment of the past that is shown, in words. @type {string | null} */
  #past = null;

  /**
   * @param {import("../databinding/connection.js").Connection} live
   * @param {Rows} stream
   * @param {{stale: string, refused?: string}} [words]  What to say of rows that were left by the connection; of those that
   *     may not be seen, where the page doesn't say that itself.
   */
  constructor(live, stream, words = { stale: "The numbers below are from then." }) {
    this.#live = live;
    this.#stream = stream;
    this.#words = words;
    live.on("state", () => this.draw());
    live.on("latency", () => this.draw());
    stream.on("state", () => this.draw());
    this.#retry.addEventListener("click", () => this.#act());
    window.setInterval(() => this.#drawBanner(), 1000);
    this.draw();
  }

  /** @param {string | null} past  What is shown isn't live: the moment, in words. */
  travel(past) {
    this.#past = past;
    this.draw();
  }

  draw() {
    const now = standing(this.#live.status, this.#stream.state);
    if (now !== "catching up") this.#trouble = null;
    else this.#trouble = this.#stream.error ?? this.#trouble;
    const { icon, word } = this.#past === null ? LOOKS[now] : { icon: "↶", word: "Past" };
    document.body.dataset.standing = now;
    setText(find(this.#pill, ".icon"), icon);
    setText(find(this.#pill, ".word"), word);
    const { latency } = this.#live;
    setText(find(this.#pill, ".latency"), this.#past ?? (now === "live" && latency !== null ? `${Math.max(1, Math.round(latency))} ms` : ""));
    const title = now === "live" && this.#past === null ? this.#title : `${icon} ${this.#past ?? word} – ${this.#title}`;
    if (document.title !== title) document.title = title;
    this.#drawBanner();
    this.#speak(now, now === "logged out" ? `You have been logged out. ${find(this.#banner, ".text").textContent}` : LOOKS[now].word);
  }

  #drawBanner() {
    const { state, since, retryAt, reason } = this.#live.status;
    const refused = this.#stream.state === "refused" && state === "live" && this.#words.refused !== undefined;
    const trouble = this.#trouble;
    const shown = state === "reconnecting" || state === "offline" || state === "closed" || refused || trouble !== null;
    this.#banner.hidden = !shown;
    if (!shown) return;
    setText(find(this.#banner, ".icon"), trouble ? "▲" : LOOKS[standing(this.#live.status, this.#stream.state)].icon);
    const from = formatClock(since);
    const asOf = this.#stream.loaded && this.#past === null ? ` ${this.#words.stale}` : "";
    const wait = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const next = wait > 0 ? ` Next try in ${wait} s.` : " Trying now…";
    let text;
    if (trouble) text = `The server has trouble: ${trouble.message} What is below may be old. It is asked again and again.`;
    else if (refused) text = `${this.#words.refused}: ${this.#stream.error?.message}`;
    else if (reason === "session over") text = `Your session ended at ${from}.${asOf} ${this.#retry.dataset.login ? "Log in again" : "Reload the page"} to go on.`;
    else if (reason === "forbidden") text = `Your rights changed at ${from}.${asOf} Reload the page to see what you may.`;
    else if (state === "closed") text = `Disconnected at ${from}.${asOf}`;
    else if (reason === "too fast") text = `The server turned this page away at ${from}: too fast, or too many open.${asOf}${next}`;
    else text = `${state === "offline" ? "Offline since" : "Connection lost at"} ${from}.${asOf}${next}`;
    setText(find(this.#banner, ".text"), text);
    setText(this.#retry, reason === "session over" && this.#retry.dataset.login ? "Log in" : state === "closed" && reason !== null ? "Reload" : this.#again);
    this.#retry.hidden = refused || trouble !== null || reason === "too fast" || (state !== "closed" && wait === 0);
  }

  /** To connect anew is enough, unless it is somebody else now, or with other rights. */
  #act() {
    const { state, reason } = this.#live.status;
    if (state !== "closed" || reason === null) this.#live.reconnect();
    else if (reason === "session over" && this.#retry.dataset.login) window.location.assign(this.#retry.dataset.login);
    else window.location.reload();
  }

  /**
   * @param {Standing} now
   * @param {string} word
   */
  #speak(now, word) {
    window.clearTimeout(this.#timer);
    if (now === this.#spoken) return;
    this.#timer = window.setTimeout(() => {
      // That a page comes up live is what everybody expects.
      if (now !== "live" || this.#spoken !== "connecting") announce(word, "connection");
      this.#spoken = now;
    }, ANNOUNCE_AFTER);
  }
}
