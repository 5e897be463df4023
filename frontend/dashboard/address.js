/** What the page's address says: a part of it each for the toolbar and for the panel, so that a link shows the same. */

/** @returns {URLSearchParams} */
export function parameters() {
  return new URLSearchParams(window.location.search);
}

/**
 * @param {Record<string, string | null>} changes  null: say nothing of it.
 * @param {{back?: boolean}} [options]  back: the browser's Back undoes it.
 */
export function write(changes, { back = false } = {}) {
  const said = parameters();
  for (const [name, value] of Object.entries(changes)) value === null ? said.delete(name) : said.set(name, value);
  // A slash, colon and comma needn't be escaped there.
  const query = said.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
  const address = query ? `?${query}` : window.location.pathname;
  if (`${window.location.pathname}${window.location.search}` === address || window.location.search === address) return;
  if (back) window.history.pushState(null, "", address);
  else window.history.replaceState(null, "", address);
}
