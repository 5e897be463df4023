import { connect, initialRows } from "../index.js";
import { standing } from "../standing.js";
import { say } from "./say.js";

/** A page that moves its elements about takes them out and puts them in again (ms). */
const GRACE = 1000;

/**
 * @typedef {object} Held
 * @property {import("../stream.js").Stream} stream
 * @property {number} users
 * @property {number} timer
 *
 * @typedef {object} Line
 * @property {import("../connection.js").Connection} connection
 * @property {Map<string, Held>} streams
 */

/** @type {Map<string, Line>} */
const lines = new Map();

/**
 * The connection to that address which the page's elements share; for scripts, too.
 *
 * @param {string} url  Relative to the page.
 * @returns {import("../connection.js").Connection}
 */
export function shared(url) {
  return line(url).connection;
}

/** @param {string} url */
function line(url) {
  const address = new URL(url, document.baseURI).href;
  let held = lines.get(address);
  if (held === undefined) {
    held = { connection: connect(address), streams: new Map() };
    held.connection.on("error", (error) => console.warn(error.message)); // Shown by the elements.
    held.connection.on("state", (status) => {
      if (standing(status, "idle") === "logged out") say("You have been logged out. Log in again to see live values.");
    });
    lines.set(address, held);
  }
  return held;
}

/**
 * Use a stream until what is returned is called; it is subscribed for as long as anybody does.
 *
 * @param {string} url
 * @param {string} name
 * @param {Record<string, unknown>} [params]
 * @returns {{connection: import("../connection.js").Connection, stream: import("../stream.js").Stream, leave: () => void}}
 */
export function use(url, name, params) {
  const { connection, streams } = line(url);
  const before = streams.get(name);
  if (before?.users === 0 && JSON.stringify(before.stream.params) !== JSON.stringify(params ?? {})) end(streams, name, before);
  const stream = connection.stream(name, { params, initial: streams.has(name) ? null : initialRows(name) });
  let held = streams.get(name);
  if (held === undefined || held.stream !== stream) streams.set(name, (held = { stream, users: 0, timer: 0 }));
  const mine = held;
  mine.users++;
  window.clearTimeout(mine.timer);
  let left = false;
  const leave = () => {
    if (left) return;
    left = true;
    if (--mine.users > 0) return;
    mine.timer = window.setTimeout(() => end(streams, name, mine), GRACE);
  };
  return { connection, stream, leave };
}

/**
 * Nobody uses it any more.
 *
 * @param {Map<string, Held>} streams
 * @param {string} name
 * @param {Held} held
 */
function end(streams, name, held) {
  window.clearTimeout(held.timer);
  streams.delete(name);
  void held.stream.unsubscribe().catch(() => {});
}
