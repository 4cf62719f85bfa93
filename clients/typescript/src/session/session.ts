/**
 * One client's side of the protocol: a connection at a time, any number of documents, no IO. The twin of the Rust
 * client's `Session`.
 *
 * `pollConnection` says when to connect or to drop the connection. While connected: what arrives goes into `handleData`,
 * what `pollTransmit` gives goes to the relay, one message each, until it gives nothing, and `handleTimeout` is called at
 * `pollTimeout` at the latest. Whatever happens, `pollEvent` tells the application. The session reads no clock and no
 * random source; it holds no more than what the application submits and the relay has not acknowledged.
 */

import type { Settings } from "../api.js";
import type { Data, Dialect } from "../dialect/dialect.js";
import type { TextBatch } from "../text/client.js";
import type { Event as ToldEvent, Request } from "../wire/corelay_pb.js";
import { type Context, Document, earliest, type OpenOptions } from "./document.js";
import type { DocumentEvent, Event } from "./event.js";
import { type RequestBody, request } from "./message.js";
import type { Full } from "./pending.js";
import { Backoff } from "./reconnect.js";
import { Requests, type Question } from "./requests.js";
import { handleEvent } from "./told.js";
import { Violation } from "./violation.js";

/** The version of `proto/corelay.proto` that the session speaks. */
export const PROTOCOL_VERSION = 3;

export interface Identity {
  /** 16 bytes that the client made once and keeps. */
  readonly uuid: Uint8Array;
  readonly userId: string;
  readonly userName: string;
}

/** `connect`: connect, then call `handleConnected` or `handleDisconnected`. `disconnect`: drop the connection. */
export type ConnectionRequest = "connect" | "disconnect";

type Link =
  { is: "waiting"; until: number } | { is: "connecting" } | { is: "greeting" } | { is: "live" } | { is: "stopped" };

/** Until the relay says something else. */
const MESSAGE_BYTES_MAX_DEFAULT = 1024 * 1024;
const PING_PERIOD_MS_DEFAULT = 54_000;

export class Session implements Context {
  readonly settings: Settings;
  readonly backoff: Backoff;
  readonly requests = new Requests();
  readonly documents: Document[] = [];
  token = "";
  clientId = 0;
  messageBytesMax = MESSAGE_BYTES_MAX_DEFAULT;
  pingPeriodMs = PING_PERIOD_MS_DEFAULT;
  link: Link;
  /** Unless it comes back later than that, it comes back too early. */
  notBefore: number | undefined;
  /** Documents that are open, by handle. */
  readonly #handles = new Map<bigint, Document>();
  /** The driver has to drop the connection that it has. */
  #dropsConnection = false;
  #dialect: Dialect | undefined;
  #heardAt = 0;
  #isPinged = false;
  /** Since when something has been on its way that the relay has to answer. */
  #output: Data[] = [];
  #events: Event[] = [];

  /** A session that wants to connect at `at`. */
  constructor(
    settings: Settings,
    readonly identity: Identity,
    readonly random: () => number,
    at: number,
  ) {
    this.settings = { ...settings };
    this.backoff = new Backoff(this.settings, random);
    this.link = { is: "waiting", until: at };
  }

  // ---- the application

  /** Opens a document as soon as there is a connection, and again on every later one. */
  open(options: OpenOptions): Document {
    const document = new Document(this, this.documents.length + 1, options);
    this.documents.push(document);
    return document;
  }

  /** Leaves the document. What was not acknowledged is given back; some of it may be applied all the same. */
  close(document: Document): Uint8Array[] {
    if (document.handle !== undefined) {
      this.forget(document.handle);
      this.send({ case: "close", value: { document: document.handle } });
    }
    return document.close();
  }

  /** Opens a document again that was closed. */
  reopen(document: Document): void {
    if (document.isClosed) document.reopen(0);
  }

  /** Ends the connection, and makes no further one before `retry`. */
  stop(): void {
    if (this.link.is === "live") this.send({ case: "close", value: {} });
    if (this.link.is !== "waiting" && this.link.is !== "stopped") this.#dropsConnection = true;
    this.link = { is: "stopped" };
    this.#forgetConnection();
  }

  /** Connects at `at`, whatever was to come next. Does nothing while there is a connection. */
  retry(at: number): void {
    if (this.link.is === "stopped" || this.link.is === "waiting") this.link = { is: "waiting", until: at };
  }

  /** Shows the relay a fresh token, now if there is a connection. */
  renewToken(token: string, now: number): void {
    this.token = token;
    if (this.link.is === "live") {
      this.#hello();
      this.#heardAt = now;
    }
  }

  /** kind log: adds an operation, which is sent with others when a batch is due. Returns the limit that refuses it. */
  submit(document: Document, operation: Uint8Array, now: number): Full | undefined {
    const full = document.pending.isFull(operation.length, this.settings);
    if (full === undefined) document.pending.push(operation, now);
    return full;
  }

  /** kind text: sends a batch. One at a time; see `isReady`. */
  submitBatch(document: Document, batch: TextBatch): void {
    document.pending.pushBatch(batch);
  }

  /** Whether `submitBatch` takes a batch: open, caught up, and nothing on its way. */
  isReady(document: Document): boolean {
    return this.link.is === "live" && document.isReady;
  }

  /** What a batch may have. */
  get payloadBytesMax(): number {
    const most = this.#dialect?.payloadBytesMax(this.messageBytesMax) ?? this.messageBytesMax / 2;
    return Math.min(this.settings.batchBytesMax, most);
  }

  /** `undefined`: `requestsMax` of them wait. */
  ask(question: Question): number | undefined {
    return this.requests.push(question, this.settings.requestsMax);
  }

  get isLive(): boolean {
    return this.link.is === "live";
  }

  // ---- the connection

  /** What the driver has to do about the connection. */
  pollConnection(now: number): ConnectionRequest | undefined {
    if (this.#dropsConnection) {
      this.#dropsConnection = false;
      return "disconnect";
    }
    if (this.link.is !== "waiting" || this.link.until > now) return undefined;
    this.link = { is: "connecting" };
    return "connect";
  }

  handleConnected(dialect: Dialect, now: number): void {
    if (this.link.is !== "connecting") return;
    this.link = { is: "greeting" };
    this.#dialect = dialect;
    this.#heardAt = now;
    this.#isPinged = false;
    this.#output = [];
    this.#hello();
  }

  #hello(): void {
    const { uuid, userId, userName } = this.identity;
    const value = { protocolVersion: PROTOCOL_VERSION, clientUuid: uuid, token: this.token, userId, userName };
    this.send({ case: "hello", value });
  }

  /** The connection is gone, or could not be made. */
  handleDisconnected(now: number): void {
    if (this.link.is !== "waiting" && this.link.is !== "stopped") this.loseConnection(now);
  }

  /** The connection is of no use any more: another one is made after a while. */
  dropConnection(now: number): void {
    if (this.link.is === "waiting" || this.link.is === "stopped") return;
    this.#dropsConnection = true;
    this.loseConnection(now);
  }

  loseConnection(now: number): void {
    const until = this.notBefore === undefined ? now + this.backoff.delay() : Math.max(this.notBefore, now);
    this.notBefore = undefined;
    this.link = { is: "waiting", until };
    this.#forgetConnection();
    this.emitEvent({ type: "disconnected", retryAt: until });
  }

  #forgetConnection(): void {
    this.#handles.clear();
    if (this.link.is !== "stopped") this.#output = [];
    this.requests.disconnect();
    for (const document of this.documents) document.disconnect();
  }

  /** What the relay said, in a message of the connection or a piece of one. */
  handleData(data: Uint8Array | string, now: number): void {
    if (this.#dialect === undefined || (this.link.is !== "greeting" && this.link.is !== "live")) return;
    this.#heardAt = now;
    this.#isPinged = false;
    try {
      for (const event of this.#dialect.decode(data)) this.#handle(event, now);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#fail(error.message, now);
    }
  }

  #handle(event: ToldEvent, now: number): void {
    if (this.link.is === "greeting" || this.link.is === "live") handleEvent(this, event, now);
  }

  #fail(message: string, now: number): void {
    this.emitEvent({ type: "violation", message });
    this.dropConnection(now);
  }

  // ---- time and sending

  /** Call it at `pollTimeout`, or whenever convenient. */
  handleTimeout(now: number): void {
    if (this.link.is !== "greeting" && this.link.is !== "live") return;
    if (this.#pingAt() <= now) {
      if (this.#isPinged) {
        this.#fail("the relay did not answer a ping", now);
        return;
      }
      this.#isPinged = true;
      this.#heardAt = now;
      this.send({ case: "ping", value: { nonce: 1n } });
    }
    for (const document of this.documents) document.handleTimeout(now);
  }

  /** When the next ping of ours is due, or its answer. */
  #pingAt(): number {
    const { pongTimeoutMs, stallPeriodMs, connectTimeoutMs } = this.settings;
    if (this.#isPinged) return this.#heardAt + pongTimeoutMs;
    if (this.link.is === "greeting") return this.#heardAt + connectTimeoutMs;
    const isWaiting = this.documents.some(({ pending, isOpening }) => isOpening || pending.isInFlight);
    return this.#heardAt + (isWaiting ? Math.min(stallPeriodMs, this.pingPeriodMs) : this.pingPeriodMs);
  }

  /** One message of what is to be sent now: as many requests as it may have. */
  pollTransmit(now: number): Data | undefined {
    const dialect = this.#dialect;
    if (dialect === undefined) return undefined;
    if (this.link.is === "live") this.#gather(dialect, now);
    let bytes = 0;
    let count = 0;
    for (const encoded of this.#output) {
      bytes += dialect.sizeOf(encoded);
      if (count > 0 && bytes > this.messageBytesMax) break;
      count += 1;
    }
    return count > 0 ? dialect.join(this.#output.splice(0, count)) : undefined;
  }

  /** What requests and documents have to send. */
  #gather(dialect: Dialect, now: number): void {
    const body = this.requests.next(now);
    if (body !== undefined) this.send(body);
    const pieceBytesMax = dialect.payloadBytesMax(this.messageBytesMax);
    const send = (message: Request): void => void this.#output.push(dialect.encode(message));
    for (const document of this.documents) document.transmit(pieceBytesMax, now, send);
  }

  /** When to call `pollConnection`, `handleTimeout` and `pollTransmit` at the latest. */
  pollTimeout(): number | undefined {
    if (this.#dropsConnection) return 0;
    switch (this.link.is) {
      case "waiting":
        return this.link.until;
      case "connecting":
      case "stopped":
        return undefined;
      case "greeting":
        return this.#output.length > 0 ? 0 : this.#pingAt();
      case "live": {
        if (this.#output.length > 0) return 0;
        const documents = this.documents.map((document) => document.timeout());
        return earliest([...documents, this.#pingAt(), this.requests.due()]);
      }
    }
  }

  pollEvent(): Event | undefined {
    return this.#events.shift();
  }

  // ---- for its parts

  emit(document: Document, event: DocumentEvent): void {
    this.emitEvent({ document, ...event });
  }

  emitEvent(event: Event): void {
    this.#events.push(event);
  }

  documentOf(handle: bigint): Document | undefined {
    return this.#handles.get(handle);
  }

  remember(handle: bigint, document: Document): void {
    this.#handles.set(handle, document);
  }

  forget(handle: bigint): void {
    this.#handles.delete(handle);
  }

  send(body: RequestBody): void {
    if (this.#dialect !== undefined) this.#output.push(this.#dialect.encode(request(body)));
  }
}
