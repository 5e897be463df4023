/**
 * What can go wrong, each named after the condition:
 *
 *     DatabindingError
 *     ├── RequestError         the server said no; nothing was written
 *     ├── UnknownOutcomeError  sent, but the answer was lost: it may have been applied or not
 *     ├── NotSentError         it never left this page
 *     ├── DiscardedError       it was taken out of the outbox
 *     └── ProtocolError        a frame from the server that can't be understood
 */
export class DatabindingError extends Error {
  /** @type {string | null} The stream it concerns, if one. */
  stream = null;

  get name() {
    return this.constructor.name;
  }
}

/**
 * The server's refusal. `message` is fit for people; `errors` is what the server sent: a list of
 * strings and of objects {field: [messages]}.
 */
export class RequestError extends DatabindingError {
  /**
   * @param {{response_status?: unknown, errors?: unknown, data?: unknown, pk?: unknown, retry_after?: unknown}} payload
   */
  constructor(payload) {
    const errors = Array.isArray(payload.errors) ? payload.errors : [];
    super(describe(errors) || `The server answered ${payload.response_status}.`);
    this.status = Number(payload.response_status);
    this.errors = errors;
    /** @type {any} The row as it is, where the server tells (409). */
    this.data = payload.data ?? null;
    this.pk = payload.pk ?? null;
    /** @type {number | null} In how many seconds it may be tried again, where it was too often (429). */
    this.retryAfter = typeof payload.retry_after === "number" ? payload.retry_after : null;
  }

  /**
   * The messages by field; what belongs to no field is under "".
   *
   * @returns {Record<string, string[]>}
   */
  get fields() {
    /** @type {Record<string, string[]>} */
    const fields = Object.create(null);
    for (const [field, message] of messages(this.errors)) (fields[field] ??= []).push(message);
    return fields;
  }
}

export class UnknownOutcomeError extends DatabindingError {}
export class NotSentError extends DatabindingError {}
export class DiscardedError extends DatabindingError {}
export class ProtocolError extends DatabindingError {}

/** @param {unknown[]} errors */
function describe(errors) {
  return messages(errors)
    .map(([, message]) => message)
    .join(" ");
}

/**
 * @param {unknown} errors
 * @param {string} [field]
 * @returns {[string, string][]} field and message; nested serializers give dotted fields
 */
function messages(errors, field = "") {
  if (Array.isArray(errors)) return errors.flatMap((error) => messages(error, field));
  if (typeof errors === "object" && errors !== null)
    return Object.entries(errors).flatMap(([key, value]) =>
      messages(value, key === "non_field_errors" ? field : field ? `${field}.${key}` : key),
    );
  return [[field, String(errors)]];
}
