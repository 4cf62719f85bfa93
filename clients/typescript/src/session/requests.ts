/**
 * Questions about documents by their names: lists, deletions, and taking those back.
 *
 * One is on its way at a time, so that they take effect in their order; it is sent again on the next connection if its
 * answer did not come.
 */

import type { ListOptions, Refusal } from "../api.js";
import type { RequestBody } from "./message.js";
import { retryAt } from "./refusal.js";

export type Question =
  ({ type: "list"; watch: boolean } & ListOptions) | { type: "delete"; documentId: string; undo: boolean };

/** On the wire they are numbered from here: below are documents that are opened. */
const REQUEST_ID_MIN = 2 ** 32;

export class Requests {
  /** The first may be on its way. */
  #waiting: { key: number; question: Question }[] = [];
  #isSent = false;
  #notBefore = 0;
  #count = 0;
  #watch: { key: number; question: Question } | undefined;

  /** `undefined`: as many wait as may. */
  push(question: Question, waitingMax: number): number | undefined {
    if (this.#waiting.length >= waitingMax) return undefined;
    const key = this.#count;
    this.#count += 1;
    this.#waiting.push({ key, question });
    return key;
  }

  /** Nobody watches any more. */
  unwatch(key: number): void {
    if (this.#watch?.key === key) this.#watch = undefined;
    this.#waiting = this.#waiting.filter((entry, index) => entry.key !== key || (this.#isSent && index === 0));
  }

  /** The connection is gone, and with it the relay's knowledge of who watches. */
  disconnect(): void {
    this.#isSent = false;
    const watch = this.#watch;
    this.#watch = undefined;
    if (watch !== undefined && !this.#waiting.some(({ question }) => question.type === "list")) {
      this.#waiting.unshift(watch);
    }
  }

  /** When there is something to send. */
  due(): number | undefined {
    return !this.#isSent && this.#waiting.length > 0 ? this.#notBefore : undefined;
  }

  /** What is to be sent now. */
  next(now: number): RequestBody | undefined {
    const due = this.due();
    if (due === undefined || due > now) return undefined;
    const { key, question } = this.#waiting[0]!;
    this.#isSent = true;
    const requestId = BigInt(REQUEST_ID_MIN + key);
    if (question.type === "delete") {
      return { case: "delete", value: { requestId, documentId: question.documentId, undo: question.undo } };
    }
    this.#watch = question.watch ? { key, question } : undefined;
    const { prefix = "", after = "", limit = 0, watch } = question;
    return { case: "list", value: { requestId, prefix, after, limit, watch } };
  }

  /** The relay has answered. `undefined`: this was not asked. */
  answered(requestId: bigint): number | undefined {
    const key = this.#sent(requestId);
    if (key === undefined) return undefined;
    this.#waiting.shift();
    this.#isSent = false;
    return key;
  }

  /** The relay has refused. `undefined`: this was not asked, or will be asked again when the relay allows. */
  refused(requestId: bigint, refusal: Refusal, now: number): { key: number | undefined } | undefined {
    const key = this.#sent(requestId);
    if (key === undefined) return undefined;
    if (!refusal.isPermanent) {
      this.#isSent = false;
      this.#notBefore = retryAt(refusal, now);
      return { key: undefined };
    }
    if (this.#watch?.key === key) this.#watch = undefined;
    return { key: this.answered(requestId) };
  }

  /** The list whose documents are watched on this connection. */
  get watched(): number | undefined {
    return this.#watch?.key;
  }

  #sent(requestId: bigint): number | undefined {
    const first = this.#waiting[0];
    if (!this.#isSent || first === undefined) return undefined;
    return Number(requestId) - REQUEST_ID_MIN === first.key ? first.key : undefined;
  }
}
