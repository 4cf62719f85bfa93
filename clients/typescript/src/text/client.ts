/**
 * A document of kind `text` as a client has it: what the user sees, while the relay's order of things arrives.
 *
 * The state machine is the classic one: *synchronised*; *one batch on its way*; *one batch on its way and edits behind
 * it*. The client's own edits that are not in the history that it has seen are rebased over everything that arrives, and
 * what arrives is transformed over them for the view. It is the twin of the Rust client's `TextClient`.
 *
 * Invariants: `text` is `synced` with all pending operations applied; the pending operations are in sequence, the first
 * one made against `synced`; their clocks follow from `clock`; at most one batch is on its way.
 *
 * A snapshot says what the document is, but not how it came to be. Pending edits are rebased over the difference of the
 * texts, which is not what the relay rebases them over. That matters only to a batch that may have been delivered before:
 * its place in the history must then be read with its content, so an acknowledgement alone is {@link OutOfStep}.
 */

import { compose, difference } from "./compose.js";
import { decodeOperation, encodeOperation } from "./encoding.js";
import { Operation } from "./operation.js";
import { movedBy, type Place, Places } from "./places.js";
import { cross, type Side, sideOf } from "./transform.js";

/** What `Operations` says about a batch. */
export interface TextBatch {
  readonly baseRevision: number;
  readonly firstClock: number;
  readonly operations: readonly Uint8Array[];
}

/** What arrives does not continue what was there. Nothing was changed: ask for a sync from `revision`. */
export class OutOfStep extends Error {
  constructor(
    readonly revision: number,
    readonly found: number,
  ) {
    super(`revision ${found} does not follow ${revision}`);
  }
}

/** What outlives the page. */
export interface StoredText {
  readonly clientId: number;
  readonly revision: number;
  readonly synced: string;
  readonly clock: number;
  readonly pending: readonly Operation[];
  readonly isUncertain: boolean;
}

export class TextClient {
  /** Where everybody is in `synced`. */
  readonly places = new Places();
  #clientId: number;
  #revision = 0;
  /** The document at `revision`. */
  #synced = "";
  /** The document as the user sees it. */
  #text = "";
  /** The clock of the first pending operation. */
  #clock = 0;
  #pending: Operation[] = [];
  #pendingBytes = 0;
  /** How many of `pending`, from the front, have been stored. */
  #stored = 0;
  /** How many of `pending`, from the front, make up the batch that has been sent, or may have been. */
  #batch = 0;
  /** Whether that batch is on its way on this connection. */
  #inFlight = false;
  /** A copy of the batch from before a snapshot may be in the history, as the relay transformed it. */
  #uncertain = false;
  /** Whether the relay's order has been followed to its end since the last connect or Resync. */
  #caughtUp = false;

  constructor(clientId: number) {
    this.#clientId = clientId;
  }

  /** As it was stored. All that was pending may have been sent. */
  static restore(stored: StoredText): TextClient {
    const client = new TextClient(stored.clientId);
    client.#revision = stored.revision;
    client.#synced = stored.synced;
    client.#clock = stored.clock;
    client.#text = stored.synced;
    for (const operation of stored.pending) {
      client.#text = operation.apply(client.#text);
      client.#push(operation);
    }
    client.#batch = client.#pending.length;
    client.#stored = client.#pending.length;
    client.#uncertain = stored.isUncertain;
    client.places.jump(stored.revision);
    return client;
  }

  store(): StoredText {
    this.#stored = this.#pending.length;
    return {
      clientId: this.#clientId,
      revision: this.#revision,
      synced: this.#synced,
      clock: this.#clock,
      pending: [...this.#pending],
      isUncertain: this.#uncertain,
    };
  }

  get clientId(): number {
    return this.#clientId;
  }

  get text(): string {
    return this.#text;
  }

  /** Up to where the history has been seen. */
  get revision(): number {
    return this.#revision;
  }

  get pending(): readonly Operation[] {
    return this.#pending;
  }

  /** Where somebody else is in `text`. */
  placeOf(clientId: number): Place | undefined {
    const place = this.places.of(clientId);
    return place && this.#pending.reduce((at, operation) => movedBy(at, operation, false), place);
  }

  /** What the pending operations take, about. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * The user's edit of `text`. Throws RangeError. It is composed into the edit before it, as long as that has not been sent
   * and gets no longer than `bytesMax`, where it goes on with it (somebody types, or deletes) and has not been stored, or
   * where `waitingOperationsMax` edits wait. A page that dies comes back with what was stored: if that has been sent as a
   * part of something longer, under the same clock, it is taken for another edit, and applied again.
   */
  edit(operation: Operation, waitingOperationsMax: number, bytesMax: number): void {
    this.#text = operation.apply(this.#text);
    const waiting = this.#pending.length - this.#batch;
    const last = this.#pending.at(-1);
    if (waiting === 0 || last === undefined) return this.#push(operation);
    const composed = compose(last, operation);
    const isStored = this.#stored === this.#pending.length;
    const goesOn = !isStored && composed.components.length <= last.components.length;
    const isTaken = sizeOf(composed) <= bytesMax && (goesOn || waiting >= waitingOperationsMax);
    if (!isTaken) return this.#push(operation);
    this.#pending.pop();
    this.#pendingBytes -= sizeOf(last);
    this.#stored = Math.min(this.#stored, this.#pending.length);
    if (!composed.isIdentity) this.#push(composed);
  }

  /** Up to `operationsMax` edits of together up to `bytesMax` bytes, one at least. */
  takeBatch(operationsMax: number, bytesMax: number): TextBatch | undefined {
    if (!this.#caughtUp || this.#inFlight || this.#pending.length === 0) return undefined;
    const operations: Uint8Array[] = [];
    let bytes = 0;
    // A batch that is sent again is no longer than it was: what has been applied of it has its clocks.
    const count = Math.min(operationsMax, this.#batch > 0 ? this.#batch : operationsMax);
    for (const operation of this.#pending.slice(0, count)) {
      const encoded = encodeOperation(operation);
      bytes += encoded.length;
      if (bytes > bytesMax && operations.length > 0) break;
      operations.push(encoded);
    }
    this.#batch = operations.length;
    this.#inFlight = true;
    return { baseRevision: this.#revision, firstClock: this.#clock, operations };
  }

  /** The batch on its way was refused, but not for ever: `takeBatch` offers it again. */
  nacked(): void {
    this.#inFlight = false;
  }

  /** The client's edits were refused for ever: gives them up. Returns what that does to the view, and what they were. */
  abandon(): { view: Operation; operations: Operation[] } {
    const view = difference(this.#text, this.#synced);
    const operations = this.#pending;
    this.#text = this.#synced;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#stored = 0;
    this.#batchDone();
    return { view, operations };
  }

  /** `Ack`: the next `count` revisions, from `firstRevision`, are the batch on its way. Throws {@link OutOfStep}. */
  acknowledged(firstRevision: number, count: number): void {
    const last = firstRevision + count - 1;
    // A repeated answer about what was seen in the history.
    if (this.#batch === 0 || (firstRevision > 0 && last <= this.#revision)) return;
    if (this.#uncertain || firstRevision !== this.#revision + 1 || count !== this.#batch) {
      throw new OutOfStep(this.#revision, firstRevision);
    }
    for (let index = 0; index < count; index += 1) {
      const own = this.#shift();
      this.#synced = own.apply(this.#synced);
      this.#advance(own);
    }
    this.#batchDone();
  }

  /**
   * `RemoteOps`: operations of the history, the first at `firstRevision`, by anybody; those that were seen before are
   * passed over. Calls `view` with what each does to the view. Throws {@link OutOfStep}, or RangeError where an operation
   * does not fit; what came before it has been taken.
   */
  remote(
    firstRevision: number,
    origin: number,
    firstClock: number,
    operations: readonly Uint8Array[],
    view: (operation: Operation) => void,
  ): void {
    for (const [offset, bytes] of operations.entries()) {
      const revision = firstRevision + offset;
      if (revision <= this.#revision) continue;
      if (revision !== this.#revision + 1) throw new OutOfStep(this.#revision, revision);
      view(this.#step(origin, firstClock + offset, decodeOperation(bytes)));
    }
  }

  /** The connection is gone. What was on its way may or may not have arrived. */
  disconnected(): void {
    this.#inFlight = false;
    this.#caughtUp = false;
  }

  /** `Resync`: pages follow. What is on its way stays so. */
  resyncing(): void {
    this.#caughtUp = false;
  }

  /**
   * A whole snapshot: the document at `revision`, with all of the client's operations below `nextClock` in it. One from
   * before what was seen is passed over, unless what was seen is void. Returns what that does to the view.
   */
  snapshot(revision: number, nextClock: number, document: string): Operation {
    if (revision < this.#revision) return Operation.identity;
    while (this.#clock < nextClock && this.#pending.length > 0) {
      this.#synced = this.#shift().apply(this.#synced);
      this.#clock += 1;
      this.#shrinkBatch();
    }
    const view = this.#rebaseOver(difference(this.#synced, document));
    this.#synced = document;
    this.#jump(revision);
    this.#clock = nextClock;
    this.#uncertain = this.#batch > 0;
    return view;
  }

  /** What was seen of the history counts for nothing: it begins again. Returns what that does to the view. */
  reset(nextClock: number): Operation {
    this.#jump(0);
    return this.snapshot(0, nextClock, "");
  }

  /** Another epoch's snapshot follows. */
  epochChanged(): void {
    this.#jump(0);
  }

  /** The last page of `Opened` or `Resync` has been taken; `nextClock` is what that said. */
  caughtUp(nextClock: number): void {
    this.#caughtUp = true;
    // A batch has its clocks: it may have been applied, and come as soon as it is durable.
    if (this.#batch === 0) this.#clock = Math.max(this.#clock, nextClock);
  }

  /** One operation of the history, the next. Returns what it does to the view. */
  #step(origin: number, clock: number, operation: Operation): Operation {
    if (origin === this.#clientId && clock === this.#clock && this.#isFirst(operation)) return this.#ownStep(operation);
    this.#synced = operation.apply(this.#synced);
    this.#revision += 1;
    this.places.step(origin, operation, sizeOf(operation));
    if (origin === this.#clientId && !this.#inFlight) this.#clock = Math.max(this.#clock, clock + 1);
    return this.#crossed(operation, sideOf(this.#clientId, origin));
  }

  /**
   * Whether this is the first pending operation. If it is another one, somebody else has used this client's identity, and
   * what is pending gets other clocks.
   */
  #isFirst(operation: Operation): boolean {
    const first = this.#pending[0];
    return this.#batch > 0 && first !== undefined && (this.#uncertain || first.equals(operation));
  }

  /** The first pending operation, as the relay has it. */
  #ownStep(operation: Operation): Operation {
    const synced = operation.apply(this.#synced);
    const own = this.#shift();
    let view = Operation.identity;
    if (!own.equals(operation)) {
      // Sent before a snapshot: the relay knew better what it had to be transformed over.
      this.#synced = own.apply(this.#synced);
      view = this.#rebaseOver(difference(this.#synced, synced));
    }
    this.#synced = synced;
    this.#advance(operation);
    this.#shrinkBatch();
    return view;
  }

  /** Brings the pending operations over a change of `synced`, and the change to the view. */
  #rebaseOver(change: Operation): Operation {
    return this.#crossed(change, "left");
  }

  #crossed(operation: Operation, side: Side): Operation {
    const view = cross(this.#pending, operation, side);
    this.#text = view.apply(this.#text);
    return view;
  }

  #push(operation: Operation): void {
    this.#pending.push(operation);
    this.#pendingBytes += sizeOf(operation);
  }

  #shift(): Operation {
    const own = this.#pending.shift();
    if (own === undefined) throw new Error("the batch is pending");
    this.#stored = Math.max(0, this.#stored - 1);
    this.#pendingBytes = this.#pending.length === 0 ? 0 : Math.max(0, this.#pendingBytes - sizeOf(own));
    return own;
  }

  /** The next revision is an own operation. */
  #advance(operation: Operation): void {
    this.#revision += 1;
    this.#clock += 1;
    this.places.step(this.#clientId, operation, sizeOf(operation));
  }

  #jump(revision: number): void {
    this.#revision = revision;
    this.places.jump(revision);
    // Where the others have moved this client to is not known.
    this.places.forget(this.#clientId);
  }

  #shrinkBatch(): void {
    this.#batch = Math.max(0, this.#batch - 1);
    if (this.#batch === 0) this.#batchDone();
  }

  #batchDone(): void {
    this.#batch = 0;
    this.#inFlight = false;
    this.#uncertain = false;
  }
}

/** What an operation takes in a message, about: 3 bytes for each code unit is the most that UTF-8 needs. */
export function sizeOf(operation: Operation): number {
  let bytes = 0;
  for (const component of operation.components) {
    bytes += 12;
    if ("insert" in component) bytes += component.insert.length * 3;
  }
  return bytes;
}
