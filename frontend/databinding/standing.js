/**
 * How things stand, in a word: of the connection, and of a stream on it. Pure.
 *
 * @typedef {"connecting" | "catching up" | "live" | "reconnecting" | "offline" | "ended" | "refused"} Standing
 *
 * @param {{state: import("./socket.js").State}} connection
 * @param {import("./stream.js").StreamState} stream
 * @returns {Standing}
 */
export function standing(connection, stream) {
  if (connection.state === "closed") return "ended";
  if (connection.state !== "live") return connection.state;
  if (stream === "refused" || stream === "live") return stream;
  return "catching up";
}
