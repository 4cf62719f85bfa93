/** A language of the wire: what a connection carries, to messages and back. One for each connection. */

import type { Event, Request } from "../wire/corelay_pb.js";

/** What a message of the connection holds: bytes of protobuf frames, or JSON text. */
export type Data = Uint8Array<ArrayBuffer> | string;

export interface Dialect {
  /** What arrived, in any pieces where it is bytes, to what the relay says in it. Throws Violation. */
  decode(data: Uint8Array | string): Event[];
  encode(request: Request): Data;
  /** What encoded requests take in one message. */
  sizeOf(encoded: Data): number;
  /** One message with these in order. */
  join(encoded: readonly Data[]): Data;
  /** How much payload a request may have where a message may be so long. */
  payloadBytesMax(messageBytesMax: number): number;
}
