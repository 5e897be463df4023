/**
 * The edit of one value: desired beside confirmed. Pure; the tile draws it.
 *
 *     idle ── begin ──▶ editing ── submit ──▶ pending ◀── queue ──▶ queued
 *                          ▲                     ├── confirm ──▶ idle
 *                          │                     ├── reject ───▶ failed ── begin / dismiss
 *                          │                     └── conflict ─▶ conflict ── mine ──▶ pending
 *                          └──────────────────────────────────────┴─ begin / dismiss
 *
 * Queued is pending without a connection. A change from elsewhere never touches it: the value beside it is the store's.
 *
 * @typedef {import("./kinds.js").Value} Value
 * @typedef {"idle" | "editing" | "pending" | "queued" | "failed" | "conflict"} EditState
 */
export class Edit {
  /** @type {EditState} */
  state = "idle";
  /** The value that was confirmed when editing began. @type {Value | null} */
  base = null;
  /** The value that was submitted. @type {Value | null} */
  desired = null;
  /** Why it failed. */
  message = "";

  /** Whether it is on its way, or waits to be. */
  get underway() {
    return this.state === "pending" || this.state === "queued";
  }

  /** @param {Value} confirmed */
  begin(confirmed) {
    this.state = "editing";
    this.base = confirmed;
    this.message = "";
  }

  /** @param {Value} desired */
  submit(desired) {
    this.state = "pending";
    this.desired = desired;
  }

  /**
   * It waits for the connection, or does so no longer.
   *
   * @param {boolean} waits
   */
  queue(waits) {
    if (this.underway) this.state = waits ? "queued" : "pending";
  }

  confirm() {
    if (this.underway) this.dismiss();
  }

  /** @param {string} message */
  reject(message) {
    if (!this.underway) return;
    this.state = "failed";
    this.message = message;
  }

  /** Somebody else has changed it since editing began. */
  conflict() {
    if (this.underway) this.state = "conflict";
  }

  /** Write it all the same. */
  mine() {
    if (this.state === "conflict") this.state = "pending";
  }

  /** Cancel the edit, or take note of its failure; of a conflict: theirs it is. */
  dismiss() {
    this.state = "idle";
    this.base = this.desired = null;
    this.message = "";
  }
}
