/**
 * The controls of a form, as the page was served and as its user has left them.
 *
 * @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control
 */

/**
 * @param {ParentNode} root
 * @returns {Control[]} those that carry a value of the row
 */
export function controlsOf(root) {
  /** @type {NodeListOf<Control>} */
  const found = root.querySelectorAll("input[name], select[name], textarea[name]");
  return [...found].filter(
    (control) => !(control instanceof HTMLInputElement && ["submit", "button", "image", "reset"].includes(control.type)),
  );
}

/** @param {Control} control */
function isTicked(control) {
  return control instanceof HTMLInputElement && (control.type === "checkbox" || control.type === "radio");
}

/**
 * What the server put into it.
 *
 * @param {Control} control
 * @returns {string}
 */
export function served(control) {
  if (control instanceof HTMLSelectElement)
    return JSON.stringify(options(control).filter((option) => option.defaultSelected).map((option) => option.value));
  if (isTicked(control)) return String(/** @type {HTMLInputElement} */ (control).defaultChecked);
  return control.defaultValue;
}

/**
 * Does it hold something else than was served?
 *
 * @param {Control} control
 */
export function isDraft(control) {
  if (control instanceof HTMLSelectElement) {
    const selected = options(control).filter((option) => option.selected).map((option) => option.value);
    if (JSON.stringify(selected) === served(control)) return false;
    // Where nothing is marked as selected, a browser selects the first.
    return control.multiple || served(control) !== "[]" || control.selectedIndex > 0;
  }
  if (control instanceof HTMLInputElement && isTicked(control)) return control.checked !== control.defaultChecked;
  if (control.type === "hidden") return false;
  return control.value !== control.defaultValue;
}

/**
 * Put in what the server has now, as if it had been served.
 *
 * @param {Control} control
 * @param {Control} fresh
 */
export function serve(control, fresh) {
  if (control instanceof HTMLSelectElement) {
    control.innerHTML = fresh.innerHTML;
  } else if (control instanceof HTMLInputElement && isTicked(control)) {
    control.defaultChecked = control.checked = /** @type {HTMLInputElement} */ (fresh).defaultChecked;
  } else if (control instanceof HTMLInputElement && control.type === "file") {
    control.value = "";
  } else {
    control.defaultValue = /** @type {HTMLInputElement | HTMLTextAreaElement} */ (fresh).defaultValue;
    control.value = control.defaultValue;
  }
}

/**
 * What the server put into it, as people read it.
 *
 * @param {Control} control
 */
export function words(control) {
  if (control instanceof HTMLSelectElement) {
    const chosen = options(control).filter((option) => option.defaultSelected);
    return chosen.map((option) => option.text.trim()).join(", ") || "(empty)";
  }
  if (control instanceof HTMLInputElement && isTicked(control)) return control.defaultChecked ? "Yes" : "No";
  return control.defaultValue.trim() || "(empty)";
}

/** @param {HTMLSelectElement} select */
function options(select) {
  return [...select.options];
}
