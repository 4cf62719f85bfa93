/** Protobuf: 4 bytes of length, big-endian, then one message. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { concatenated } from "../session/catch-up.js";
import { Violation } from "../session/violation.js";
import { type Event, EventSchema, type Request, RequestSchema } from "../wire/corelay_pb.js";
import type { Data, Dialect } from "./dialect.js";

const PREFIX_BYTES = 4;
/** What a request is longer than its payload, for a batch of any size that is allowed. */
const OVERHEAD_BYTES = 16 * 1024;

export class Protobuf implements Dialect {
  /** The beginning of a frame. */
  #rest: Uint8Array = new Uint8Array();

  constructor(readonly frameBytesMax: number) {}

  decode(data: Uint8Array | string): Event[] {
    if (typeof data === "string") throw new Violation("a text message came on a connection that speaks protobuf");
    let bytes = this.#rest.length === 0 ? data : concatenated([this.#rest, data]);
    const events: Event[] = [];
    while (bytes.length >= PREFIX_BYTES) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      if (length > this.frameBytesMax) {
        throw new Violation(`a frame has ${length} bytes, more than ${this.frameBytesMax}`);
      }
      const end = PREFIX_BYTES + length;
      if (bytes.length < end) break;
      try {
        events.push(fromBinary(EventSchema, bytes.subarray(PREFIX_BYTES, end)));
      } catch (error) {
        throw new Violation(`a frame is no Event: ${String(error)}`);
      }
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes.slice();
    return events;
  }

  encode(request: Request): Data {
    const message = toBinary(RequestSchema, request);
    const frame = new Uint8Array(PREFIX_BYTES + message.length);
    new DataView(frame.buffer).setUint32(0, message.length);
    frame.set(message, PREFIX_BYTES);
    return frame;
  }

  sizeOf(encoded: Data): number {
    return encoded.length;
  }

  join(encoded: readonly Data[]): Data {
    return concatenated(encoded as readonly Uint8Array[]);
  }

  payloadBytesMax(messageBytesMax: number): number {
    return messageBytesMax - OVERHEAD_BYTES;
  }
}
