import { NotSentError, RequestError } from "../databinding/index.js";

/**
 * Why a write failed, in words that fit a tile. Pure.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function reason(error) {
  if (error instanceof NotSentError) return "The connection is closed.";
  if (error instanceof RequestError && error.status === 401) return "You are logged out.";
  return error instanceof Error ? error.message : String(error);
}
