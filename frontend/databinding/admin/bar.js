import { standing } from "../standing.js";

/** Words that are gone within this are not worth being read out (ms). */
const ANNOUNCE_AFTER = 1500;

/** @type {Record<import("../standing.js").Standing, {icon: string, word: string, why: string}>} */
const LOOKS = {
  connecting: { icon: "⟳", word: "Connecting", why: "" },
  "catching up": { icon: "⟳", word: "Catching up", why: "" },
  live: { icon: "●", word: "Live", why: "" },
  reconnecting: { icon: "▲", word: "Reconnecting", why: "What stands below may be old." },
  offline: { icon: "◆", word: "Offline", why: "What stands below may be old." },
  ended: { icon: "◆", word: "Disconnected", why: "Reload the page to go on." },
  "logged out": { icon: "⊘", word: "Logged out", why: "Reload the page to log in again." },
  refused: { icon: "◆", word: "No permission", why: "Reload the page to see what you may." },
};

/** What the page says of itself: how the connection stands, who else is here, what there is to apply. */
export class Bar {
  element = document.createElement("section");
  #status = paragraph("live-status");
  #news = paragraph("live-news");
  #actions = document.createElement("span");
  #people = document.createElement("ul");
  #live;
  #stream;
  #timer = 0;
  #refused = "";
  /** @type {import("../standing.js").Standing} */
  #spoken = "connecting";
  #announcer = paragraph("live-unseen");

  /**
   * @param {import("../connection.js").Connection} live
   * @param {import("../stream.js").Stream} stream
   * @param {HTMLElement} form  It stands before this.
   */
  constructor(live, stream, form) {
    this.#live = live;
    this.#stream = stream;
    this.element.className = "live-bar";
    this.element.setAttribute("aria-label", "Live updates");
    this.#actions.className = "live-actions";
    this.#people.className = "live-people";
    this.#people.setAttribute("aria-label", "Also here");
    this.#people.hidden = true;
    this.#news.setAttribute("role", "status");
    this.#announcer.setAttribute("role", "status");
    this.element.append(this.#status, this.#news, this.#actions, this.#people, this.#announcer);
    form.before(this.element);
    live.on("state", () => this.draw());
    stream.on("state", () => this.draw());
    live.on("error", () => {}); // Said by the states.
    this.draw();
  }

  /** The admin itself doesn't answer any more: why. */
  refuse(why = "") {
    this.#refused = why;
    this.draw();
  }

  draw() {
    const stands = standing(this.#live.status, this.#stream.state);
    const now = this.#refused ? "refused" : stands;
    document.body.classList.toggle("live-withdrawn", stands === "logged out" || stands === "refused");
    const { icon, word, why } = LOOKS[now];
    document.body.dataset.live = now;
    const text = [word, this.#refused || why].filter(Boolean).join(". ");
    this.#status.replaceChildren(symbol(icon), ` ${text}`);
    window.clearTimeout(this.#timer);
    if (now === this.#spoken) return;
    this.#timer = window.setTimeout(() => {
      // That a page comes up live is what everybody expects.
      if (now !== "live" || this.#spoken !== "connecting") this.#announcer.textContent = text;
      this.#spoken = now;
    }, ANNOUNCE_AFTER);
  }

  /**
   * What there is to say, and what can be done about it.
   *
   * @param {string} text
   * @param {...HTMLElement} actions
   */
  tell(text, ...actions) {
    if (this.#news.textContent !== text) this.#news.textContent = text;
    this.#actions.replaceChildren(...(text === "" ? [] : actions));
    this.element.classList.toggle("live-told", text !== "");
  }

  /** @param {string[]} people */
  people(people) {
    this.#people.hidden = people.length === 0;
    this.#people.replaceChildren(
      ...people.map((name) => {
        const item = document.createElement("li");
        item.append(symbol(""), ` ${name}`);
        return item;
      }),
    );
  }
}

/** @param {string} className */
function paragraph(className) {
  const element = document.createElement("p");
  element.className = className;
  return element;
}

/**
 * A character that is seen, not read out.
 *
 * @param {string} character
 */
export function symbol(character) {
  const element = document.createElement("span");
  element.setAttribute("aria-hidden", "true");
  element.textContent = character;
  return element;
}

/**
 * @param {string} text
 * @param {() => void} press
 */
export function button(text, press) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "button live-button";
  element.textContent = text;
  element.addEventListener("click", press);
  return element;
}
