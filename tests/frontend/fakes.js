/** A world without a browser: time that tests move, sockets that tests answer. */
import { connect } from "../../frontend/databinding/index.js";

export class World {
  time = 1_000_000;
  isHidden = false;
  isOnline = true;
  luck = 0.5;
  /** @type {FakeWebSocket[]} */
  sockets = [];
  /** @type {unknown[]} */
  reported = [];
  #timers = new Map();
  #listeners = new Map();
  #frames = [];
  #lastTimer = 0;
  #lastKey = 0;

  constructor() {
    const world = this;
    this.platform = {
      WebSocket: class extends FakeWebSocket {
        constructor(url, protocol) {
          super(url, protocol);
          world.sockets.push(this);
        }
      },
      setTimeout: (callback, ms) => {
        this.#timers.set(++this.#lastTimer, { callback, at: this.time + ms });
        return this.#lastTimer;
      },
      clearTimeout: (timer) => void this.#timers.delete(timer),
      now: () => this.time,
      random: () => this.luck,
      uuid: () => `key-${++this.#lastKey}`,
      requestAnimationFrame: (callback) => void this.#frames.push(callback),
      hidden: () => this.isHidden,
      online: () => this.isOnline,
      listen: (type, listener) => {
        const listeners = this.#listeners.get(type) ?? new Set();
        this.#listeners.set(type, listeners.add(listener));
        return () => listeners.delete(listener);
      },
      report: (error) => void this.reported.push(error),
    };
  }

  /** The newest socket. */
  get socket() {
    return this.sockets.at(-1);
  }

  connect(options) {
    return connect("ws://test/stream/", options, this.platform);
  }

  /** Time passes; timers run when they are due, in order. */
  pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (due === undefined) break;
      this.time = Math.max(this.time, due[1].at);
      this.#timers.delete(due[0]);
      due[1].callback();
    }
    this.time = end;
  }

  /** The machine sleeps: the clock goes on, timers don't run. They are due that much later. */
  sleep(ms) {
    this.time += ms;
  }

  /** The browser paints. */
  paint() {
    for (const callback of this.#frames.splice(0)) callback();
    this.pass(0);
  }

  happen(type) {
    for (const listener of this.#listeners.get(type) ?? []) listener();
  }

  hide(hidden) {
    this.isHidden = hidden;
    this.happen("visibilitychange");
  }
}

class FakeWebSocket {
  /** @type {string[]} Texts the client sent. */
  sent = [];
  closed = false;

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
  }

  send(text) {
    this.sent.push(text);
  }

  close() {
    this.closed = true;
  }

  /** The server accepts. */
  open() {
    this.onopen?.({});
  }

  /** The server sends. */
  receive(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  /** The server answers request `id`. */
  reply(id, payload, stream = "intval") {
    this.receive({ stream, payload: { request_id: id, response_status: 200, errors: [], data: null, ...payload } });
  }

  snapshot(items, cursor, stream = "intval") {
    const rows = items.map(([pk, data]) => ({ pk, data }));
    this.receive({ stream, payload: { action: "snapshot", items: rows, complete: true }, cursor });
  }

  batch(events, cursor, stream = "intval") {
    this.receive({ stream, payload: { action: "batch", events }, cursor });
  }

  /** The connection ends. */
  end(code = 1006) {
    this.onclose?.({ code });
  }

  /** Frames the client sent, without its heartbeat. */
  get frames() {
    return this.sent.filter((text) => text !== "ping").map((text) => JSON.parse(text));
  }

  get pings() {
    return this.sent.filter((text) => text === "ping").length;
  }

  /** Payloads of an action that the client sent. */
  payloads(action) {
    return this.frames.map(({ payload }) => payload).filter((payload) => payload.action === action);
  }
}

/** A world with one stream that is live and holds `rows`. */
export function liveWorld(rows = [[1, { name: "a", value: 1 }]], options) {
  const world = new World();
  const live = world.connect(options);
  const ints = live.stream("intval");
  world.socket.open();
  world.socket.receive("pong!");
  world.socket.reply(1, { action: "subscribe", data: { resumed: false } });
  world.socket.snapshot(rows, "c1");
  return { world, live, ints };
}

/** Record the events of a name. */
export function record(emitter, name) {
  const events = [];
  emitter.on(name, (event) => events.push(event));
  return events;
}
