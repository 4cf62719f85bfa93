/**
 * One document's own operations that the relay has not acknowledged, oldest first.
 *
 * A queue with a boundary that batches move through: what is in `batches` has been put on the wire at least once and
 * keeps its batch for ever, because the relay applies a batch as a whole; what is in `waiting` has not. Clocks are not
 * stored: they follow from the front's clock.
 */

import type { Settings } from "../api.js";
import type { TextBatch } from "../text/client.js";

/** A batch as it goes on the wire. */
export interface Batch {
  clientSeq: number;
  readonly baseRevision: number;
  readonly operations: Uint8Array[];
}

/** What left the queue because it is in the document's history. */
export interface Settled {
  readonly firstClock: number;
  readonly operations: Uint8Array[];
}

/** What outlives the page. */
export interface StoredPending {
  readonly clock: number | undefined;
  /** What waited may have been sent since. */
  readonly batches: readonly (readonly Uint8Array[])[];
}

export type Full = "waitingOperationsMax" | "waitingBytesMax";

export class Pending {
  /** The clock of the oldest operation here; until the relay has said it, unknown. */
  #clock: number | undefined;
  #batches: Batch[] = [];
  /** How many of `batches`, from the front, are on their way on this connection. */
  #inFlight = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #pace = new Pace();
  #clientSeq = 0;
  /** The relay asked for patience. */
  #notBefore: number | undefined;
  /** From the storage, which may lack operations that were sent: all below the clock that the relay expects are applied. */
  #isRestored = false;

  restore(stored: StoredPending): void {
    this.#clock = stored.clock;
    this.#isRestored = stored.clock !== undefined;
    this.#batches = stored.batches.map((operations) => ({
      clientSeq: 0,
      baseRevision: 0,
      operations: [...operations],
    }));
  }

  store(settings: Settings): StoredPending {
    const batches = this.#batches.map(({ operations }) => [...operations]);
    for (let rest = this.#waiting; rest.length > 0;) {
      const { count } = firstOf(rest, settings);
      batches.push(rest.slice(0, count));
      rest = rest.slice(count);
    }
    return { clock: this.#clock, batches };
  }

  /** Which limit an operation at the end would break. */
  isFull(bytes: number, settings: Settings): Full | undefined {
    if (this.#waiting.length >= settings.waitingOperationsMax) return "waitingOperationsMax";
    return this.#waitingBytes + bytes > settings.waitingBytesMax ? "waitingBytesMax" : undefined;
  }

  /** Adds an operation at the end. */
  push(operation: Uint8Array, now: number): void {
    this.#waitingBytes += operation.length;
    this.#waiting.push(operation);
    this.#pace.touch(now);
  }

  /** Adds a whole batch, which knows its clocks. Nothing else may be pending. */
  pushBatch(batch: TextBatch): void {
    if (!this.isEmpty) throw new Error("one batch at a time");
    this.#clock = batch.firstClock;
    this.#batches.push({ clientSeq: 0, baseRevision: batch.baseRevision, operations: [...batch.operations] });
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0 && this.#waiting.length === 0;
  }

  /** A batch that was on its way is not any more. */
  get isStranded(): boolean {
    return this.#inFlight < this.#batches.length;
  }

  get isInFlight(): boolean {
    return this.#inFlight > 0;
  }

  /** Operations that are not acknowledged. */
  get count(): number {
    return this.#sent() + this.#waiting.length;
  }

  get operations(): Uint8Array[] {
    return [...this.#batches.flatMap(({ operations }) => operations), ...this.#waiting];
  }

  /** Sends what waits without waiting for its age. */
  flush(): void {
    this.#pace.dueAtOnce();
  }

  /** The next batch to put on the wire, and the clock of its first operation. */
  nextBatch(settings: Settings, now: number): { firstClock: number; batch: Batch } | undefined {
    const clock = this.#clock;
    if (clock === undefined || this.#inFlight >= settings.batchesInFlightMax) return undefined;
    if (this.#notBefore !== undefined && now < this.#notBefore) return undefined;
    this.#notBefore = undefined;
    if (this.#inFlight === this.#batches.length && !this.#fillBatch(settings, now)) return undefined;
    const batch = this.#batches[this.#inFlight]!;
    this.#clientSeq += 1;
    batch.clientSeq = this.#clientSeq;
    const earlier = lengthOf(this.#batches.slice(0, this.#inFlight));
    this.#inFlight += 1;
    return { firstClock: clock + earlier, batch };
  }

  #fillBatch(settings: Settings, now: number): boolean {
    const isFull = this.#waiting.length >= settings.batchOperationsMax || this.#waitingBytes >= settings.batchBytesMax;
    if (this.#waiting.length === 0 || !(isFull || this.#pace.isDue(settings, now))) return false;
    const { count, bytes } = firstOf(this.#waiting, settings);
    const operations = this.#waiting.splice(0, count);
    this.#waitingBytes -= bytes;
    if (this.#waiting.length === 0) this.#pace = new Pace();
    this.#batches.push({ clientSeq: 0, baseRevision: 0, operations });
    return true;
  }

  /** When `nextBatch` may have something that it does not have yet. */
  timeout(settings: Settings): number | undefined {
    if (this.#clock === undefined || this.#inFlight >= settings.batchesInFlightMax) return undefined;
    let due: number | undefined;
    if (this.#inFlight < this.#batches.length) due = 0;
    else if (this.#waiting.length === 0) return undefined;
    else if (this.#waiting.length >= settings.batchOperationsMax) due = 0;
    else due = this.#pace.due(settings);
    return due === undefined ? undefined : Math.max(due, this.#notBefore ?? 0);
  }

  /** What was on its way is on its way no longer: it will be sent again. */
  rewind(): void {
    this.#inFlight = 0;
  }

  /**
   * The clock that the relay expects next. Lower than what it acknowledged before: it has lost operations, and ours are
   * numbered anew. Higher than anything sent from here: the identity was used elsewhere.
   */
  expect(nextClock: number): void {
    const isBeyond = this.#clock !== undefined && nextClock > this.#clock + this.#sent();
    // They come as operations of the history, like any that this page has not made.
    if (this.#isRestored && isBeyond) this.settleBelow(nextClock);
    if (this.#clock === undefined || nextClock < this.#clock || nextClock > this.#clock + this.#sent()) {
      this.#clock = nextClock;
    }
    this.#isRestored = false;
  }

  /** The relay has applied everything below `clock`. */
  settleBelow(clock: number): Settled | undefined {
    const firstClock = this.#clock;
    if (firstClock === undefined) return undefined;
    let next = firstClock;
    const operations: Uint8Array[] = [];
    while (next < clock && this.#batches.length > 0) {
      const batch = this.#batches[0]!;
      const applied = batch.operations.splice(0, clock - next);
      operations.push(...applied);
      next += applied.length;
      if (batch.operations.length === 0) {
        this.#batches.shift();
        this.#inFlight = Math.max(0, this.#inFlight - 1);
      }
    }
    this.#clock = next;
    return operations.length > 0 ? { firstClock, operations } : undefined;
  }

  /** These operations of this client's are in the history, from the oldest clock here on. Returns those that are ours. */
  settle(operations: readonly Uint8Array[]): Uint8Array[] {
    const sent = this.#batches.flatMap((batch) => batch.operations);
    const other = operations.findIndex((operation, index) => !areEqual(operation, sent[index]));
    const count = other < 0 ? operations.length : other;
    return this.settleBelow(this.#clock! + count)?.operations ?? [];
  }

  /** The oldest operation here has this clock. */
  renumber(clock: number): void {
    this.#clock = clock;
  }

  /** The clock of the oldest operation that is not settled. */
  get clock(): number | undefined {
    return this.#clock;
  }

  /** The batch with this `clientSeq` has been acknowledged. `undefined`: it is not on its way. */
  acknowledge(clientSeq: number): Settled | undefined {
    const front = this.#batches[0];
    if (this.#inFlight === 0 || front === undefined || front.clientSeq !== clientSeq) return undefined;
    return this.settleBelow(this.#clock! + front.operations.length);
  }

  /**
   * The batch was refused, but not for ever: it and what followed it are sent again after `at`. False: it is not on its
   * way, so this is the answer to something that will be sent again anyhow.
   */
  retry(clientSeq: number, at?: number): boolean {
    const index = this.#indexOf(clientSeq);
    if (index === undefined) return false;
    this.#inFlight = index;
    this.#notBefore = at ?? this.#notBefore;
    return true;
  }

  /** The batch was refused for ever: its operations are the application's again, and what followed takes its clocks. */
  refuse(clientSeq: number): Uint8Array[] | undefined {
    const index = this.#indexOf(clientSeq);
    if (index === undefined) return undefined;
    this.#inFlight = index;
    return this.#batches.splice(index, 1)[0]!.operations;
  }

  /** Takes everything out. */
  takeAll(): Uint8Array[] {
    const operations = this.operations;
    this.#inFlight = 0;
    this.#batches = [];
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#pace = new Pace();
    return operations;
  }

  #sent(): number {
    return lengthOf(this.#batches);
  }

  #indexOf(clientSeq: number): number | undefined {
    const index = this.#batches.slice(0, this.#inFlight).findIndex((batch) => batch.clientSeq === clientSeq);
    return index < 0 ? undefined : index;
  }
}

/** When a batch that is being filled is due. */
export class Pace {
  #added: { first: number; last: number } | undefined;
  #atOnce = false;

  /** Something was added. */
  touch(now: number): void {
    this.#added = { first: this.#added?.first ?? now, last: now };
  }

  dueAtOnce(): void {
    this.#atOnce = this.#added !== undefined;
  }

  due(settings: Settings): number | undefined {
    if (this.#added === undefined) return undefined;
    const { first, last } = this.#added;
    if (this.#atOnce || settings.batchPauseMs === 0) return first;
    return Math.min(first + settings.batchAgeMaxMs, last + settings.batchPauseMs);
  }

  isDue(settings: Settings, now: number): boolean {
    const due = this.due(settings);
    return due !== undefined && due <= now;
  }
}

function lengthOf(batches: readonly Batch[]): number {
  return batches.reduce((sum, { operations }) => sum + operations.length, 0);
}

/** How many operations from the front fit into one batch, one at least, and their bytes. */
function firstOf(operations: readonly Uint8Array[], settings: Settings): { count: number; bytes: number } {
  let bytes = 0;
  let count = 0;
  for (const { length } of operations) {
    const fits = bytes + length <= settings.batchBytesMax;
    if (count === settings.batchOperationsMax || !(fits || count === 0)) break;
    bytes += length;
    count += 1;
  }
  return { count, bytes };
}

function areEqual(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((byte, index) => byte === b[index]);
}
