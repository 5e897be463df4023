import { newKey } from "./key.js";

/**
 * What the client needs from its surroundings, in one object, so that tests can give their own.
 *
 * @typedef {object} Platform
 * @property {new (url: string, protocols: string) => WebSocket} WebSocket
 * @property {(callback: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} now  Milliseconds; must go on while the machine sleeps.
 * @property {() => number} random  0 <= n < 1.
 * @property {() => string} uuid  A random one.
 * @property {(callback: () => void) => void} requestAnimationFrame
 * @property {() => boolean} hidden  Whether the page is hidden: then nothing is painted.
 * @property {() => boolean} online  False if the browser knows that it has no network.
 * @property {(type: PageEvent, listener: () => void) => (() => void)} listen  Returns what ends it.
 * @property {(error: unknown) => void} report  Where an error goes that nobody listens for.
 *
 * @typedef {"online" | "offline" | "pageshow" | "visibilitychange"} PageEvent
 */

/**
 * The browser's platform; in a worker there is no page, which then counts as hidden.
 *
 * @returns {Platform}
 */
export function browserPlatform() {
  const page = typeof document === "undefined" ? null : document;
  return {
    WebSocket: globalThis.WebSocket,
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    // Not performance.now(): on some systems it stands still while a laptop sleeps.
    now: () => Date.now(),
    random: () => Math.random(),
    uuid: newKey,
    requestAnimationFrame: (callback) => void requestAnimationFrame(callback),
    hidden: () => page === null || page.visibilityState === "hidden",
    online: () => globalThis.navigator?.onLine !== false,
    listen(type, listener) {
      const target = type === "visibilitychange" ? page : globalThis;
      target?.addEventListener(type, listener);
      return () => target?.removeEventListener(type, listener);
    },
    report: (error) => (globalThis.reportError ?? console.error)(error),
  };
}
