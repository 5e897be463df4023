/**
 * Have the element of that id read out with a control, or not any more.
 *
 * @param {Element} control
 * @param {string} id
 * @param {boolean} by
 */
export function describe(control, id, by) {
  const ids = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
  if (by) ids.push(id);
  if (ids.length) control.setAttribute("aria-describedby", ids.join(" "));
  else control.removeAttribute("aria-describedby");
}
