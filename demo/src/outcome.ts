// What the user is told, and can do, when something does not go on by itself.

import type { Refusal, Status } from "@corelay/client";
import type { Notice } from "./notice";
import { capital } from "./page";
import { edits } from "./status";

/** After so many attempts the card says what the small words say already. */
const ATTEMPTS_QUIET = 4;

export interface Outlook {
  status: Status;
  document: { state: string; refusal?: Refusal };
  pending: number;
  isFull: boolean;
  isPersistent: boolean;
  hasToken: boolean;
  /** What the user wrote and the relay did not take. */
  lost: { text: string; refusal: Refusal } | null;
}

export interface Choices {
  connect(): void;
  reopen(): void;
  startAnew(): void;
  copyText(): void;
  copyLost(): void;
  forgetLost(): void;
}

export function noticeFor(outlook: Outlook, choices: Choices): Notice | null {
  const { status, document, lost } = outlook;
  if (status.state === "stopped" && status.refusal) return refused(status.refusal, outlook, choices, "connect");
  if (document.state === "closed" && document.refusal) return refused(document.refusal, outlook, choices, "reopen");
  if (lost) {
    return {
      key: "lost",
      tone: "off",
      title: "Some of what you wrote was not taken",
      body: `The relay says: ${lost.refusal.message}. It is not in the document any more, but you can copy it.`,
      actions: [
        { label: "Copy what was not taken", run: choices.copyLost },
        { label: "Let it go", run: choices.forgetLost },
      ],
    };
  }
  if (outlook.isFull) {
    return {
      key: "full",
      tone: "busy",
      title: "There is no more room for edits here",
      body: `${capital(edits(outlook.pending))} for the relay, and none of them is lost. You can write on when it has taken some.`,
      actions: status.state === "connected" ? [] : [{ label: "Try to connect now", run: choices.connect }],
    };
  }
  if (status.state === "reconnecting" && status.attempts >= ATTEMPTS_QUIET) {
    return {
      key: `away${outlook.isPersistent}`,
      tone: "busy",
      title: "The relay does not answer",
      body: `Write on: what you do is kept ${outlook.isPersistent ? "in this browser" : "in this page"} and sent when the relay is back.`,
      actions: [{ label: "Try now", run: choices.connect }],
    };
  }
  return null;
}

function refused(refusal: Refusal, outlook: Outlook, choices: Choices, retry: "connect" | "reopen"): Notice {
  const kept = outlook.pending > 0 ? ` ${capital(edits(outlook.pending))}, and none of them is lost.` : "";
  const said = `The relay says: ${refusal.message}.`;
  const copy = { label: "Copy the text", run: choices.copyText };
  const anew = { label: "Start a new document", run: choices.startAnew };
  const key = `${refusal.name}${outlook.hasToken}`;
  switch (refusal.name) {
    case "UNAUTHORIZED":
      return {
        key,
        tone: "off",
        title: outlook.hasToken ? "Your token is not accepted" : "This relay asks for a token",
        body: outlook.hasToken
          ? `${said} It may have expired: paste a fresh one.${kept}`
          : `Whoever runs it can give you one. It stays in this tab.${kept}`,
        asksForToken: true,
      };
    case "FORBIDDEN":
      return {
        key,
        tone: "off",
        title: "Your token does not open this document",
        body: `${said} Another token may.${kept}`,
        asksForToken: true,
        actions: [anew],
      };
    case "REPLACED":
      return {
        key,
        tone: "off",
        title: "This document is open in another page",
        body: `That page has the same identity as this one, and the newest goes first. Nothing is written here meanwhile.${kept}`,
        actions: [{ label: "Use it here", run: choices.reopen }, copy],
      };
    case "DOCUMENT_DELETED":
      return {
        key,
        tone: "off",
        title: "This document has been deleted",
        body: "For a while it can be brought back by whoever may delete it. The text is still on this page.",
        actions: [copy, { label: "Look again", run: choices.reopen }, anew],
      };
    default:
      return {
        key,
        tone: "off",
        title: "The relay refused",
        body: `${said}${kept}`,
        actions: [{ label: "Try again", run: choices[retry] }, copy, anew],
      };
  }
}
