/** A room of the chat: its messages, who is here, and what is written. */
import { connect, initialRows } from "../databinding/index.js";
import { announce } from "../dashboard/announce.js";
import { Status } from "../dashboard/status.js";
import { Composer } from "./composer.js";
import { newKey } from "../databinding/key.js";
import { Log } from "./log.js";
import { inOrder } from "./order.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";

/** Messages in the window at first, by which it grows, and the most: the binding's. */
const STEP = 50;
const MOST = 1000;

const live = connect(`/chat/${document.body.dataset.label}/`);
const messages = live.stream("chat", { initial: initialRows("chat") });
const presences = live.stream("presence", { initial: initialRows("presence") });
let limit = STEP;
let growing = false;
/** When the newest message was written that this page has shown: what is older is no news. */
let newest = newestOf(messages.rows.values());

const composer = new Composer({ write, renamed: () => presence.here() });
const presence = new Presence(presences, () => composer.handle);
const outbox = new Outbox(messages, live.outbox, (outgoing) => {
  draw();
  if (outgoing.state === "failed") announce(`Not sent. ${outgoing.reason}`);
});
const log = new Log({ again: (key) => withKey(key, "send"), discard: (key) => withKey(key, "discard"), older });

new Status(live, messages, { stale: "What is written meanwhile comes when it is back.", refused: "You have no access to this room" });
draw();

messages.on("change", ({ created, deleted, resumed, reset }) => {
  const news = created.filter(({ data }) => Date.parse(data.timestamp) > newest && !outbox.messages.has(data.key));
  newest = newestOf(messages.rows.values(), newest);
  draw({ unread: news.length, quietly: reset && growing });
  // Pushed out of the window while somebody reads further up: that is no reason to take it away.
  if (created.length && deleted.length && !log.following && !resumed) older();
});
// What waits is lost with the page.
window.addEventListener("beforeunload", (event) => live.outbox.late.length > 0 && event.preventDefault());
// What a request of ours or the state of a stream tells, the page shows; the rest is for developers.
live.on("error", (error) => console.warn(error));

/**
 * @param {Iterable<Record<string, any>>} rows
 * @param {number} [least]
 */
function newestOf(rows, least = 0) {
  return [...rows].reduce((latest, { timestamp }) => Math.max(latest, Date.parse(timestamp)), least);
}

/** @param {Parameters<Log["draw"]>[3]} [how] */
function draw(how) {
  log.draw(inOrder(messages.rows, outbox.messages.values()), composer.handle, beginning(), how);
}

function beginning() {
  if (!messages.loaded || messages.rows.size >= limit) return limit >= MOST ? "Older messages aren't shown." : "";
  return messages.rows.size + outbox.messages.size === 0 ? "Nobody has written yet." : "The room begins here.";
}

/**
 * @param {string} handle
 * @param {string} message
 */
function write(handle, message) {
  log.follow();
  void outbox.add({ key: newKey(), handle, message, timestamp: new Date().toISOString() });
}

/** Somebody scrolls up: the window grows. */
async function older() {
  if (growing || limit >= MOST || messages.rows.size < limit || messages.state !== "live") return;
  growing = true;
  const before = limit;
  limit = Math.min(MOST, limit + STEP);
  try {
    await messages.subscribe({ limit });
  } catch (error) {
    limit = before;
    console.warn(error);
  }
  growing = false;
  draw();
}

/**
 * @param {string} key
 * @param {"send" | "discard"} what
 */
function withKey(key, what) {
  const outgoing = outbox.messages.get(key);
  if (outgoing) void outbox[what](outgoing);
}
