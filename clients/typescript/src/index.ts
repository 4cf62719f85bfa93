/** A client of the corelay relay: see `createClient`. */

import type { Client, ClientOptions } from "./api.js";
import { Client as Implementation } from "./client.js";

export type * from "./api.js";
export { json } from "./document/codec.js";
export { NotEditableError, QueueFullError, RefusedError } from "./session/refusal.js";
export { ErrorCode } from "./session/refusal.js";
export { DEFAULTS } from "./session/settings.js";
export { indexedDatabase, localStorageOf } from "./storage.js";
export { type Component, Operation, OperationBuilder } from "./text/operation.js";
export { moved, type Side } from "./text/transform.js";

/** A client that connects at once, unless its options say otherwise. */
export function createClient(options: ClientOptions = {}): Client {
  return new Implementation(options);
}
