/** Messages as people write and read them. Pure. */

/** An address ends before what is more likely the sentence's. */
const LINK = /\bhttps?:\/\/[^\s<>"]+/giu;
const TRAILING = /[.,:;!?'…]+$/u;

/**
 * A text, with the addresses in it: only http and https, so that no link runs anything.
 *
 * @param {string} text
 * @returns {(string | {text: string, href: string})[]}
 */
export function parts(text) {
  /** @type {(string | {text: string, href: string})[]} */
  const found = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(LINK)) {
    const address = trimmed(match);
    const href = parsed(address);
    if (href === null) continue;
    if (index > end) found.push(text.slice(end, index));
    found.push({ text: address, href });
    end = index + address.length;
  }
  if (end < text.length) found.push(text.slice(end));
  return found;
}

/** @param {string} address */
function parsed(address) {
  try {
    return new URL(address).href;
  } catch {
    return null;
  }
}

/**
 * Without the full stop, and without the bracket that was opened before it.
 *
 * @param {string} address
 */
function trimmed(address) {
  for (;;) {
    const shorter = address.replace(TRAILING, "").replace(/[)\]]$/, (bracket) => {
      const opening = bracket === ")" ? "(" : "[";
      return address.split(opening).length < address.split(bracket).length ? "" : bracket;
    });
    if (shorter === address) return address;
    address = shorter;
  }
}

/**
 * As the server counts: characters, not halves of them.
 *
 * @param {string} text
 */
export function lengthOf(text) {
  return [...text].length;
}

/**
 * Why a message can't be sent, for its writer; null if it can.
 *
 * @param {string} handle
 * @param {string} text
 * @param {number} limit
 * @returns {{field: "handle" | "message", words: string} | null}
 */
export function problem(handle, text, limit) {
  if (text.trim() === "") return { field: "message", words: "Write something first." };
  const length = lengthOf(text.trim());
  if (length > limit) return { field: "message", words: `Too long: ${length} of at most ${limit} characters.` };
  if (handle.trim() === "") return { field: "handle", words: "Say who you are first." };
  return null;
}
