/**
 * How things stand, in a word: of the connection, and of a stream on it. Pure.
 *
 * @typedef {"connecting" | "catching up" | "live" | "reconnecting" | "offline" | "ended" | "logged out" | "refused"} Standing
 *     ended: closed by the page, with the rows as they were · logged out, refused: there are no rows any more
 *
 * @param {{state: import("./socket.js").State, reason?: import("./socket.js").StateEvent["reason"]}} connection
 * @param {import("./stream.js").StreamState} stream
 * @returns {Standing}
 */
export function standing(connection, stream) {
  if (connection.state === "closed")
    return connection.reason === "session over" ? "logged out" : connection.reason === "forbidden" ? "refused" : "ended";
  if (connection.state !== "live") return connection.state;
  if (stream === "refused" || stream === "live") return stream;
  return "catching up";
}
