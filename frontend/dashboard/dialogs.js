import { RequestError } from "../databinding/index.js";
import { announce } from "./announce.js";
import { find, setText } from "./dom.js";
import { formatNumber, parseWhole, whyNotWhole } from "./format.js";
import { reason } from "./reason.js";

/**
 * The form for a new value.
 *
 * @param {import("../databinding/stream.js").Stream} stream
 * @param {import("../databinding/outbox.js").Outbox} outbox
 * @param {(pk: import("../databinding/protocol.js").Pk) => void} added
 */
export function addDialog(stream, outbox, added) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("#add-dialog"));
  if (dialog === null) return;
  const form = /** @type {HTMLFormElement} */ (find(dialog, "form"));
  const name = /** @type {HTMLInputElement} */ (find(form, "[name=name]"));
  const value = /** @type {HTMLInputElement} */ (find(form, "[name=value]"));

  for (const button of document.querySelectorAll("[data-opens=add]"))
    button.addEventListener("click", () => {
      showErrors(form, {});
      dialog.showModal();
      name.focus();
    });
  closable(dialog);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const number = parseWhole(value.value || "0");
    if (!name.value.trim()) return showErrors(form, { name: ["Give it a name."] });
    if (number === null) return showErrors(form, { value: [whyNotWhole(value.value)] });
    showErrors(form, {});
    await busy(form, async () => {
      try {
        const created = stream.create({ name: name.value.trim(), value: number });
        const answer = await orLate(outbox, created);
        dialog.close();
        if (answer === null) return form.reset(); // the page shows it as waiting, and says so
        const { pk } = answer;
        announce(`${name.value.trim()} added.`);
        form.reset();
        if (pk !== null) added(pk);
      } catch (error) {
        showErrors(form, fieldsOf(error));
      }
    });
  });
}

/**
 * Asks before a value is deleted.
 *
 * @param {import("../databinding/stream.js").Stream} stream
 * @param {import("../databinding/outbox.js").Outbox} outbox
 * @param {(pk: import("../databinding/protocol.js").Pk) => () => void} leaving  Called before; what it returns, after.
 * @returns {(pk: import("../databinding/protocol.js").Pk) => void} opens it
 */
export function deleteDialog(stream, outbox, leaving) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("#delete-dialog"));
  if (dialog === null) return () => {};
  const form = /** @type {HTMLFormElement} */ (find(dialog, "form"));
  /** @type {import("../databinding/protocol.js").Pk} */
  let pk;
  closable(dialog);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = stream.rows.get(pk)?.name ?? "The value";
    const left = leaving(pk);
    await busy(form, async () => {
      try {
        if ((await orLate(outbox, stream.delete(pk))) === null) {
          dialog.close();
          return left();
        }
      } catch (error) {
        // Somebody else was faster: that is what was wanted.
        if (!(error instanceof RequestError && error.status === 404)) return showErrors(form, fieldsOf(error));
      }
      dialog.close();
      announce(`${name} deleted.`);
      left();
    });
  });

  return (chosen) => {
    pk = chosen;
    const row = stream.rows.get(pk);
    if (row === undefined) return;
    setText(find(dialog, ".subject"), row.name);
    setText(find(dialog, ".number"), formatNumber(row.value));
    showErrors(form, {});
    dialog.showModal();
  };
}

/**
 * The answer; or null as soon as it waits for the connection, which may take hours: then the page shows it, and tells
 * how it ended.
 *
 * @template Reply
 * @param {import("../databinding/outbox.js").Outbox} outbox
 * @param {Promise<Reply>} answer  Of the write that was made last.
 * @returns {Promise<Reply | null>}
 */
function orLate(outbox, answer) {
  const write = outbox.writes.at(-1);
  return new Promise((resolve, reject) => {
    const look = () => write && outbox.late.includes(write) && resolve(null);
    const unlisten = outbox.on("change", look);
    answer.then(resolve, reject).finally(unlisten);
    look();
  });
}

/** @param {HTMLDialogElement} dialog */
function closable(dialog) {
  find(dialog, ".cancel").addEventListener("click", () => dialog.close());
}

/**
 * @param {HTMLFormElement} form
 * @param {() => Promise<void>} work
 */
async function busy(form, work) {
  const submit = /** @type {HTMLButtonElement} */ (find(form, "[type=submit]"));
  // aria-disabled and not disabled: a disabled button would lose the focus.
  if (submit.getAttribute("aria-disabled") === "true") return;
  submit.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    submit.removeAttribute("aria-disabled");
  }
}

/**
 * @param {unknown} error
 * @returns {Record<string, string[]>}
 */
function fieldsOf(error) {
  return error instanceof RequestError && error.status === 400 ? error.fields : { "": [reason(error)] };
}

/**
 * Each message beside its field, the rest below; the first field concerned takes the focus.
 *
 * @param {HTMLFormElement} form
 * @param {Record<string, string[]>} fields
 */
function showErrors(form, fields) {
  const rest = [];
  /** @type {HTMLElement | null} */
  let first = null;
  for (const place of form.querySelectorAll("[data-error]")) place.textContent = "";
  for (const input of form.querySelectorAll("input")) input.removeAttribute("aria-invalid");
  for (const [field, messages] of Object.entries(fields)) {
    const place = field && form.querySelector(`[data-error="${CSS.escape(field)}"]`);
    if (!place) {
      rest.push(...messages);
      continue;
    }
    place.textContent = `◆ ${messages.join(" ")}`;
    const input = /** @type {HTMLElement | null} */ (form.querySelector(`[name="${CSS.escape(field)}"]`));
    input?.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if (rest.length > 0) find(form, '[data-error=""]').textContent = `◆ ${rest.join(" ")}`;
  first?.focus();
}
