/** The dashboard: one stream, a tile for each of its rows, and what the user may do with them. */
import { connect, DiscardedError, initialRows, RequestError } from "../databinding/index.js";
import { announce } from "./announce.js";
import { ConflictDialog } from "./conflict.js";
import { addDialog, deleteDialog } from "./dialogs.js";
import { find, neighbour, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { Grid } from "./grid.js";
import { OutboxPanel } from "./outbox.js";
import { reason } from "./reason.js";
import { Status } from "./status.js";

/**
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 * @typedef {import("./tile.js").Tile} Tile
 */

const live = connect("/stream/");
const ints = live.stream("intval", { initial: initialRows("intval") });
const askToDelete = deleteDialog(ints, live.outbox, leaving);
const conflicts = new ConflictDialog({ theirs, mine });
const grid = new Grid(find(document, "#grid"), {
  save: (tile, value) => save(tile, value, { value: tile.edit.base }),
  remove: (tile) => askToDelete(tile.pk),
  discard,
  resolve: (tile) => conflicts.open(tile),
});

new Status(live, ints);
new OutboxPanel(live.outbox, ints);
addDialog(ints, live.outbox, (pk) => requestAnimationFrame(() => focusTile(pk)));

grid.fill(ints.rows);
drawExtent();

ints.on("change", (change) => {
  grid.apply(change);
  conflicts.draw();
  drawExtent();
});
live.outbox.on("change", ({ late }) => {
  const waiting = late.filter(({ stream, action, state }) => stream === ints.name && action === "update" && state === "waiting");
  grid.queue(new Set(waiting.map(({ pk }) => pk)));
});
ints.on("state", ({ state }) => {
  // After the rows that came with it: those that changed while we were away say so themselves.
  if (state === "live") queueMicrotask(() => grid.resume());
  drawExtent();
});
live.on("state", ({ state, since }) => {
  if (state !== "live" && state !== "connecting") grid.interrupt(since);
});
// What a request of ours or the state of a stream tells, the page shows; the rest is for developers.
live.on("error", (error) => console.warn(error));

/**
 * @param {Tile} tile
 * @param {number} value
 * @param {{value: number | null} | null} expect  What the number was when editing began; null: whatever it is by now.
 */
async function save(tile, value, expect) {
  const { name } = tile.data;
  try {
    await ints.update(tile.pk, { value }, { expect });
    tile.edit.confirm();
    announce(`${name} saved: ${formatNumber(value)}.`);
  } catch (error) {
    // What was edited anew has been dealt with.
    if (!tile.edit.underway || tile.edit.desired !== value) return;
    const theirs = theirsOf(error);
    if (error instanceof DiscardedError) tile.edit.dismiss();
    else if (theirs === value) tile.edit.confirm(); // they wrote the same
    else if (theirs !== undefined) contest(tile);
    else {
      tile.edit.reject(reason(error));
      announce(`${name} not saved. ${reason(error)}`);
    }
  }
  grid.redraw(tile);
}

/**
 * The number as somebody else has made it, if that is why it wasn't saved.
 *
 * @param {unknown} error
 * @returns {number | undefined}
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
  tile.edit.mine();
  grid.redraw(tile);
  void save(tile, Number(tile.edit.desired), null);
}

/** @param {Tile} tile */
function discard(tile) {
  tile.edit.dismiss();
  for (const write of live.outbox.late)
    if (write.stream === ints.name && write.pk === tile.pk && write.action === "update") live.outbox.discard(write);
}

/**
 * The focus must not be lost with the tile it is in: it goes to the next one.
 *
 * @param {Pk} pk
 */
function leaving(pk) {
  const next = neighbour(grid.tiles.get(pk)?.element);
  return () => next?.focus();
}

/** @param {Pk} pk */
function focusTile(pk) {
  const tile = grid.tiles.get(pk);
  tile?.element.scrollIntoView({ block: "nearest" });
  tile?.value.focus();
}

/** How many there are; and if none, why. */
function drawExtent() {
  const { size } = ints.rows;
  const refused = ints.state === "refused";
  find(document, "#loading").hidden = ints.loaded || refused;
  find(document, "#empty").hidden = !ints.loaded || size > 0;
  setText(find(document, "#count"), ints.loaded ? (size === 1 ? "1 value" : `${formatNumber(size)} values`) : "");
}
