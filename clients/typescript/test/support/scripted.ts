/** A relay that says what a test tells it to, to a session on a clock that the test winds. */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { Protobuf } from "../../src/dialect/protobuf.js";
import type { Settings } from "../../src/index.js";
import type { Event } from "../../src/session/event.js";
import { Session } from "../../src/session/session.js";
import { DEFAULTS } from "../../src/session/settings.js";
import { EventSchema, type Request, RequestSchema } from "../../src/wire/corelay_pb.js";

export type Said = Exclude<NonNullable<MessageInitShape<typeof EventSchema>["body"]>, { case: undefined }>;

export class Scripted {
  now = 0;
  readonly session: Session;

  /** `random`: what delays are spread by; a half is no spread. */
  constructor(settings: Partial<Settings> = {}, random: () => number = () => 0.5) {
    const identity = { uuid: new Uint8Array(16).fill(1), userId: "ada", userName: "Ada" };
    this.session = new Session({ ...DEFAULTS, ...settings }, identity, random, 0);
  }

  /** A connection that the relay has greeted. Returns what the client said. */
  connect(clientId = 42n): Request[] {
    if (this.session.pollConnection(this.now) !== "connect") throw new Error("it does not want to connect");
    this.session.handleConnected(new Protobuf(DEFAULTS.frameBytesMax), this.now);
    const said = this.sent();
    this.say({ case: "connected", value: { clientId, protocolVersion: 3, pingPeriodMs: 54_000 } });
    return said;
  }

  say(body: Said, replyTo = ""): void {
    const message = toBinary(EventSchema, create(EventSchema, { body, replyTo }));
    const frame = new Uint8Array(4 + message.length);
    new DataView(frame.buffer).setUint32(0, message.length);
    frame.set(message, 4);
    this.session.handleData(frame, this.now);
  }

  /** What the client has to say now. */
  sent(): Request[] {
    const requests: Request[] = [];
    for (let data = this.session.pollTransmit(this.now); data; data = this.session.pollTransmit(this.now)) {
      let bytes = data as Uint8Array;
      while (bytes.length > 0) {
        const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
        requests.push(fromBinary(RequestSchema, bytes.subarray(4, end)));
        bytes = bytes.subarray(end);
      }
    }
    return requests;
  }

  /** What the application is told. */
  events(): Event[] {
    const events: Event[] = [];
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) events.push(event);
    return events;
  }

  /** Winds the clock. */
  pass(ms: number): void {
    this.now += ms;
    this.session.handleTimeout(this.now);
  }
}
