import { find, instantiate, setText } from "../dashboard/dom.js";
import { formatMoment } from "../dashboard/format.js";
import { parts } from "./text.js";

/** @typedef {import("./order.js").Shown} Shown */

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const STATES = { sent: "", pending: "⟳ Sending", waiting: "◷ Waiting for the connection", failed: "◆ Not sent" };
/** So near the end (px) it is followed; so near the beginning older messages are asked for. */
const NEAR_END = 48;
const NEAR_BEGINNING = 400;
/** For how long older messages that come in aren't read out (ms). */
const HUSHED = 1000;

/**
 * The messages on the page. What somebody reads stays where it is: new messages don't move it, nor do older ones that
 * come in above, unless the reader is at the end.
 */
export class Log {
  #list = find(document, "#log");
  #scroller = find(document, "#scroller");
  #pill = find(document, "#news");
  #beginning = find(document, "#beginning");
  /** @type {Map<string, HTMLElement>} By the messages' keys. */
  #elements = new Map();
  #unread = 0;
  #hushed = 0;
  #following = true;
  #actions;

  /** @param {{again: (key: string) => void, discard: (key: string) => void, older: () => void}} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#pill.addEventListener("click", () => this.follow());
    // The window, a phone's keyboard, or the composer grew or shrank.
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(this.#scroller);
  }

  /** Whether the reader is at the end. */
  get following() {
    return this.#following;
  }

  /** Go to the end, and stay there. */
  follow() {
    this.#following = true;
    this.#unread = 0;
    this.#drawPill();
    this.#toEnd();
  }

  /**
   * @param {Shown[]} messages
   * @param {string} handle  The reader's own.
   * @param {string} beginning  What stands above the oldest of them; empty: there are older ones.
   * @param {{unread?: number, quietly?: boolean}} [how]
   *     unread: so many of them are news · quietly: they aren't to be read out, since they are old
   */
  draw(messages, handle, beginning, { unread = 0, quietly = false } = {}) {
    if (quietly) this.#hush();
    const anchor = this.#following ? null : this.#topmost();
    const keys = new Set(messages.map(({ key }) => key));
    for (const [key, element] of this.#elements)
      if (!keys.has(key)) {
        if (element.contains(document.activeElement)) this.#scroller.focus();
        element.remove();
        this.#elements.delete(key);
      }
    let next = this.#list.firstElementChild;
    for (const message of messages) {
      const element = this.#elements.get(message.key) ?? this.#make(message.key);
      this.#fill(element, message, message.handle === handle);
      if (element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(element, next);
    }
    this.#beginning.hidden = beginning === "";
    setText(this.#beginning, beginning);
    if (this.#following) this.#toEnd();
    else if (anchor !== null && anchor.element.isConnected)
      this.#scroller.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    if (!this.#following) this.#unread += unread;
    this.#drawPill();
    this.#askForOlder();
  }

  /** @param {string} key */
  #make(key) {
    const element = instantiate("message-template");
    this.#elements.set(key, element);
    find(element, ".again").addEventListener("click", () => this.#actions.again(key));
    find(element, ".discard").addEventListener("click", () => this.#actions.discard(key));
    return element;
  }

  /**
   * @param {HTMLElement} element
   * @param {Shown} message
   * @param {boolean} own
   */
  #fill(element, { handle, message, timestamp, state, reason }, own) {
    element.dataset.state = state;
    element.classList.toggle("own", own);
    setText(find(element, ".handle"), handle);
    const time = /** @type {HTMLTimeElement} */ (find(element, "time"));
    if (time.dateTime !== timestamp) {
      const written = new Date(timestamp);
      time.dateTime = timestamp;
      time.title = formatMoment(written.getTime());
      setText(time, (written.toDateString() === new Date().toDateString() ? hour : date).format(written));
    }
    const text = find(element, ".text");
    if (text.textContent !== message) text.replaceChildren(...parts(message).map((part) => (typeof part === "string" ? part : link(part))));
    setText(find(element, ".state"), STATES[state]);
    find(element, ".failure").hidden = state !== "failed";
    setText(find(element, ".reason"), reason);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (this.#following) this.#unread = 0;
    this.#drawPill();
    this.#askForOlder();
  }

  #askForOlder() {
    if (!this.#following && this.#scroller.scrollTop < NEAR_BEGINNING) this.#actions.older();
  }

  /** What comes in now isn't to be read out. Screen readers look a moment later than it is drawn. */
  #hush() {
    this.#scroller.ariaLive = "off";
    window.clearTimeout(this.#hushed);
    this.#hushed = window.setTimeout(() => (this.#scroller.ariaLive = "polite"), HUSHED);
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #drawPill() {
    this.#pill.hidden = this.#following || this.#unread === 0;
    setText(this.#pill, `↓ ${this.#unread === 1 ? "1 new message" : `${this.#unread} new messages`}`);
  }

  /** The first message in sight, and where it is: what is read. */
  #topmost() {
    const { top } = this.#scroller.getBoundingClientRect();
    for (const element of this.#list.children) {
      const place = element.getBoundingClientRect();
      if (place.bottom > top) return { element, top: place.top };
    }
    return null;
  }
}

/** @param {{text: string, href: string}} part */
function link({ text, href }) {
  const anchor = document.createElement("a");
  anchor.href = href;
  anchor.rel = "noopener nofollow ugc";
  anchor.target = "_blank";
  anchor.textContent = text;
  return anchor;
}
