/**
 * The live pages of a Django admin: a change list, or a change form. What they have to know stands in the page, put there
 * by `LiveAdminMixin`; what is drawn is drawn by the admin itself.
 */
import { connect } from "../index.js";
import { Bar } from "./bar.js";
import { ChangeForm } from "./form.js";
import { ChangeList } from "./list.js";
import { Presence } from "./presence.js";

/**
 * @typedef {object} Page
 * @property {"list" | "form"} kind
 * @property {string} stream
 * @property {string} socket
 * @property {string} rows  Where the rows that changed are asked for.
 * @property {string} gone  Where a page that is left says so.
 * @property {string} list  The change list's address.
 * @property {string} user
 * @property {string[]} [pks]  Of a list: the rows, in their order.
 * @property {string} [pk]  Of a form: its row.
 * @property {boolean} bound  It came back with what its user had said, which isn't saved.
 */

function begin() {
  const said = document.getElementById("live-admin");
  const form = /** @type {HTMLFormElement | null} */ (
    document.querySelector("#changelist-form, #content-main form[method=post]")
  );
  if (said === null || form === null) return;
  /** @type {Page} */
  const page = JSON.parse(said.textContent ?? "");
  const live = connect(page.socket);
  const stream = live.stream(page.stream);
  const bar = new Bar(live, stream, form);
  const presence = new Presence(live, page, bar);
  if (page.kind === "list") new ChangeList(page, form, stream, bar, presence);
  else new ChangeForm(page, form, stream, bar, presence);
}

begin();
