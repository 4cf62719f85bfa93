/** The application's wish to be brought to the newest revision again. */

import type { Refusal } from "../api.js";
import type { Position } from "./event.js";
import { retryAt } from "./refusal.js";

/** What the application has, and is to be told what follows. */
export interface Wish {
  readonly have: Position | undefined;
}

/** At most one request is on its way, and at most one waits: the newest. */
export class Resyncs {
  #wanted: { wish: Wish; notBefore: number } | undefined;
  #asked: Wish | undefined;

  want(have: Position | undefined, notBefore: number): void {
    this.#wanted = { wish: { have }, notBefore };
  }

  /** When there is something to ask. */
  due(): number | undefined {
    return this.#asked === undefined ? this.#wanted?.notBefore : undefined;
  }

  /** What is to be asked now. */
  next(now: number): Wish | undefined {
    const due = this.due();
    if (due === undefined || due > now) return undefined;
    this.#asked = this.#wanted?.wish;
    this.#wanted = undefined;
    return this.#asked;
  }

  /** Whether a Resync answers a request. */
  answered(): boolean {
    const wasAsked = this.#asked !== undefined;
    this.#asked = undefined;
    return wasAsked;
  }

  /** The request is made again when the relay allows, unless there is a newer one by now. */
  refused(refusal: Refusal, now: number): void {
    if (this.#asked === undefined) return;
    this.#wanted = { wish: this.#wanted?.wish ?? this.#asked, notBefore: retryAt(refusal, now) };
    this.#asked = undefined;
  }
}
