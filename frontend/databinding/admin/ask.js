/** After this long no answer comes any more, whatever became of the connection while a machine slept (ms). */
const PATIENCE = 30_000;

/** The admin doesn't answer this user any more; `message` says why. */
export class Refused extends Error {}

/**
 * Ask the admin something by POST, which writes nothing.
 *
 * @param {string} url
 * @param {HTMLFormElement} form  Whose token is used.
 * @param {object} body
 * @returns {Promise<any>} rejects with `Refused`, or what `fetch` rejects with
 */
export async function ask(url, form, body) {
  const token = form.querySelector("input[name=csrfmiddlewaretoken]");
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token instanceof HTMLInputElement ? token.value : "" },
    body: JSON.stringify(body),
    redirect: "manual",
    signal: AbortSignal.timeout(PATIENCE),
  });
  check(response);
  return response.json();
}

/**
 * The admin's page of this address, as it is now.
 *
 * @param {string} url
 * @returns {Promise<Document>} rejects as `ask` does
 */
export async function page(url) {
  const response = await fetch(url, { redirect: "manual", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE) });
  check(response);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** @param {Response} response */
function check(response) {
  if (response.type === "opaqueredirect") throw new Refused("Reload the page to go on.");
  if (response.status === 403) throw new Refused("Your rights have changed, or your session has ended.");
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
}

/** Load the page anew; not by `reload`, after which some browsers put back what was typed before. */
export function showAnew() {
  const target = new URL(location.href);
  target.hash = "";
  location.replace(target);
}
