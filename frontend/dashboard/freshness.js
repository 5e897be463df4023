/** How long reports may be missing before a value is stale. Pure. */

/** Reports that may be missing. */
const PATIENCE = 3;

/**
 * When its source last said what it is: by its own word, or by a change that came.
 *
 * @param {import("./kinds.js").Description} about
 * @param {number} changedAt  ms since 1970, 0: not since the page is here
 * @param {number} skew  ms by which the server's clock is behind ours
 * @returns {number | null} null: it doesn't report
 */
export function reportedAt(about, changedAt, skew) {
  if (about.expected_interval == null) return null;
  const reported = about.reported_at ? Date.parse(about.reported_at) + skew : 0;
  const last = Math.max(reported, changedAt);
  return last > 0 ? last : null;
}

/**
 * Is nothing known of it by now?
 *
 * @param {import("./kinds.js").Description} about
 * @param {number} changedAt
 * @param {number} skew
 * @param {number} now
 */
export function isStale(about, changedAt, skew, now) {
  const last = reportedAt(about, changedAt, skew);
  return last !== null && now - last > PATIENCE * 1000 * Number(about.expected_interval);
}
