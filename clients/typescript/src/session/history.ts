/** What a document makes of each thing that the relay says about it. */

import type { Durability } from "../api.js";
import * as wire from "../wire/corelay_pb.js";
import { CatchUp } from "./catch-up.js";
import type { Document } from "./document.js";
import type { Position, Sync } from "./event.js";
import { ErrorCode, refusalOf, retryAt } from "./refusal.js";
import { Violation } from "./violation.js";

/** The relay has opened the document. */
export function opened(document: Document, told: wire.Opened): void {
  document.stage = { is: "open", handle: told.document };
  const position = positionOf(told.position);
  const from = { epoch: position.epoch, revision: number(document, told.fromRevision) };
  const nextClock = number(document, told.nextClock);
  const sync = syncOf(told.sync);
  document.emit({
    type: "opened",
    kind: told.kind,
    position,
    permissions: { read: told.permissions?.read ?? false, write: told.permissions?.write ?? false },
    color: told.color,
  });
  document.emit({ type: "presence", presences: told.presences, full: true });
  const { have } = document;
  if (sync !== "snapshot" && have !== undefined && !(have.epoch === from.epoch && have.revision === from.revision)) {
    // What the application has is void.
    document.have = undefined;
    document.emit({ type: "reset", nextClock });
  }
  const catchUp = new CatchUp(sync, position.revision, nextClock);
  if (document.interrupted !== undefined) catchUp.resume(document.interrupted, from.revision);
  document.interrupted = undefined;
  moveTo(document, from, sync, catchUp);
}

export function resync(document: Document, told: wire.Resync): void {
  const from = positionOf(told.from);
  const nextClock = number(document, told.nextClock);
  const sync = syncOf(told.sync);
  document.emit({ type: "resync", from });
  if (told.reason === wire.ResyncReason.REQUESTED && document.resyncs.answered() && document.have !== undefined) {
    // The application asked for these again.
    document.have = { ...document.have, revision: Math.min(document.have.revision, from.revision) };
  }
  moveTo(document, from, sync, new CatchUp(sync === "up_to_date" ? "delta" : sync, from.revision, nextClock));
}

/**
 * The relay continues from `from`. Nothing may be lost by that: either it is where the application is or before it, or
 * the application is told to start again.
 */
function moveTo(document: Document, from: Position, sync: Sync, catchUp: CatchUp): void {
  const { have } = document;
  const isSameEpoch = have?.epoch === from.epoch;
  document.pending.expect(catchUp.nextClock);
  if (sync === "snapshot") {
    document.have = isSameEpoch ? have : { epoch: from.epoch, revision: 0 };
  } else if (have === undefined && from.revision === 0) {
    document.have = from;
  } else if (have !== undefined && !isSameEpoch && from.revision === 0) {
    document.emit({ type: "reset", nextClock: catchUp.nextClock });
    document.have = from;
  } else {
    const follows =
      have !== undefined &&
      isSameEpoch &&
      (sync === "delta" ? from.revision <= have.revision : from.revision === have.revision);
    if (!follows) throw Violation.revision(document.id, (have?.revision ?? 0) + 1, from.revision + 1);
  }
  document.catchUp = catchUp;
  checkSynced(document);
}

export function page(document: Document, told: wire.SyncResponse): void {
  const { catchUp } = document;
  if (catchUp === undefined || !catchUp.hasPages) throw Violation.unexpected("SyncResponse");
  catchUp.keepToken(told.resumeToken);
  if (told.snapshot !== undefined) {
    number(document, told.snapshot.revision);
    number(document, told.snapshot.nextClock);
    const whole = catchUp.add(told.snapshot);
    if (typeof whole === "number") throw Violation.snapshot(document.id, whole, Number(told.snapshot.offset));
    if (whole !== undefined) replace(document, whole.revision, whole.nextClock, whole.data());
  } else if (catchUp.wantsSnapshot) {
    throw Violation.unexpected("a page without the snapshot");
  }
  for (const batch of told.operations) operations(document, batch);
  if (!told.hasMore) {
    catchUp.lastPage();
    checkSynced(document);
  }
}

/** The snapshot takes the place of everything before it, own operations that are part of it included. */
function replace(document: Document, revision: number, nextClock: number, data: Uint8Array): void {
  if (document.have !== undefined) document.have = { ...document.have, revision };
  const settled = document.pending.settleBelow(nextClock);
  if (settled !== undefined && !document.isText) {
    document.emit({
      type: "acknowledged",
      firstRevision: 0,
      firstClock: settled.firstClock,
      count: settled.operations.length,
      operations: settled.operations,
    });
  }
  document.emit({ type: "snapshot", revision, data, nextClock });
}

function checkSynced(document: Document): void {
  const { catchUp } = document;
  const revision = document.have?.revision ?? 0;
  if (catchUp === undefined || !catchUp.isDone(revision)) return;
  document.catchUp = undefined;
  document.emit({ type: "synced", revision, nextClock: catchUp.nextClock });
  // A text batch of the last connection was made against what the application had then.
  if (document.isText && document.pending.isStranded) document.rebase ??= { revision: 0, at: 0 };
}

export function operations(document: Document, told: wire.RemoteOps): void {
  const first = number(document, told.revision);
  const clock = number(document, told.firstClock);
  const origin = Number(told.origin);
  const have = document.have ?? { epoch: 0, revision: 0 };
  const expected = have.revision + 1;
  const seen = Math.max(0, expected - first);
  if (first > expected || (seen > 0 && document.catchUp?.hasPages !== true)) {
    throw Violation.revision(document.id, expected, first);
  }
  if (seen >= told.operations.length) return;
  const payloads = told.operations.slice(seen);
  let revision = first + seen;
  let firstClock = clock + seen;
  document.have = { ...have, revision: have.revision + payloads.length };

  const next = document.pending.clock;
  const isPending = next !== undefined && next >= firstClock && next < firstClock + payloads.length;
  if (isPending && origin === document.context.clientId) {
    const before = payloads.splice(0, next - firstClock);
    if (before.length > 0) document.emit({ type: "remote", revision, origin, firstClock, operations: before });
    revision += before.length;
    firstClock = next;
    // In a text they stand as the relay transformed them, not as they were submitted.
    if (document.isText) {
      document.pending.settleBelow(next + payloads.length);
    } else {
      const settled = document.pending.settle(payloads);
      if (settled.length > 0) {
        const count = settled.length;
        payloads.splice(0, count);
        document.emit({ type: "acknowledged", firstRevision: revision, firstClock, count, operations: settled });
        revision += count;
        firstClock += count;
      }
      // Somebody else has used this client's identity: what is pending gets other clocks.
      if (payloads.length > 0) document.pending.renumber(firstClock + payloads.length);
    }
  }
  if (payloads.length > 0) document.emit({ type: "remote", revision, origin, firstClock, operations: payloads });
  checkSynced(document);
}

export function acknowledged(document: Document, ack: wire.Ack): void {
  const firstRevision = number(document, ack.firstRevision);
  const clock = number(document, ack.clock);
  const have = document.have ?? { epoch: 0, revision: 0 };
  const expected = have.revision + 1;
  if (ack.duplicate) {
    // Its operations are still to come, as those of another connection.
    if (firstRevision >= expected) return;
  } else if (firstRevision === expected) {
    document.have = { ...have, revision: have.revision + ack.count };
  } else {
    throw Violation.revision(document.id, expected, firstRevision);
  }
  const settled = document.pending.acknowledge(Number(ack.clientSeq));
  if (settled !== undefined) {
    const sent = settled.firstClock + settled.operations.length - 1;
    if (settled.operations.length !== ack.count || clock < sent) {
      throw Violation.acknowledgement(document.id, sent, clock);
    }
  }
  document.emit({
    type: "acknowledged",
    firstRevision,
    firstClock: Math.max(0, clock + 1 - ack.count),
    count: ack.count,
    operations: settled?.operations ?? [],
    durability: durabilityOf(ack.durability),
  });
  checkSynced(document);
}

/** A batch was refused. */
export function refused(document: Document, nack: wire.Nack, now: number): void {
  const refusal = refusalOf(nack);
  const { pending } = document;
  const clientSeq = Number(nack.clientSeq);
  const nextClock = number(document, nack.nextClock);
  if (nack.code === ErrorCode.SYNC_CONFLICT && document.isText) {
    if (pending.retry(clientSeq)) document.rebase = { revision: Number(nack.revision), at: 0 };
  } else if (nack.code === ErrorCode.SNAPSHOT_REQUIRED) {
    if (pending.retry(clientSeq)) document.requestSync(undefined, now);
  } else if (nack.code === ErrorCode.DOCUMENT_NOT_OPEN) {
    document.reopen(0);
  } else if (nack.code === ErrorCode.CLOCK_GAP) {
    if (pending.retry(clientSeq)) {
      pending.rewind();
      pending.expect(nextClock);
      document.rebase = document.isText ? { revision: 0, at: 0 } : undefined;
    }
  } else if (!refusal.isPermanent) {
    const at = retryAt(refusal, now);
    if (pending.retry(clientSeq, at)) {
      if (document.isText) document.rebase = { revision: 0, at };
      document.emit({ type: "document_error", refusal });
    }
  } else {
    const operations = pending.refuse(clientSeq);
    if (operations !== undefined) document.emit({ type: "refused", operations, refusal });
  }
}

/** A revision or clock, within what a document can reach: sums of them are exact. */
function number(document: Document, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Violation(`document ${document.id}: ${value} is no clock or revision that a document can reach`);
  }
  return Number(value);
}

function positionOf(position: wire.Position | undefined): Position {
  return { epoch: Number(position?.epoch ?? 0n), revision: Number(position?.revision ?? 0n) };
}

/** The values of a field that this version does not know read as its default. */
function syncOf(mode: wire.SyncMode): Sync {
  if (mode === wire.SyncMode.DELTA) return "delta";
  return mode === wire.SyncMode.SNAPSHOT ? "snapshot" : "up_to_date";
}

function durabilityOf(durability: wire.Durability): Durability {
  if (durability === wire.Durability.INTERVAL) return "interval";
  return durability === wire.Durability.NEVER ? "never" : "always";
}
