/**
 * Moments of the past, and the stretches of time that one slides in. Pure; times are seconds since 1970.
 *
 * @typedef {{begin: number, end: number}} Stretch
 */

/** How much is slid over, and how far a step goes in it. @type {Record<string, {seconds: number, step: number}>} */
export const SPANS = {
  "15 min": { seconds: 900, step: 10 },
  "1 h": { seconds: 3600, step: 60 },
  "6 h": { seconds: 21_600, step: 300 },
  "24 h": { seconds: 86_400, step: 900 },
  "7 d": { seconds: 604_800, step: 7200 },
  "30 d": { seconds: 2_592_000, step: 21_600 },
};

/** How much faster than life it is played. */
export const SPEEDS = [1, 10, 60, 600, 3600];

/**
 * The stretch to slide in: the one there is as long as the moment is in it, else the last one before now, or one around it.
 *
 * @param {number} at
 * @param {number} seconds
 * @param {{earliest: number, now: number}} bounds
 * @param {Stretch | null} [held]
 * @returns {Stretch}
 */
export function stretch(at, seconds, { earliest, now }, held = null) {
  if (held !== null && at >= held.begin && at <= held.end && held.end < now - 60) return held;
  const end = at >= now - seconds ? now : Math.min(now, at + seconds / 2);
  const begin = Math.min(at, Math.max(earliest, end - seconds));
  return { begin, end: Math.max(end, begin + 1) };
}

/** As it stands in addresses. @param {number} at */
export function toAddress(at) {
  return new Date(Math.floor(at) * 1000).toISOString().replace(".000", "");
}

/** @param {string | null} text  @returns {number | null} null: it says no moment */
export function fromAddress(text) {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? null : ms / 1000;
}

/** As a control for local times has it. @param {number} at */
export function toLocal(at) {
  const date = new Date(Math.floor(at) * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** How far a step goes, in words. @param {number} seconds */
export function formatStep(seconds) {
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`;
}
