// A document's changes as people think of them: who was at it together, and on which day.

import type { HistoryEntry } from "@corelay/client";

/** Somebody who pauses for longer has begun something else: in a document of a few minutes sooner than in one of years. */
const PAUSES_MS = [5_000, 30_000];
export const PAUSE_MAX_MS = 3 * 60_000;
/** Who writes on and on begins something else after so many pauses' time. */
const SPAN_MAX = 5;
/** More than these nobody looks through. */
const CHANGES_MAX = 15;

/** What was changed without a pause. */
export interface Change {
  /** The revision before it. */
  before: number;
  revision: number;
  begun_ms: number;
  ended_ms: number;
  /** By client id, the user id that the relay knows. */
  authors: Map<number, string>;
}

export type Entry = Omit<HistoryEntry<unknown>, "operations">;

/** The shortest pause that makes no more changes than somebody looks through, or the longest. */
export function pauseOf(entries: readonly Entry[]): number {
  const fits = (pause_ms: number) => changesOf(entries, pause_ms).length <= CHANGES_MAX;
  return PAUSES_MS.find(fits) ?? PAUSE_MAX_MS;
}

/** From the newest to the oldest. */
export function changesOf(entries: readonly Entry[], pause_ms: number): Change[] {
  const changes: Change[] = [];
  for (const { revision, count, origin, author, time } of entries) {
    const last = changes.at(-1);
    const goesOn = last && last.begun_ms - time <= pause_ms && last.ended_ms - time <= SPAN_MAX * pause_ms;
    if (goesOn && dayOf(time) === dayOf(last.ended_ms)) {
      last.before = revision - 1;
      last.begun_ms = time;
      last.authors.set(origin, author);
    } else {
      changes.push({
        before: revision - 1,
        revision: revision + count - 1,
        begun_ms: time,
        ended_ms: time,
        authors: new Map([[origin, author]]),
      });
    }
  }
  return changes;
}

/** What comes after each other on one day. */
export function byDay(changes: readonly Change[]): Change[][] {
  const days: Change[][] = [];
  for (const change of changes) {
    const last = days.at(-1);
    if (last?.[0] && dayOf(last[0].ended_ms) === dayOf(change.ended_ms)) last.push(change);
    else days.push([change]);
  }
  return days;
}

function dayOf(time_ms: number): string {
  return new Date(time_ms).toDateString();
}
