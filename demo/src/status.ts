// The state of the connection and of what the user did, in words.

import type { Durability, Refusal, SavedState, Status } from "@corelay/client";

export interface Situation {
  status: Status;
  /** Of the text: whether it is open, and why not. */
  document: { state: string; refusal?: Refusal };
  saved: { state: SavedState["state"]; pending: number; durability: Durability | undefined };
  now_ms: number;
}

export interface Words {
  /** For the eye: may count seconds. */
  text: string;
  /** For the ear: the same until something happens. */
  spoken: string;
  tone: "ok" | "busy" | "off";
}

export function describe({ status, document, saved, now_ms }: Situation): Words {
  const refusal = status.state === "stopped" ? status.refusal : document.refusal;
  if (refusal && (status.state === "stopped" || document.state === "closed")) {
    return same(`The relay refused: ${reasonOf(refusal)}`, "off");
  }
  const waiting = edits(saved.pending);
  switch (status.state) {
    case "stopped":
      return same(saved.pending > 0 ? `Not connected: ${waiting}` : "Not connected", "off");
    case "offline":
      return same(saved.pending > 0 ? `Offline: ${waiting}` : "Offline", "off");
    case "connecting":
      return same(saved.pending > 0 ? `Connecting… ${waiting}` : "Connecting…", "busy");
    case "reconnecting": {
      const seconds = Math.ceil(((status.retryAt ?? now_ms) - now_ms) / 1000);
      const when = seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…";
      return {
        text: saved.pending > 0 ? `${when}: ${waiting}` : when,
        spoken: saved.pending > 0 ? `Offline: ${waiting}` : "Offline, reconnecting",
        tone: "off",
      };
    }
    case "connected":
      return connected(document.state, saved);
  }
}

function connected(document: string, saved: Situation["saved"]): Words {
  if (document === "opening") return same("Opening…", "busy");
  if (saved.state === "refused") return same("Some edits were refused", "off");
  if (saved.pending > 0) return same("Saving…", "busy");
  if (document !== "open") return same("Catching up…", "busy");
  // What is not synced yet would be lost with the machine: not the word for that.
  return same(saved.durability === undefined || saved.durability === "always" ? "Saved" : "Received", "ok");
}

/** "12 edits wait here". */
export function edits(count: number): string {
  return count === 1 ? "1 edit waits here" : `${count.toLocaleString("en")} edits wait here`;
}

/** A refusal in few words. */
export function reasonOf(refusal: Refusal): string {
  switch (refusal.name) {
    case "UNAUTHORIZED":
      return "it does not accept the token";
    case "FORBIDDEN":
      return "the token does not grant this";
    case "REPLACED":
      return "another page has taken over";
    case "DOCUMENT_DELETED":
      return "the document has been deleted";
    case "DOCUMENT_NOT_FOUND":
      return "there is no such document";
    case "KIND_MISMATCH":
      return "the document is not a text";
    default:
      return refusal.message;
  }
}

function same(text: string, tone: Words["tone"]): Words {
  return { text, spoken: text, tone };
}
