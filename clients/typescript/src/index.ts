export type * from "./api.js";
export { Operation, OperationBuilder, type Component } from "./text/operation.js";

import type { Client, ClientOptions } from "./api.js";

/** A client that connects at once, unless its options say otherwise. */
export declare function createClient(options?: ClientOptions): Client;
