/**
 * The edit of one number: desired beside confirmed. Pure; the tile draws it.
 *
 *     idle ── begin ──▶ editing ── submit ──▶ pending ── confirm ──▶ idle
 *                          ▲                     ├── reject ──▶ failed ── begin / dismiss
 *                          └──────────────────── └── lose ────▶ unknown ── settle ──▶ idle or failed
 *
 * A change from elsewhere never touches it: the number beside it is the store's.
 *
 * @typedef {"idle" | "editing" | "pending" | "unknown" | "failed"} EditState
 */
export class Edit {
  /** @type {EditState} */
  state = "idle";
  /** The number that was confirmed when editing began. @type {number | null} */
  base = null;
  /** The number that was submitted. @type {number | null} */
  desired = null;
  /** Why it failed. */
  message = "";

  /** @param {number} confirmed */
  begin(confirmed) {
    this.state = "editing";
    this.base = confirmed;
    this.message = "";
  }

  /** @param {number} desired */
  submit(desired) {
    this.state = "pending";
    this.desired = desired;
  }

  confirm() {
    if (this.state === "pending" || this.state === "unknown") this.dismiss();
  }

  /** @param {string} message */
  reject(message) {
    if (this.state !== "pending" && this.state !== "unknown") return;
    this.state = "failed";
    this.message = message;
  }

  /** The connection was lost before the answer came. */
  lose() {
    if (this.state === "pending") this.state = "unknown";
  }

  /**
   * The rows are complete again, so what became of it can be seen.
   *
   * @param {number} confirmed
   */
  settle(confirmed) {
    if (this.state !== "unknown") return;
    if (confirmed === this.desired) this.confirm();
    else this.reject("The connection was lost before it was saved.");
  }

  /** Cancel the edit, or take note of its failure. */
  dismiss() {
    this.state = "idle";
    this.base = this.desired = null;
    this.message = "";
  }
}
