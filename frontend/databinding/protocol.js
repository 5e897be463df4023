import { ProtocolError } from "./errors.js";

/**
 * The words of the wire and what a frame must look like. Knows no socket.
 *
 * @typedef {number | string} Pk
 * @typedef {Record<string, any>} Data
 * @typedef {Record<string, any>} Payload
 * @typedef {{stream: string | null, payload: Payload, cursor?: string}} Frame
 */

export const SUBPROTOCOL = "databinding";
export const PING = "ping";
export const PONG = "pong!";

export const RESTARTING = 1012;
export const SESSION_OVER = 4401;
export const FORBIDDEN = 4403;
export const TOO_FAST = 4429;

/**
 * @param {unknown} text
 * @returns {Frame}
 * @throws {ProtocolError} if it isn't a frame
 */
export function parse(text) {
  if (typeof text !== "string") throw new ProtocolError("A binary frame came.");
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    throw new ProtocolError("A frame came that isn't JSON.");
  }
  if (!isObject(frame)) throw new ProtocolError("A frame came that isn't an object.");
  const { stream, payload, cursor } = frame;
  if (typeof stream !== "string" && stream !== null) throw new ProtocolError("A frame came without a stream.");
  if (!isObject(payload)) throw new ProtocolError("A frame came without a payload.");
  if (cursor !== undefined && typeof cursor !== "string") throw new ProtocolError("A cursor came that isn't text.");
  return { stream, payload, cursor };
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {value is Pk}
 */
export function isPk(value) {
  return typeof value === "number" || typeof value === "string";
}
