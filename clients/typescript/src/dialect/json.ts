/** The JSON dialect: one text, one message. Documents have their ids there; handles are given out here. */

import type { Event, Request } from "../wire/corelay_pb.js";
import { Violation } from "../session/violation.js";
import type { Data, Dialect } from "./dialect.js";
import { Handles } from "./handles.js";
import { readEvent } from "./json-event.js";
import { writeRequest } from "./json-request.js";

/** What a request is longer than its payload. */
const OVERHEAD_BYTES = 16 * 1024;
/** An operation's bytes are base64, 4 characters for 3 of them; a text may have characters that take 6. */
const PAYLOAD_PART = 1 / 6;

export class Json implements Dialect {
  readonly #handles = new Handles();
  readonly #encoder = new TextEncoder();

  decode(data: Uint8Array | string): Event[] {
    if (typeof data !== "string") throw new Violation("a binary message came on a connection that speaks JSON");
    try {
      const event = readEvent(data, this.#handles);
      return event === undefined ? [] : [event];
    } catch (error) {
      throw new Violation(`a message is none of the JSON dialect: ${String(error)}`);
    }
  }

  encode(request: Request): Data {
    return JSON.stringify(writeRequest(request, this.#handles));
  }

  sizeOf(encoded: Data): number {
    return this.#encoder.encode(encoded as string).length + 1;
  }

  join(encoded: readonly Data[]): Data {
    return `[${encoded.join(",")}]`;
  }

  payloadBytesMax(messageBytesMax: number): number {
    return (messageBytesMax - OVERHEAD_BYTES) * PAYLOAD_PART;
  }
}
