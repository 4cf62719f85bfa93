/**
 * One document of a session: where the application stands in its history, and what it still has to send.
 *
 * Driven by the session alone. Invariant: the events of a document, read in order, are its history without a gap or a
 * repeat from the position that the application was given, or an explicit reset or snapshot.
 */

import type { Settings } from "../api.js";
import type { Request } from "../wire/corelay_pb.js";
import { Announcement, type Announced } from "./announcement.js";
import type { CatchUp, Interrupted } from "./catch-up.js";
import type { DocumentEvent, Position } from "./event.js";
import { request } from "./message.js";
import { Offers } from "./offer.js";
import { Pending } from "./pending.js";
import { Resyncs } from "./resync.js";

/** How a document is opened. */
export interface OpenOptions {
  readonly id: string;
  readonly kind: "log" | "text";
  /** Create it if it does not exist. */
  readonly create: boolean;
  /** What the application has of it from an earlier page. */
  readonly have?: Position;
}

type Stage =
  /** Not open on this connection; to be opened, not before the time given. */
  { is: "unopened"; at: number } | { is: "opening" } | { is: "open"; handle: bigint } | { is: "closed" };

/** What the session lends to its documents. */
export interface Context {
  readonly settings: Settings;
  readonly clientId: number;
  emit(document: Document, event: DocumentEvent): void;
}

export class Document {
  stage: Stage = { is: "unopened", at: 0 };
  /** What the application has been given. */
  have: Position | undefined;
  catchUp: CatchUp | undefined;
  /** The beginning of a snapshot, from an earlier connection. */
  interrupted: Interrupted | undefined;
  readonly pending = new Pending();
  /** kind text: the batch on its way was refused, to be rebased once `have` has this revision and the time has come. */
  rebase: { revision: number; at: number } | undefined;
  announcement: Announcement | undefined;
  resyncs = new Resyncs();
  readonly offers = new Offers();

  constructor(
    readonly context: Context,
    /** Of the requests to open it. */
    readonly requestId: number,
    readonly options: OpenOptions,
  ) {
    this.have = options.have;
  }

  get id(): string {
    return this.options.id;
  }

  get isText(): boolean {
    return this.options.kind === "text";
  }

  get isClosed(): boolean {
    return this.stage.is === "closed";
  }

  get isOpening(): boolean {
    return this.stage.is === "opening";
  }

  get handle(): bigint | undefined {
    return this.stage.is === "open" ? this.stage.handle : undefined;
  }

  /** Open, caught up, nothing pending: a text batch may be submitted. */
  get isReady(): boolean {
    return this.isCaughtUp && this.rebase === undefined && this.pending.isEmpty;
  }

  get isCaughtUp(): boolean {
    return this.stage.is === "open" && this.catchUp === undefined;
  }

  emit(event: DocumentEvent): void {
    this.context.emit(this, event);
  }

  announce(presence: Announced): void {
    this.announcement = new Announcement(presence, this.announcement);
  }

  /** The connection is gone. */
  disconnect(): void {
    if (this.stage.is === "opening" || this.stage.is === "open") this.stage = { is: "unopened", at: 0 };
    if (this.catchUp !== undefined) this.interrupted = this.catchUp.interrupt();
    this.catchUp = undefined;
    this.rebase = undefined;
    this.resyncs = new Resyncs();
    this.pending.rewind();
    this.offers.rewind();
    this.announcement?.forget();
  }

  /** The document is not to be opened again, unless the application says so. */
  shut(): void {
    this.disconnect();
    this.stage = { is: "closed" };
    this.interrupted = undefined;
    this.offers.take();
  }

  /** The application leaves the document. Returns what was not acknowledged. */
  close(): Uint8Array[] {
    this.shut();
    this.announcement = undefined;
    return this.pending.takeAll();
  }

  /** To be opened again, not before the time given. */
  reopen(at: number): void {
    this.disconnect();
    this.stage = { is: "unopened", at };
  }

  /** Asks for what follows `have`, or for the whole document. One that is not open is brought there by opening it. */
  requestSync(have: Position | undefined, notBefore: number): void {
    if (this.stage.is === "open") this.resyncs.want(have, notBefore);
  }

  /** What an earlier connection has brought is of no use. False: there was nothing. */
  forgetInterrupted(): boolean {
    const was = this.interrupted !== undefined;
    this.interrupted = undefined;
    return was;
  }

  // ---- time and sending

  handleTimeout(now: number): void {
    const at = this.#rebaseAt();
    if (at !== undefined && at <= now) {
      this.rebase = undefined;
      this.pending.takeAll();
      this.emit({ type: "rebase" });
    }
  }

  #rebaseAt(): number | undefined {
    if (this.rebase === undefined || this.catchUp !== undefined) return undefined;
    return (this.have?.revision ?? 0) >= this.rebase.revision ? this.rebase.at : undefined;
  }

  /** What the document has to send on a connection that is live. */
  transmit(pieceBytesMax: number, now: number, send: (request: Request) => void): void {
    if (this.stage.is === "unopened" && this.stage.at <= now) {
      this.stage = { is: "opening" };
      const value = {
        requestId: BigInt(this.requestId),
        document: this.id,
        kind: this.options.kind,
        create: this.options.create,
        ...(this.have !== undefined && { have: wirePosition(this.have) }),
        ...(this.interrupted !== undefined && { resumeToken: this.interrupted.resumeToken }),
      };
      send(request({ case: "open", value }));
    }
    if (this.stage.is !== "open") return;
    const { handle } = this.stage;
    const { settings } = this.context;
    const presence = this.announcement?.take(settings, handle, now);
    if (presence !== undefined) send(request(presence));
    if (this.announcement?.isOver === true) this.announcement = undefined;
    const wish = this.resyncs.next(now);
    if (wish !== undefined) {
      const have = wish.have && { have: wirePosition(wish.have) };
      send(request({ case: "syncRequest", value: { document: handle, ...have } }));
    }
    if (this.catchUp !== undefined || this.rebase !== undefined) return;
    for (let next = this.pending.nextBatch(settings, now); next; next = this.pending.nextBatch(settings, now)) {
      const { firstClock, batch } = next;
      const value = {
        document: handle,
        clientSeq: BigInt(batch.clientSeq),
        firstClock: BigInt(firstClock),
        baseRevision: BigInt(batch.baseRevision),
        operations: batch.operations,
      };
      send(request({ case: "operations", value }));
    }
    // One piece at a time, so that operations do not wait for a whole snapshot.
    const piece = this.offers.nextPiece(handle, this.requestId, pieceBytesMax, now);
    if (piece !== undefined) send(piece);
  }

  /** When `handleTimeout` or `transmit` has something to do. */
  timeout(): number | undefined {
    const { settings } = this.context;
    switch (this.stage.is) {
      case "unopened":
        return this.stage.at;
      case "opening":
      case "closed":
        return undefined;
      case "open": {
        const mayEdit = this.catchUp === undefined && this.rebase === undefined;
        return earliest([
          mayEdit ? this.pending.timeout(settings) : undefined,
          mayEdit ? this.offers.due() : undefined,
          this.announcement?.due(settings),
          this.resyncs.due(),
          this.#rebaseAt(),
        ]);
      }
    }
  }
}

export function wirePosition(position: Position): { epoch: bigint; revision: bigint } {
  return { epoch: BigInt(position.epoch), revision: BigInt(position.revision) };
}

/** The first of some times. */
export function earliest(times: Iterable<number | undefined>): number | undefined {
  let first: number | undefined;
  for (const time of times) {
    if (time !== undefined && (first === undefined || time < first)) first = time;
  }
  return first;
}
