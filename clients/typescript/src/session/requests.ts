/**
 * Questions about documents by their names: lists, deletions, and taking those back; what has happened in them, and their
 * versions.
 *
 * One is on its way at a time, so that they take effect in their order; it is sent again on the next connection if its
 * answer did not come.
 */

import type { HistoryOptions, ListOptions, Refusal } from "../api.js";
import type { RequestBody, Told } from "./message.js";
import { retryAt } from "./refusal.js";

export type Question =
  | ({ type: "list"; watch: boolean } & ListOptions)
  | { type: "delete"; documentId: string; undo: boolean }
  | ({ type: "history"; documentId: string } & HistoryOptions)
  /** `revision` 0: the newest. */
  | { type: "save_version"; documentId: string; name: string; revision: number }
  | { type: "list_versions"; documentId: string }
  | { type: "delete_version"; documentId: string; name: string };

/** What the relay answers to each. */
export interface Answers {
  list: Told<"directory">;
  delete: Told<"deleted">;
  history: Told<"historyPage">;
  save_version: Told<"versionSaved">;
  list_versions: Told<"versions">;
  delete_version: Told<"versionDeleted">;
}

export type Answer = Answers[Question["type"]];

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
    if (question.type === "list") this.#watch = question.watch ? { key, question } : undefined;
    return bodyOf(question, BigInt(REQUEST_ID_MIN + key));
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

function bodyOf(question: Question, requestId: bigint): RequestBody {
  switch (question.type) {
    case "list": {
      const { prefix = "", after = "", limit = 0, watch } = question;
      return { case: "list", value: { requestId, prefix, after, limit, watch } };
    }
    case "delete":
      return { case: "delete", value: { requestId, documentId: question.documentId, undo: question.undo } };
    case "history": {
      const { documentId, newestFirst = false, fromRevision = 0, fromTime = 0, limit = 0 } = question;
      const { withOperations = false } = question;
      const from = { fromRevision: BigInt(fromRevision), fromTimeMs: BigInt(fromTime) };
      return { case: "history", value: { requestId, documentId, newestFirst, ...from, limit, withOperations } };
    }
    case "save_version": {
      const { documentId, name, revision } = question;
      return { case: "saveVersion", value: { requestId, documentId, name, revision: BigInt(revision) } };
    }
    case "list_versions":
      return { case: "listVersions", value: { requestId, documentId: question.documentId } };
    case "delete_version":
      return { case: "deleteVersion", value: { requestId, documentId: question.documentId, name: question.name } };
  }
}
