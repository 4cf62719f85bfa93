/** A text as it was: put together from pages of its history. The twin of the Rust client's `TextAt`. */

import type { HistoryOptions, HistoryPage, PastText } from "../api.js";
import { ErrorCode, ownRefusal, refusalOf, RefusedError } from "../session/refusal.js";
import { compose } from "./compose.js";
import { Operation } from "./operation.js";

/**
 * A text at a revision, as far as its pages have come.
 *
 * Ask for what `next` says, and give the answer to `take`, until there is nothing more to ask for.
 */
export class Past {
  #text = "";
  #epoch = 0;
  /** Which revision the text has. `undefined`: no page has come. */
  #reached: number | undefined;

  constructor(
    /** Which revision is wanted. `undefined`: the newest, until a page says which that is. */
    public revision: number | undefined,
    /** An earlier one to go on from, as long as the document is still the same. */
    from?: PastText,
  ) {
    if (from === undefined || (revision !== undefined && from.revision > revision)) return;
    this.#text = from.text;
    this.#epoch = from.epoch;
    this.#reached = from.revision;
  }

  /** The page that is needed next. `undefined`: the text is there. */
  next(): HistoryOptions | undefined {
    if (this.#reached !== undefined && this.#reached === this.revision) return undefined;
    return { ...(this.#reached !== undefined && { fromRevision: this.#reached + 1 }), withOperations: true };
  }

  /** The answer to what `next` has said. Throws RefusedError where the text cannot be had from it. */
  take(page: HistoryPage): void {
    if (page.kind !== "text")
      throw refused(ErrorCode.KIND_MISMATCH, `the document is a ${page.kind}, which has no text`);
    const { epoch, revision: newest, firstRevision } = page;
    const origin = Math.max(0, firstRevision - 1);
    this.revision ??= newest;
    if (this.revision < origin || this.revision > newest) {
      throw refused(ErrorCode.REVISION_UNKNOWN, `the document has never been at revision ${this.revision}`);
    }
    if (this.#reached !== undefined && (epoch !== this.#epoch || this.#reached < origin)) {
      // It is not the document that the beginning was of.
      this.#text = "";
      this.#reached = undefined;
      this.#epoch = epoch;
      return;
    }
    this.#epoch = epoch;
    let reached = this.#reached ?? origin;
    const operations: Operation[] = [];
    for (const entry of page.entries) {
      if (reached === this.revision) break;
      if (entry.revision > reached + 1) throw gap(reached + 1, entry.revision);
      // It may begin before what is there.
      const wanted = entry.operations?.slice(reached + 1 - entry.revision, this.revision + 1 - entry.revision) ?? [];
      operations.push(...wanted);
      reached += wanted.length;
    }
    this.#text = composed(operations).apply(this.#text);
    this.#reached = reached;
    if (reached < this.revision && page.nextRevision !== reached + 1) throw gap(reached + 1, page.nextRevision ?? 0);
  }

  /** What it is, when there is nothing more to ask for. */
  get text(): PastText {
    return { text: this.#text, revision: this.#reached ?? 0, epoch: this.#epoch };
  }
}

/** Many as one: in halves, as composing takes as long as both of them are. */
function composed(operations: readonly Operation[]): Operation {
  if (operations.length <= 1) return operations[0] ?? Operation.identity;
  const middle = operations.length >> 1;
  return compose(composed(operations.slice(0, middle)), composed(operations.slice(middle)));
}

/** The question whose answer {@link revisionAt} reads. */
export function atTime(time: number): HistoryOptions {
  // 0 is no time to the relay.
  return { newestFirst: true, fromTime: Math.max(1, Math.floor(time)), limit: 1 };
}

/** Which revision the document had at a time. Where the first that is kept came later, the one before it. */
export function revisionAt({ entries: [newest], oldestRevision }: HistoryPage): number {
  if (newest === undefined) return Math.max(0, oldestRevision - 1);
  return newest.revision + newest.count - 1;
}

function gap(expected: number, found: number): RefusedError {
  return new RefusedError(ownRefusal("BROKEN", `revision ${found} came where ${expected} was due`));
}

function refused(code: ErrorCode, message: string): RefusedError {
  return new RefusedError(refusalOf({ code, message, retryable: false, retryAfterMs: 0 }));
}
