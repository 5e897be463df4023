/**
 * Which tiles are shown, in which order and under which headings. Pure.
 *
 * @typedef {"name" | "problems" | "changed" | "own"} Sort
 * @typedef {{search: string, sort: Sort, grouped: boolean}} Arrangement
 *
 * @typedef {object} Arranged  What is looked at of a tile.
 * @property {string} id
 * @property {import("../databinding/protocol.js").Data} data
 * @property {boolean} pinned
 * @property {number} rank  For an order other than by name: what it was when the order was asked for.
 */

const collator = new Intl.Collator(undefined, { numeric: true });

/** What stands before the first dot; nothing where there is none. @param {string} name */
export function groupOf(name) {
  const dot = name.indexOf(".");
  return dot > 0 ? name.slice(0, dot) : "";
}

/**
 * Each word of the search must be somewhere in the name.
 *
 * @param {string} name
 * @param {string} search
 */
export function matches(name, search) {
  const lower = name.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}

/**
 * @param {Arranged} one
 * @param {Arranged} other
 */
export function byName(one, other) {
  return collator.compare(one.data.name, other.data.name) || collator.compare(one.id, other.id);
}

/**
 * Move one to where another is; those between close up.
 *
 * @param {string[]} ids
 * @param {string} id
 * @param {string} target
 */
export function moved(ids, id, target) {
  const [from, to] = [ids.indexOf(id), ids.indexOf(target)];
  if (from === -1 || to === -1) return ids;
  const rest = ids.filter((one) => one !== id);
  rest.splice(to, 0, id);
  return rest;
}

/**
 * @template {Arranged} T
 * @param {T[]} tiles
 * @param {Sort} sort
 */
export function sorted(tiles, sort) {
  return tiles.sort((one, other) => (sort === "name" ? 0 : other.rank - one.rank) || byName(one, other));
}

/**
 * The sections in their order: what is pinned, then the groups; one without a heading where there is but one.
 *
 * @template {Arranged} T
 * @param {Iterable<T>} tiles
 * @param {Arrangement} arrangement
 * @returns {{title: string, tiles: T[]}[]}
 */
export function arrange(tiles, { search, sort, grouped }) {
  const shown = [...tiles].filter(({ data }) => matches(data.name, search));
  sorted(shown, sort);
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  const pinned = shown.filter((tile) => tile.pinned);
  for (const tile of shown) {
    if (tile.pinned) continue;
    const title = grouped ? groupOf(tile.data.name) : "";
    const group = groups.get(title);
    if (group === undefined) groups.set(title, [tile]);
    else group.push(tile);
  }
  const sections = [...groups].map(([title, tiles]) => ({ title, tiles }));
  if (grouped) sections.sort((one, other) => Number(one.title === "") - Number(other.title === "") || collator.compare(one.title, other.title));
  if (pinned.length > 0) sections.unshift({ title: "Pinned", tiles: pinned });
  if (sections.length > 1) for (const section of sections) section.title ||= grouped ? "Others" : "All";
  return sections;
}
