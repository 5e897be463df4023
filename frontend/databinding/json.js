/** Longest that an answer is waited for which a server has put off (ms), and how many of its refusals are borne. */
const LONGEST = 60_000;
const REFUSALS = 5;

/**
 * JSON from an address, for which many may ask at once: who is told that this is too often, or the database busy, asks
 * again when he was told to.
 *
 * @param {string | URL} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<{status: number, data: any, date: number}>} data: null where there is no answer but a refusal;
 *   date: the server's time (ms, to the second), NaN where it isn't told
 */
export async function getJson(url, signal) {
  for (let refusals = 0; ; refusals++) {
    const response = await fetch(url, { signal, headers: { Accept: "application/json" } });
    const { status } = response;
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (response.ok) return { status, data: await response.json(), date };
    const wait = 1000 * Number(response.headers.get("Retry-After") ?? NaN);
    if (!(wait <= LONGEST) || refusals === REFUSALS) return { status, data: null, date };
    // Not all of a page at once.
    await sleep(wait * (1 + Math.random() / 2), signal);
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
