/** Catching up: from where the application is to where the document was when that began. */

import type { SnapshotChunk } from "../wire/corelay_pb.js";
import type { Sync } from "./event.js";

/** A snapshot that was cut off, and how to go on with it. */
export interface Interrupted {
  readonly snapshot: Snapshot;
  readonly resumeToken: Uint8Array;
}

/** The pages that are on their way, and what is to come after them. */
export class CatchUp {
  #hasPages: boolean;
  #wantsSnapshot: boolean;
  #snapshot: Snapshot | undefined;
  /** Of the newest page: with it, another connection goes on after that. */
  #resumeToken: Uint8Array = new Uint8Array();

  constructor(
    sync: Sync,
    /** Where the document was then. The pages may end before it. */
    readonly revision: number,
    /** The clock that the relay expected of this client when it began. */
    readonly nextClock: number,
  ) {
    this.#hasPages = sync !== "up_to_date";
    this.#wantsSnapshot = sync === "snapshot";
  }

  /** Goes on with what an earlier connection has brought, if that is the beginning of the snapshot of `revision`. */
  resume(interrupted: Interrupted, revision: number): void {
    if (this.#wantsSnapshot && interrupted.snapshot.revision === revision) {
      this.#snapshot = interrupted.snapshot;
      this.#resumeToken = interrupted.resumeToken;
    }
  }

  /** What the next connection can go on with. */
  interrupt(): Interrupted | undefined {
    if (this.#snapshot === undefined || this.#resumeToken.length === 0) return undefined;
    return { snapshot: this.#snapshot, resumeToken: this.#resumeToken };
  }

  /** How to go on after the page that has just come. */
  keepToken(resumeToken: Uint8Array): void {
    this.#resumeToken = resumeToken;
  }

  /** Pages follow. */
  get hasPages(): boolean {
    return this.#hasPages;
  }

  /** Operations make no sense before the snapshot is whole. */
  get wantsSnapshot(): boolean {
    return this.#wantsSnapshot;
  }

  lastPage(): void {
    this.#hasPages = false;
  }

  /** Nothing is missing for an application that is at `revision`. */
  isDone(revision: number): boolean {
    return !this.#hasPages && revision >= this.revision;
  }

  /** Adds the next piece. Returns the snapshot when it is whole; a number is the offset that was due. */
  add(chunk: SnapshotChunk): Snapshot | number | undefined {
    this.#snapshot ??= new Snapshot(Number(chunk.revision), Number(chunk.nextClock), Number(chunk.bytesTotal));
    const snapshot = this.#snapshot;
    const due = snapshot.length;
    const end = due + chunk.data.length;
    const isNext = Number(chunk.offset) === due && end <= snapshot.bytesTotal;
    if (!this.#wantsSnapshot || !isNext || Number(chunk.revision) !== snapshot.revision) return due;
    snapshot.append(chunk.data);
    if (end < snapshot.bytesTotal) return undefined;
    this.#wantsSnapshot = false;
    this.#snapshot = undefined;
    return snapshot;
  }
}

/** A snapshot, or the beginning of one. */
export class Snapshot {
  #pieces: Uint8Array[] = [];
  length = 0;

  constructor(
    readonly revision: number,
    readonly nextClock: number,
    readonly bytesTotal: number,
  ) {}

  append(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.length += piece.length;
  }

  data(): Uint8Array {
    return concatenated(this.#pieces);
  }
}

export function concatenated(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
