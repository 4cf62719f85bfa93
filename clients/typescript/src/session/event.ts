/** What a session tells its application. The twin of the Rust client's `Event`. */

import type { Durability, Refusal } from "../api.js";
import type { UserPresence } from "../wire/corelay_pb.js";
import type { Document } from "./document.js";
import type { Told } from "./message.js";
import type { Answer } from "./requests.js";

export interface Position {
  readonly epoch: number;
  readonly revision: number;
}

export type Sync = "up_to_date" | "delta" | "snapshot";

export type Event = ConnectionEvent | ({ readonly document: Document } & DocumentEvent);

export type ConnectionEvent =
  /** The relay has answered Hello; or, with `isRenewal`, a second one with a fresh token. */
  | { type: "connected"; clientId: number; serverTimeMs: number; isRenewal: boolean }
  /** The connection is lost, or could not be made. The next attempt comes at `retryAt`. */
  | { type: "disconnected"; retryAt: number }
  /** The relay has refused this client for ever: there is no further attempt. */
  | { type: "stopped"; refusal: Refusal }
  /** The relay will stop soon; the session comes back by itself. */
  | { type: "goaway"; reason: string }
  | { type: "violation"; message: string }
  /** Something was refused that no other event names. What is retryable the session asks again by itself. */
  | { type: "error"; refusal: Refusal }
  /** What the relay says to a question. Of a watch it comes again after a reconnect. */
  | { type: "answered"; request: number; answer: Answer }
  | { type: "directory_update"; request: number; update: Told<"directoryUpdate"> }
  | { type: "request_refused"; request: number; refusal: Refusal };

export type DocumentEvent =
  /** Open on this connection; what was missed follows. */
  | {
      type: "opened";
      kind: string;
      position: Position;
      permissions: { read: boolean; write: boolean };
      color: string;
    }
  /** Not open for the time being: it was refused for now, and will be asked again. */
  | { type: "postponed"; refusal: Refusal }
  /** Will not be opened again, unless the application asks for it. */
  | { type: "closed"; refusal: Refusal }
  /** Forget the content: the whole history follows, from revision 1. */
  | { type: "reset"; nextClock: number }
  /** The whole state at `revision`. The client's own operations below `nextClock` are part of it. */
  | { type: "snapshot"; revision: number; data: Uint8Array; nextClock: number }
  /** Operations in the history: others', or own ones that no Ack could name in their place. */
  | { type: "remote"; revision: number; origin: number; firstClock: number; operations: Uint8Array[] }
  /** Own operations, where they stand in the history. `firstRevision` 0: it is not known, or they are in a snapshot. */
  | {
      type: "acknowledged";
      firstRevision: number;
      firstClock: number;
      count: number;
      /** As they were submitted. Empty where the relay repeats an answer. */
      operations: Uint8Array[];
      /** Absent: seen while catching up, not in an Ack. */
      durability?: Durability;
    }
  /** A batch was refused for ever; the operations are not in the document. */
  | { type: "refused"; operations: Uint8Array[]; refusal: Refusal }
  /** kind text: the batch on its way was not applied, and what it has to be rebased on has been given. Submit it again. */
  | { type: "rebase" }
  /** Caught up. `nextClock`: what the relay expected of this client when it began. */
  | { type: "synced"; revision: number; nextClock: number }
  | { type: "presence"; presences: UserPresence[]; full: boolean }
  | { type: "warning"; pendingOperations: number; pendingBytes: number }
  /** The relay has put the subscription somewhere else; pages follow. */
  | { type: "resync"; from: Position }
  | { type: "snapshot_accepted"; revision: number }
  | { type: "snapshot_refused"; revision: number; refusal: Refusal }
  /** Something that was asked about it was refused, or for now a batch, which is sent again by itself. */
  | { type: "document_error"; refusal: Refusal };
