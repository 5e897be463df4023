/**
 * The rows and the cursor that the template tag `live_rows` put into the page, or null.
 *
 * @param {string} stream
 * @param {ParentNode} [root]
 * @returns {import("./store.js").Initial | null}
 */
export function initialRows(stream, root = document) {
  const scripts = root.querySelectorAll('script[type="application/json"][data-databinding]');
  for (const script of scripts)
    if (script.getAttribute("data-databinding") === stream) return JSON.parse(script.textContent ?? "null");
  return null;
}
