/** A connection to the relay, by whatever way. */

import type { Data, Dialect } from "../dialect/dialect.js";

export interface Connection {
  send(data: Data): void;
  /** What was sent is still here: nothing more is to be sent now. */
  readonly isBlocked: boolean;
  /** Tells the listener nothing any more. */
  close(): void;
}

export interface ConnectionListener {
  opened(dialect: Dialect): void;
  data(data: Uint8Array | string): void;
  /** It could not be made, or is gone. Told once. */
  closed(reason: string): void;
  /** It is not blocked any more. */
  drained(): void;
}
