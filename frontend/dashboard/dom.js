/**
 * The one element of that selector; that it is missing is a mistake in the template.
 *
 * @template {Element} [Kind=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {Kind}
 */
export function find(root, selector) {
  const element = root.querySelector(selector);
  if (element === null) throw new Error(`The page has no ${selector}.`);
  return /** @type {Kind} */ (/** @type {unknown} */ (element));
}

/**
 * Write text only if it differs: an untouched text node costs no layout and is not read out again.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  const node = element.firstChild;
  if (node instanceof Text) {
    if (node.data !== text) node.data = text;
  } else element.textContent = text;
}

/**
 * Where the focus goes when this tile leaves: to the next one's number, or to what adds one, or to the grid.
 *
 * @param {HTMLElement | undefined} tile
 * @returns {HTMLElement | null}
 */
export function neighbour(tile) {
  const next = tile?.nextElementSibling ?? tile?.previousElementSibling;
  return next?.querySelector("button.value") ?? document.querySelector("[data-opens=add]") ?? document.querySelector("#grid");
}

/**
 * A part of the page's templates, to be used once.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function instantiate(id) {
  const template = /** @type {HTMLTemplateElement} */ (find(document, `template#${id}`));
  const content = /** @type {DocumentFragment} */ (document.importNode(template.content, true));
  return /** @type {HTMLElement} */ (content.firstElementChild);
}

/**
 * What the page was served with as JSON under that id, or null.
 *
 * @param {string} id
 * @returns {any}
 */
export function embedded(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? "null");
}
