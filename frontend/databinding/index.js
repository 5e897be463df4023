/**
 * Rows of a Django database, live in the page, and written back.
 *
 *     import { connect, initialRows } from "./databinding/index.js";
 *
 *     const live = connect("/stream/");
 *     const ints = live.stream("intval", { initial: initialRows("intval") });
 *     ints.on("change", ({ created, updated, deleted }) => draw(ints.rows));
 *     await ints.update(1, { value: 42 });
 *
 * It reconnects by itself and resumes where it was. See `options.js` for what can be tuned.
 */
import { Connection } from "./connection.js";
import { withDefaults } from "./options.js";
import { browserPlatform } from "./platform.js";

export { DatabindingError, DiscardedError, NotSentError, ProtocolError, RequestError, UnknownOutcomeError } from "./errors.js";
export { initialRows } from "./initial.js";

/**
 * Connect to a demultiplexer.
 *
 * @param {string} [url]  Relative to the page; http becomes ws.
 * @param {Parameters<typeof withDefaults>[0]} [options]
 * @param {import("./platform.js").Platform} [platform]  Another one than the browser's: for tests.
 * @returns {Connection}
 */
export function connect(url = "/stream/", options = {}, platform = browserPlatform()) {
  const target = new URL(url, globalThis.location?.href);
  target.protocol = target.protocol.replace("http", "ws");
  return new Connection(target.href, withDefaults(options), platform);
}
