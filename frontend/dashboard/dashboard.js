/** The dashboard: a tile for each value, of whatever kind, and what the user may do with it. */
import { connect, DiscardedError, RequestError } from "../databinding/index.js";
import { parameters, write } from "./address.js";
import { announce } from "./announce.js";
import { ConflictDialog } from "./conflict.js";
import { addDialog, deleteDialog } from "./dialogs.js";
import { embedded, find, neighbour, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { Grid } from "./grid.js";
import { formatWithUnit, KINDS } from "./kinds.js";
import { OwnOrder } from "./order.js";
import { OutboxPanel } from "./outbox.js";
import { Panel } from "./panel.js";
import { shortly, ShortPasts } from "./past.js";
import { Pins } from "./pins.js";
import { reason } from "./reason.js";
import { Status } from "./status.js";
import { Toolbar } from "./toolbar.js";
import { Values } from "./values.js";

/**
 * @typedef {import("./tile.js").Tile} Tile
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {import("./kinds.js").Value} Value
 */

/** @type {Record<KindName, string[]>} What the user may do with values of each kind. */
const rights = embedded("rights") ?? {};
/** ms by which the server's clock is behind ours, as far as the page's way here tells. */
const skew = Date.now() - 1000 * (embedded("now") ?? Date.now() / 1000);

/** @type {Promise<unknown> | null} */
let mover = null;
/** @type {Promise<import("./travel.js").Travel> | null} */
let travelling = null;
/** Changes of values that were lost as the connection was closed for good. */
let lost = 0;

const live = connect("/stream/");
const values = new Values(live);
const pins = new Pins();
const order = new OwnOrder();
const pasts = new ShortPasts(() => shortly((Date.now() - skew) / 1000));
const askToDelete = deleteDialog(values.streams, live.outbox, leaving);
const conflicts = new ConflictDialog({ theirs, mine });
/** @type {import("./grid.js").GridEvents} */
const events = {
  save: (tile, value) => save(tile, value, { value: tile.edit.base }),
  remove: (tile) => askToDelete(tile),
  discard,
  resolve: (tile) => conflicts.open(tile),
  open: (tile) => panel.open(tile),
  pin,
  may: (kind, action) => rights[kind]?.includes(action) ?? false,
  skew: () => skew,
  seen: (tile) => tile.kind !== "textval" && pasts.want(tile.kind, tile.pk, (past) => tile.remember(past)),
  judged: tellOfThreshold,
  place: (id) => order.rank(id),
};
const grid = new Grid(find(document, "#grid"), events);
const panel = new Panel(grid, {
  skew: events.skew,
  restore: (tile, value) => values.streams[tile.kind].update(tile.pk, { value }),
  pin,
  edit: (tile) => {
    grid.reveal(tile);
    tile.parts.value.click();
  },
  remove: (tile) => askToDelete(tile),
  may: (kind, action) => document.body.dataset.past === undefined && (rights[kind]?.includes(action) ?? false),
});
const toolbar = new Toolbar(grid, arrangeByHand);
const status = new Status(live, values);

const outbox = new OutboxPanel(live.outbox, values.streams);
addDialog(values.streams, live.outbox, rights, (kind, pk) => requestAnimationFrame(() => focusTile(`${kind}/${pk}`)));

for (const kind of KINDS) {
  const about = (/** @type {import("../databinding/protocol.js").Pk} */ pk) => values.about(kind, pk);
  const stream = values.streams[kind];
  grid.fill(kind, stream.rows, about);
  stream.on("change", (change) => {
    grid.apply(kind, change, about);
    for (const { pk } of change.created) pinAgain(`${kind}/${pk}`);
    conflicts.draw();
    panel.changed(kind, change);
    drawExtent();
  });
  stream.on("state", ({ state }) => {
    // After the rows that came with it: those that changed while we were away say so themselves.
    if (state === "live") queueMicrotask(() => grid.resume(kind));
    else if (state === "refused") void withdraw(kind);
    drawExtent();
  });
}
values.limits.on("change", ({ created, updated }) => {
  for (const { pk, data } of [...created, ...updated]) grid.describe("intval", pk, data);
});
for (const [kind, found] of Object.entries(embedded("pasts") ?? {}))
  for (const past of found) {
    const tile = grid.tiles.get(`${kind}/${past.pk}`);
    if (tile === undefined) continue;
    tile.asked = true;
    tile.remember(past);
  }
for (const id of pins.ids) pinAgain(id);
// Before the first paint: nobody is to take for the past what is live.
if (parameters().has("at")) document.body.dataset.past = "";
toolbar.begin();
grid.flush();
if (document.body.dataset.past === undefined) panel.follow();
drawExtent();
void travel();
window.addEventListener("popstate", () => void travel());
find(document, "#past").addEventListener("click", () => {
  const at = parameters().has("at") ? null : new Date(Date.now() - skew - 60_000).toISOString().replace(/\..*/, "Z");
  write({ at }, { back: true });
  void travel(true);
});

live.outbox.on("change", ({ late }) => {
  const waiting = late.filter(({ action, state }) => action === "update" && state === "waiting");
  grid.queue(new Set(waiting.map(({ stream, pk }) => `${stream}/${pk}`)));
});
live.on("state", ({ state, since, reason }) => {
  if (state !== "live" && state !== "connecting") grid.interrupt(since);
  if (reason === "session over") void withdraw();
  drawExtent();
});
// What a request of ours or the state of a stream tells, the page shows; the rest is for developers.
live.on("error", (error) => console.warn(error));

/**
 * @param {Tile} tile
 * @param {Value} value
 * @param {{value: Value | null} | null} expect  What the value was when editing began; null: whatever it is by now.
 */
async function save(tile, value, expect) {
  const { name } = tile.data;
  try {
    await values.streams[tile.kind].update(tile.pk, { value }, { expect });
    tile.edit.confirm();
    announce(`${name} saved: ${formatWithUnit(tile.kind, value, tile.about)}.`);
  } catch (error) {
    if (live.state === "closed") {
      setText(find(document, "#lost"), String(++lost));
      find(document, "#logged-out .error").hidden = false;
    }
    // What was edited anew has been dealt with.
    if (!tile.edit.underway || tile.edit.desired !== value) return;
    const theirs = theirsOf(error);
    if (error instanceof DiscardedError) tile.edit.dismiss();
    // They wrote the same.
    else if (theirs === value) tile.edit.confirm();
    else if (theirs !== undefined) contest(tile);
    else {
      tile.edit.reject(reason(error));
      announce(`${name} not saved. ${reason(error)}`);
    }
  }
  grid.redraw(tile);
}

/**
 * Who is here may not see them any more: nothing is left of them, whatever he was at.
 *
 * @param {KindName} [kind]  Those of one stream; else all.
 */
async function withdraw(kind) {
  const held = document.activeElement !== document.body;
  const all = !kind || values.state === "refused";
  if (all) {
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    outbox.withdraw();
    panel.withdraw();
  }
  grid.withdraw(kind);
  if (held && !kind) find(document, "#retry").focus();
  // So it is with the past.
  if (all) (await travelling)?.leave("");
  else if (document.body.dataset.past !== undefined) void travel();
}

/**
 * The value as somebody else has made it, if that is why it wasn't saved.
 *
 * @param {unknown} error
 * @returns {Value | undefined}
 */
function theirsOf(error) {
  return error instanceof RequestError && error.status === 409 ? error.data?.value : undefined;
}

/**
 * Somebody else changed it meanwhile. Who has just written is asked at once; who is busy elsewhere by now is told.
 *
 * @param {Tile} tile
 */
function contest(tile) {
  tile.edit.conflict();
  tile.draw(Date.now());
  announce(`${tile.data.name} not saved: somebody else has changed it meanwhile.`);
  if (tile.element.contains(document.activeElement)) conflicts.open(tile);
}

/** @param {Tile} tile */
function theirs(tile) {
  tile.cancel();
  announce(`${tile.data.name} left as it is.`);
}

/** @param {Tile} tile */
function mine(tile) {
  const { desired } = tile.edit;
  if (desired === null) return;
  tile.edit.mine();
  grid.redraw(tile);
  void save(tile, desired, null);
}

/** @param {Tile} tile */
function discard(tile) {
  tile.edit.dismiss();
  for (const write of live.outbox.late)
    if (write.stream === tile.kind && write.pk === tile.pk && write.action === "update") live.outbox.discard(write);
}

/** @param {Tile} tile */
function pin(tile) {
  tile.pinned = pins.toggle(tile.id);
  announce(`${tile.data.name} ${tile.pinned ? "pinned" : "no longer pinned"}.`);
  toolbar.grid.pinned(tile);
  const live = grid.tiles.get(tile.id);
  if (live === undefined || live === tile) return;
  live.pinned = tile.pinned;
  grid.pinned(live);
}

/** What few use is fetched when they do, here and below. */
function arrangeByHand() {
  mover ??= import("./mover.js").then(
    ({ Mover }) => new Mover(find(document, "#grid"), grid, order),
    () => (mover = null),
  );
}

/** Show the moment that the address says; live, if it says none. @param {boolean} [kept]  At least where something is kept. */
async function travel(kept = false) {
  const at = Date.parse(parameters().get("at") ?? "") / 1000;
  const problem = find(document, "#past-problem");
  problem.hidden = true;
  try {
    if (Number.isNaN(at)) {
      (await travelling)?.leave();
      delete document.body.dataset.past;
      return;
    }
    document.body.dataset.past = "";
    travelling ??= import("./travel.js").then(({ Travel }) => new Travel({ grid, events, toolbar, panel, status, pins }));
    (await travelling).go(at, kept);
  } catch (error) {
    travelling = null;
    delete document.body.dataset.past;
    problem.hidden = false;
    setText(problem, `▲ The past can't be shown: ${reason(error)}`);
  }
}

/** @param {string} id */
function pinAgain(id) {
  const tile = grid.tiles.get(id);
  if (tile === undefined || !pins.ids.has(id)) return;
  tile.pinned = true;
  grid.pinned(tile);
}

/**
 * Thresholds crossed are worth being read out; single values are not.
 *
 * @param {Tile} tile
 */
function tellOfThreshold(tile) {
  const { level, word } = tile.judgement;
  if (level === "ok") announce(`${tile.data.name} is fine again.`);
  else announce(`${tile.data.name} is ${word}: ${formatWithUnit(tile.kind, tile.data.value, tile.about)}.`);
}

/**
 * The focus must not be lost with the tile it is in: it goes to the next one.
 *
 * @param {string} id
 */
function leaving(id) {
  const next = neighbour(grid.tiles.get(id)?.element);
  return () => next?.focus();
}

/** @param {string} id */
function focusTile(id) {
  const tile = grid.tiles.get(id);
  if (tile === undefined) return;
  grid.reveal(tile);
  tile.focus();
}

/** How many there are; and if none, why. */
function drawExtent() {
  const { size, loaded, state, error } = values;
  const refused = state === "refused";
  const loggedOut = live.status.reason === "session over";
  const away = live.state !== "live" && live.state !== "connecting";
  find(document, "#loading").hidden = loaded || refused || away;
  find(document, "#unreached").hidden = loaded || refused || !away || loggedOut;
  find(document, "#logged-out").hidden = !loggedOut;
  find(document, "#refused").hidden = !refused || loggedOut;
  setText(find(document, "#refused .why"), refused ? error?.message ?? "" : "");
  find(document, "#empty").hidden = !loaded || refused || size > 0;
  find(document, "#tools").hidden = size === 0;
  setText(find(document, "#count"), loaded && !refused ? (size === 1 ? "1 value" : `${formatNumber(size)} values`) : "");
}
