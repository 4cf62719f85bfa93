/** The relay's no, and this client's own. */

import type { Refusal, RefusedError } from "../api.js";
import { ErrorCode } from "../wire/corelay_pb.js";

/** The pause before something is asked again, where the relay does not say. */
const RETRY_AFTER_DEFAULT_MS = 100;

export { ErrorCode };

export function refusalOf(told: { code: number; message: string; retryable: boolean; retryAfterMs: number }): Refusal {
  return {
    code: told.code,
    name: ErrorCode[told.code] ?? String(told.code),
    message: told.message,
    isPermanent: !told.retryable,
    retryAfterMs: told.retryAfterMs,
  };
}

/** A refusal that no relay said. */
export function ownRefusal(name: string, message: string): Refusal {
  return { code: 0, name, message, isPermanent: true, retryAfterMs: 0 };
}

/** When the relay will take the same, if it is not refused for ever. */
export function retryAt(refusal: Refusal, now: number): number {
  return now + (refusal.retryAfterMs > 0 ? refusal.retryAfterMs : RETRY_AFTER_DEFAULT_MS);
}

class Refused extends Error implements RefusedError {
  override readonly name = "RefusedError";

  constructor(readonly refusal: Refusal) {
    super(`${refusal.name}: ${refusal.message}`);
  }
}

export { Refused as RefusedError };

/** An edit was not taken: the document is not loaded, is closed, or the token does not permit writing. */
export class NotEditableError extends Error {
  override readonly name = "NotEditableError";
}

/** An edit was not taken: as much waits for the relay as may. Nothing was changed. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";

  constructor(
    /** The setting that it has reached. */
    readonly limit: "waitingOperationsMax" | "waitingBytesMax",
  ) {
    super(`as much waits for the relay as may (${limit})`);
  }
}
