/** What a document is on. */

import type { Moment, PastText, Problem, Refusal } from "../api.js";
import type { Session } from "../session/session.js";
import type { Document as Place } from "../session/document.js";
import type { DocumentEvent } from "../session/event.js";

/** A document as the client drives it. */
export interface Guest {
  readonly id: string;
  readonly kind: "text" | "log";
  /** Its place on the session, once the storage has been read. */
  readonly at: Place | undefined;
  /** The storage has been read, as far as there is one. */
  start(stored: string | undefined): void;
  /** What is to outlive the page. `undefined`: nothing. */
  store(): string | undefined;
  handleEvent(event: DocumentEvent): void;
  /** The connection is gone, or there is one. */
  connectionChanged(isConnected: boolean): void;
  /** What waits is due. */
  flush(): void;
  /** Sends what is due. */
  poll(now: number): void;
  pollTimeout(): number | undefined;
  /** Nothing is sent any more, and nothing taken. */
  close(): void;
}

export interface Host {
  readonly session: Session;
  readonly isConnected: boolean;
  /** Why there will be no connection any more. */
  readonly stopped: Refusal | undefined;
  /** The session's time. */
  now(): number;
  /** The document has something to send, or to keep. */
  wake(document: Guest): void;
  /** Another connection in place of this one: what is opened on it comes later than on any other. */
  reconnect(): void;
  textAt(documentId: string, moment: Moment): Promise<PastText>;
  problem(problem: Problem): void;
  closed(document: Guest): void;
}
