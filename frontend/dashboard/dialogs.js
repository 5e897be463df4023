import { RequestError } from "../databinding/index.js";
import { announce } from "./announce.js";
import { find, setText } from "./dom.js";
import { DEFAULTS, draft, formatWithUnit, KINDS, parse, TITLES } from "./kinds.js";
import { reason } from "./reason.js";

/**
 * @typedef {import("../databinding/stream.js").Stream} Stream
 * @typedef {import("../databinding/protocol.js").Pk} Pk
 * @typedef {import("./kinds.js").KindName} KindName
 * @typedef {Pick<import("./tile.js").Tile, "kind" | "pk" | "id" | "about">} Of  Whose value it is.
 */

/**
 * The form for a new value.
 *
 * @param {Record<KindName, Stream>} streams
 * @param {import("../databinding/outbox.js").Outbox} outbox
 * @param {Partial<Record<KindName, string[]>>} rights
 * @param {(kind: KindName, pk: Pk) => void} added
 */
export function addDialog(streams, outbox, rights, added) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("#add-dialog"));
  if (dialog === null) return;
  const form = /** @type {HTMLFormElement} */ (find(dialog, "form"));
  const name = /** @type {HTMLInputElement} */ (find(form, "[name=name]"));
  const value = /** @type {HTMLInputElement} */ (find(form, "[name=value]"));
  const kinds = /** @type {HTMLSelectElement} */ (find(form, "[name=kind]"));
  const kind = () => /** @type {KindName} */ (kinds.value);
  for (const one of KINDS) if (rights[one]?.includes("create")) kinds.append(new Option(TITLES[one], one));
  kinds.addEventListener("change", () => {
    value.value = draft(kind(), DEFAULTS[kind()]);
  });

  for (const button of document.querySelectorAll("[data-opens=add]"))
    button.addEventListener("click", () => {
      showErrors(form, {});
      dialog.showModal();
      name.focus();
    });
  closable(dialog);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = kind();
    const given = parse(chosen, value.value || draft(chosen, DEFAULTS[chosen]), {});
    if (!name.value.trim()) return showErrors(form, { name: ["Give it a name."] });
    if (given.value === null) return showErrors(form, { value: [given.why] });
    showErrors(form, {});
    await busy(form, async () => {
      try {
        const created = streams[chosen].create({ name: name.value.trim(), value: given.value });
        const answer = await orLate(outbox, created);
        dialog.close();
        // The page shows it as waiting, and says so.
        if (answer === null) return form.reset();
        const { pk } = answer;
        announce(`${name.value.trim()} added.`);
        form.reset();
        if (pk !== null) added(chosen, pk);
      } catch (error) {
        showErrors(form, fieldsOf(error));
      }
    });
  });
}

/**
 * Asks before a value is deleted.
 *
 * @param {Record<KindName, Stream>} streams
 * @param {import("../databinding/outbox.js").Outbox} outbox
 * @param {(id: string) => () => void} leaving  Called before; what it returns, after.
 * @returns {(of: Of) => void} opens it
 */
export function deleteDialog(streams, outbox, leaving) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("#delete-dialog"));
  if (dialog === null) return () => {};
  const form = /** @type {HTMLFormElement} */ (find(dialog, "form"));
  /** @type {Of} */
  let of;
  closable(dialog);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const stream = streams[of.kind];
    const name = stream.rows.get(of.pk)?.name ?? "The value";
    const left = leaving(of.id);
    await busy(form, async () => {
      try {
        if ((await orLate(outbox, stream.delete(of.pk))) === null) {
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
    of = chosen;
    const row = streams[of.kind].rows.get(of.pk);
    if (row === undefined) return;
    setText(find(dialog, ".subject"), row.name);
    setText(find(dialog, ".number"), formatWithUnit(of.kind, row.value, of.about));
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
    place.textContent = `◆ ${messages.map(sentence).join(" ")}`;
    const input = /** @type {HTMLElement | null} */ (form.querySelector(`[name="${CSS.escape(field)}"]`));
    input?.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if (rest.length > 0) find(form, '[data-error=""]').textContent = `◆ ${rest.map(sentence).join(" ")}`;
  first?.focus();
}

/** Django's own begin with a model's name. @param {string} message */
function sentence(message) {
  return message.charAt(0).toUpperCase() + message.slice(1);
}
