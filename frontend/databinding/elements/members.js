/**
 * Which rows a table shows, and in which order. Pure.
 *
 * @typedef {import("../protocol.js").Pk} Pk
 * @typedef {import("../protocol.js").Data} Data
 */

const collator = new Intl.Collator(undefined, { numeric: true });

/**
 * How two rows are ordered by the attribute `order`: names of fields, with - for falling; the key has the last word.
 *
 * @param {string} order
 * @returns {(one: [Pk, Data], other: [Pk, Data]) => number}
 */
export function compare(order) {
  const fields = order.split(/[\s,]+/).filter(Boolean);
  return ([pk, data], [otherPk, other]) => {
    for (const field of fields) {
      const falling = field.startsWith("-");
      const name = falling ? field.slice(1) : field;
      const difference = orderOf(data[name], other[name]);
      if (difference !== 0) return falling ? -difference : difference;
    }
    return orderOf(pk, otherPk);
  };
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function orderOf(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return collator.compare(String(one ?? ""), String(other ?? ""));
}

/**
 * What has become of a table's rows beside their contents, in words; "" if nothing has.
 *
 * @param {Pk[]} shown
 * @param {Pk[]} wanted
 */
export function membership(shown, wanted) {
  const before = new Set(shown);
  const after = new Set(wanted);
  const fresh = wanted.filter((pk) => !before.has(pk)).length;
  const left = shown.filter((pk) => !after.has(pk)).length;
  const parts = [];
  if (fresh) parts.push(`${fresh} new`);
  if (left) parts.push(`${left} left`);
  const stayed = shown.filter((pk) => after.has(pk)).join();
  if (parts.length === 0 && stayed !== wanted.join()) parts.push("order changed");
  return parts.join(", ");
}
