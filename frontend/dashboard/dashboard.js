/** The dashboard: one stream, a tile for each of its rows, and what the user may do with them. */
import { connect, initialRows, UnknownOutcomeError } from "../databinding/index.js";
import { announce } from "./announce.js";
import { addDialog, deleteDialog } from "./dialogs.js";
import { find, neighbour, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { Grid } from "./grid.js";
import { reason } from "./reason.js";
import { Status } from "./status.js";

/** @typedef {import("../databinding/protocol.js").Pk} Pk */

const live = connect("/stream/");
const ints = live.stream("intval", { initial: initialRows("intval") });
const askToDelete = deleteDialog(ints, leaving);
const grid = new Grid(find(document, "#grid"), { save, remove: (tile) => askToDelete(tile.pk) });

new Status(live, ints);
addDialog(ints, (pk) => requestAnimationFrame(() => focusTile(pk)));

grid.fill(ints.rows);
drawExtent();

ints.on("change", (change) => {
  grid.apply(change);
  drawExtent();
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
 * @param {import("./tile.js").Tile} tile
 * @param {number} value
 */
async function save(tile, value) {
  const { name } = tile.data;
  try {
    await ints.update(tile.pk, { value });
    tile.edit.confirm();
    announce(`${name} saved: ${formatNumber(value)}.`);
  } catch (error) {
    if (error instanceof UnknownOutcomeError) {
      tile.edit.lose();
      if (ints.state === "live") tile.edit.settle(tile.data.value); // it was the answer that was lost, not the connection
    } else tile.edit.reject(reason(error));
    announce(`${name} not saved. ${reason(error)}`);
  }
  grid.redraw(tile);
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
