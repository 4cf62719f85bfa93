// Counts what happens and how long it takes, over the last while. The clock is the caller's.

import type { Document } from "@corelay/client";

const RATE_WINDOW_MS = 5_000;
const LATENCY_WINDOW_MS = 60_000;
const SAMPLES_MAX = 1_000;
/** So many edits are timed at once. */
const TIMINGS_MAX = 50;

interface Sample {
  at_ms: number;
  value: number;
}

export class Meter {
  private operations: Sample[] = [];
  private latencies: Sample[] = [];

  countOperations(now_ms: number, count: number): void {
    this.operations.push({ at_ms: now_ms, value: count });
  }

  /** From when an edit was sent until the relay said that it is kept. */
  addLatency(now_ms: number, latency_ms: number): void {
    this.latencies.push({ at_ms: now_ms, value: latency_ms });
    if (this.latencies.length > SAMPLES_MAX) this.latencies.shift();
  }

  operationsPerSecond(now_ms: number): number {
    const total = this.operations
      .filter((sample) => sample.at_ms > now_ms - RATE_WINDOW_MS)
      .reduce((sum, sample) => sum + sample.value, 0);
    return (total * 1000) / RATE_WINDOW_MS;
  }

  /** Of the last minute; null where there is none. */
  latency(now_ms: number): { median_ms: number; p99_ms: number } | null {
    this.latencies = this.latencies.filter((sample) => sample.at_ms > now_ms - LATENCY_WINDOW_MS);
    if (this.latencies.length === 0) return null;
    const sorted = this.latencies.map((sample) => sample.value).sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
    return { median_ms: at(0.5), p99_ms: at(0.99) };
  }

  /** Operations in each of the last `count` spans of `span_ms`, the oldest first. */
  history(now_ms: number, count: number, span_ms: number): number[] {
    this.operations = this.operations.filter((sample) => sample.at_ms > now_ms - count * span_ms);
    const spans = new Array<number>(count).fill(0);
    for (const sample of this.operations) {
      const index = count - 1 - Math.min(count - 1, Math.max(0, Math.floor((now_ms - sample.at_ms) / span_ms)));
      spans[index] = (spans[index] as number) + sample.value;
    }
    return spans;
  }
}

/** Takes the time of own edits. Those that saw another `epoch`, a lost connection, do not count. */
export function timeEdits(
  document: Pick<Document, "state" | "whenSaved">,
  onEdit: (listener: () => void) => void,
  meter: Meter,
  epoch: () => number,
): void {
  let timing = 0;
  onEdit(() => {
    if (timing >= TIMINGS_MAX || document.state.state !== "open") return;
    const begun_ms = performance.now();
    const begun = epoch();
    timing += 1;
    document
      .whenSaved()
      .then(() => {
        const now_ms = performance.now();
        if (epoch() === begun) meter.addLatency(now_ms, now_ms - begun_ms);
      })
      .catch(() => {}) // Refused: told elsewhere.
      .finally(() => {
        timing -= 1;
      });
  });
}
