/**
 * What has become of a list beside its rows' contents, in words; "" if nothing has. Pure.
 *
 * @param {string[]} shown  The rows that the page shows, in its order.
 * @param {string[]} now  What it would show.
 * @param {{pk: string, state: "here" | "left" | "deleted"}[]} rows
 */
export function news(shown, now, rows) {
  const known = new Set(shown);
  const parts = [];
  const fresh = now.filter((pk) => !known.has(pk)).length;
  const left = rows.filter(({ state }) => state === "left").length;
  const deleted = rows.filter(({ state }) => state === "deleted").length;
  if (fresh) parts.push(`${fresh} new`);
  if (left) parts.push(`${left} left the filter`);
  if (deleted) parts.push(`${deleted} deleted`);
  const away = new Set(rows.filter(({ state }) => state !== "here").map(({ pk }) => pk));
  const before = shown.filter((pk) => !away.has(pk));
  const after = now.filter((pk) => known.has(pk) && !away.has(pk));
  // Those that went to another page because of others that came are no news of their own.
  const stayed = before.filter((pk) => after.includes(pk));
  if (stayed.join("\n") !== after.join("\n") || (!parts.length && before.length !== after.length)) parts.push("order changed");
  return parts.join(", ");
}
