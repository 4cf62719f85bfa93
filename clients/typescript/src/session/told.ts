/** What a session makes of each thing that the relay says. */

import type { Refusal } from "../api.js";
import type * as wire from "../wire/corelay_pb.js";
import type { Document } from "./document.js";
import * as history from "./history.js";
import { ErrorCode, refusalOf, retryAt } from "./refusal.js";
import type { Session } from "./session.js";
import { Violation } from "./violation.js";

export function handleEvent(session: Session, event: wire.Event, now: number): void {
  const { body } = event;
  switch (body.case) {
    case "connected":
      return handleConnected(session, body.value);
    case "opened":
      return handleOpened(session, body.value);
    case "remoteOps":
      return about(session, body.value, history.operations);
    case "ack":
      return about(session, body.value, history.acknowledged);
    case "nack":
      return about(session, body.value, (document, nack) => {
        history.refused(document, nack, now);
        if (document.handle === undefined) session.forget(nack.document);
      });
    case "syncResponse":
      return about(session, body.value, (document, page) => handlePage(session, document, page, now));
    case "resync":
      return about(session, body.value, history.resync);
    case "presenceUpdate":
      return about(session, body.value, (document, { presences, full }) => {
        document.emit({ type: "presence", presences, full });
      });
    case "warning":
      return about(session, body.value, (document, { pendingOperations, pendingBytes }) => {
        document.emit({
          type: "warning",
          pendingOperations: Number(pendingOperations),
          pendingBytes: Number(pendingBytes),
        });
      });
    case "error":
      return handleError(session, body.value, event.replyTo, now);
    case "ping":
      return session.send({ case: "pong", value: { nonce: body.value.nonce } });
    case "goaway": {
      const { reason, reconnectAfterMs, jitterMs } = body.value;
      session.notBefore = now + session.backoff.between(reconnectAfterMs, jitterMs);
      return session.emitEvent({ type: "goaway", reason });
    }
    case "close":
      return handleClose(session, body.value, now);
    case "snapshotAccepted":
      return about(session, body.value, (document, accepted) => {
        const revision = Number(accepted.revision);
        if (document.offers.accepted(revision)) document.emit({ type: "snapshot_accepted", revision });
      });
    case "deleted":
    case "directory":
    case "historyPage":
    case "versionSaved":
    case "versions":
    case "versionDeleted": {
      const request = session.requests.answered(body.value.requestId);
      if (request !== undefined) session.emitEvent({ type: "answered", request, answer: body.value });
      return;
    }
    case "directoryUpdate": {
      const request = session.requests.watched;
      if (request !== undefined) session.emitEvent({ type: "directory_update", request, update: body.value });
      return;
    }
    // Heard, which is all that a Pong is for. This client does not ask to be asked.
    case "pong":
    case "syncRequest":
    case undefined:
      return;
  }
}

/** What is said about a document that is not open any more is passed over. */
function about<Told extends { document: bigint }>(
  session: Session,
  told: Told,
  handle: (document: Document, told: Told) => void,
): void {
  const document = session.documentOf(told.document);
  if (document !== undefined) handle(document, told);
}

function handleConnected(session: Session, connected: wire.Connected): void {
  const isRenewal = session.link.is === "live";
  session.link = { is: "live" };
  session.backoff.reset();
  session.clientId = Number(connected.clientId);
  if (connected.messageBytesMax > 0) session.messageBytesMax = connected.messageBytesMax;
  const { settings } = session;
  settings.batchBytesMax = Math.min(settings.batchBytesMax, session.payloadBytesMax);
  if (connected.batchOperationsMax > 0) {
    settings.batchOperationsMax = Math.min(settings.batchOperationsMax, connected.batchOperationsMax);
  }
  if (connected.pingPeriodMs > 0) session.pingPeriodMs = connected.pingPeriodMs;
  const serverTimeMs = Number(connected.serverTimeMs);
  session.emitEvent({ type: "connected", clientId: session.clientId, serverTimeMs, isRenewal });
}

function handleOpened(session: Session, told: wire.Opened): void {
  const document = session.documents[Number(told.requestId) - 1];
  if (document === undefined) throw Violation.unexpected("Opened");
  if (document.isClosed) {
    // It was closed while it was being opened.
    session.send({ case: "close", value: { document: told.document } });
    return;
  }
  if (!document.isOpening) throw Violation.unexpected("Opened");
  session.remember(told.document, document);
  history.opened(document, told);
}

function handlePage(session: Session, document: Document, page: wire.SyncResponse, now: number): void {
  const bytes = Number(page.snapshot?.bytesTotal ?? 0n);
  const { snapshotBytesMax } = session.settings;
  if (bytes <= snapshotBytesMax) return history.page(document, page);
  session.forget(page.document);
  session.send({ case: "close", value: { document: page.document } });
  const message = `a snapshot of ${bytes} bytes, more than ${snapshotBytesMax}`;
  const code = ErrorCode.MESSAGE_TOO_LARGE;
  refuseDocument(session, document, refusalOf({ code, message, retryable: false, retryAfterMs: 0 }), now);
}

function handleError(session: Session, error: wire.Error, replyTo: string, now: number): void {
  const refusal = refusalOf(error);
  if (session.link.is === "greeting") {
    if (refusal.isPermanent) refuseForEver(session, refusal);
    else comeBackLater(session, refusal, now);
    return;
  }
  const document =
    error.document === 0n ? session.documents[Number(error.requestId) - 1] : session.documentOf(error.document);
  if (document !== undefined && (document.isOpening || error.document !== 0n)) {
    if (document.isOpening) return refuseDocument(session, document, refusal, now);
    if (refusal.code === ErrorCode.DOCUMENT_NOT_OPEN) {
      session.forget(error.document);
      return document.reopen(0);
    }
    if (refusal.code === ErrorCode.DOCUMENT_DELETED) {
      session.forget(error.document);
      return refuseDocument(session, document, refusal, now);
    }
    return handleDocumentError(document, refusal, replyTo, now);
  }
  const refused = session.requests.refused(error.requestId, refusal, now);
  if (refused === undefined) session.emitEvent({ type: "error", refusal });
  else if (refused.key !== undefined) session.emitEvent({ type: "request_refused", request: refused.key, refusal });
}

/** Something that was asked about a document that is open: to take a snapshot, or for a sync. */
function handleDocumentError(document: Document, refusal: Refusal, replyTo: string, now: number): void {
  const offer = document.offers.refused(replyTo, refusal, now);
  if (offer === "for_now") return;
  if (offer !== "other") return document.emit({ type: "snapshot_refused", revision: offer, refusal });
  if (refusal.code === ErrorCode.SNAPSHOT_REQUIRED) {
    document.resyncs.answered();
    return document.requestSync(undefined, retryAt(refusal, now));
  }
  if (!refusal.isPermanent) document.resyncs.refused(refusal, now);
  document.emit({ type: "document_error", refusal });
}

/** The document is not open, now or for ever. */
function refuseDocument(session: Session, document: Document, refusal: Refusal, now: number): void {
  const isUnresumable = refusal.code === ErrorCode.RESUME_TOKEN_INVALID || refusal.code === ErrorCode.SNAPSHOT_REQUIRED;
  if (isUnresumable && document.forgetInterrupted()) return document.reopen(0);
  if (!refusal.isPermanent) {
    document.reopen(now + Math.max(refusal.retryAfterMs, session.settings.reconnectDelayMs));
    return document.emit({ type: "postponed", refusal });
  }
  const revision = document.offers.take();
  if (revision !== undefined) document.emit({ type: "snapshot_refused", revision, refusal });
  // What was not acknowledged stays: the application may open the document again.
  document.shut();
  document.emit({ type: "closed", refusal });
}

function handleClose(session: Session, close: wire.Close, now: number): void {
  const refusal = refusalOf(close);
  if (close.document !== 0n) {
    const document = session.documentOf(close.document);
    session.forget(close.document);
    if (document !== undefined) refuseDocument(session, document, refusal, now);
  } else if (refusal.isPermanent) {
    refuseForEver(session, refusal);
  } else {
    comeBackLater(session, refusal, now);
  }
}

function refuseForEver(session: Session, refusal: Refusal): void {
  session.stop();
  session.emitEvent({ type: "stopped", refusal });
}

/** The relay does not want this connection now. Those that it tells so at once do not come back at once. */
function comeBackLater(session: Session, refusal: Refusal, now: number): void {
  if (refusal.retryAfterMs > 0) {
    // By Goaway it may have a time of its own, which holds unless it is too early.
    const isTooEarly = session.notBefore === undefined || session.notBefore < now + refusal.retryAfterMs;
    if (isTooEarly) session.notBefore = now + session.backoff.delayAfter(refusal.retryAfterMs);
  }
  session.emitEvent({ type: "error", refusal });
  session.dropConnection(now);
}
