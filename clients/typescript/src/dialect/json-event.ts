/** What the relay says in the JSON dialect. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { fromBase64 } from "../document/stored.js";
import { encodeOperation } from "../text/encoding.js";
import { type Component, Operation } from "../text/operation.js";
import { Durability, type Event, EventSchema, ResyncReason, SyncMode } from "../wire/corelay_pb.js";
import type { Handles } from "./handles.js";
import { elementsAt } from "./raw.js";

type Body = NonNullable<MessageInitShape<typeof EventSchema>["body"]>;

/** A JSON value whose members are looked at one by one. */
type Value = Record<string, unknown>;

/** `undefined`: something of a later version. Throws where the text is no message. */
export function readEvent(text: string, handles: Handles): Event | undefined {
  const { type, id, payload } = JSON.parse(text) as { type: string; id?: string; payload?: Value };
  const body = bodyOf(type, payload ?? {}, text, handles);
  return body === undefined ? undefined : create(EventSchema, { replyTo: id ?? "", body });
}

function bodyOf(type: string, payload: Value, text: string, handles: Handles): Body | undefined {
  const document = typeof payload.documentId === "string" ? handles.of(payload.documentId) : 0n;
  switch (type) {
    case "connected":
      return {
        case: "connected",
        value: {
          clientId: integer(payload.clientId),
          serverTimeMs: integer(payload.serverTime),
          protocolVersion: number(payload.protocolVersion),
          messageBytesMax: number(payload.messageBytesMax),
          batchOperationsMax: number(payload.batchOperationsMax),
          pingPeriodMs: number(payload.pingPeriodMs),
          presenceTtlMs: number(payload.presenceTtlMs),
        },
      };
    case "opened": {
      const permissions = (payload.permissions ?? {}) as { read?: boolean; write?: boolean };
      handles.setKind(document, String(payload.kind));
      return {
        case: "opened",
        value: {
          requestId: integer(payload.requestId),
          document,
          kind: String(payload.kind),
          position: position(payload.position),
          sync: sync(payload.sync),
          fromRevision: integer(payload.fromRevision),
          nextClock: integer(payload.nextClock),
          permissions: { read: permissions.read === true, write: permissions.write === true },
          presences: presences(payload.presences),
          color: string(payload.color),
        },
      };
    }
    case "remote_ops":
      return {
        case: "remoteOps",
        value: {
          document,
          revision: integer(payload.revision),
          origin: integer(payload.origin),
          firstClock: integer(payload.firstClock),
          operations: payloads(payload, text, handles.kindOf(document)),
        },
      };
    case "ack":
      return {
        case: "ack",
        value: {
          document,
          clientSeq: integer(payload.clientSeq),
          firstRevision: integer(payload.firstRevision),
          count: number(payload.count),
          clock: integer(payload.clock),
          persistedAtMs: integer(payload.persistedAt),
          durability: Durability[String(payload.durability).toUpperCase() as keyof typeof Durability],
          duplicate: payload.duplicate === true,
        },
      };
    case "nack":
      return {
        case: "nack",
        value: {
          document,
          clientSeq: integer(payload.clientSeq),
          ...refusal(payload),
          nextClock: integer(payload.nextClock),
          revision: integer(payload.revision),
        },
      };
    case "sync_response":
      return { case: "syncResponse", value: { document, ...page(payload, text, handles.kindOf(document)) } };
    case "presence_update":
      return {
        case: "presenceUpdate",
        value: { document, presences: presences(payload.presences), full: payload.full === true },
      };
    case "warning":
      return {
        case: "warning",
        value: {
          document,
          pendingOperations: integer(payload.pendingOperations),
          pendingBytes: integer(payload.pendingBytes),
        },
      };
    case "resync":
      return {
        case: "resync",
        value: {
          document,
          reason: ResyncReason[String(payload.reason).toUpperCase() as keyof typeof ResyncReason],
          from: position(payload.from),
          sync: sync(payload.sync),
          nextClock: integer(payload.nextClock),
        },
      };
    case "error": {
      const details = (payload.details ?? {}) as Value;
      const requestId = integer(details.requestId);
      const isAboutDocument = requestId === 0n && typeof details.documentId === "string";
      return {
        case: "error",
        value: {
          ...refusal(payload),
          requestId,
          document: isAboutDocument ? handles.of(details.documentId as string) : 0n,
          supportedVersions: (details.supportedVersions ?? []) as number[],
        },
      };
    }
    case "ping":
      return { case: "ping", value: { nonce: integer(payload.nonce) } };
    case "pong":
      return { case: "pong", value: { nonce: integer(payload.nonce), serverTimeMs: integer(payload.serverTime) } };
    case "goaway":
      return {
        case: "goaway",
        value: {
          reason: string(payload.reason),
          reconnectAfterMs: number(payload.reconnectAfterMs),
          jitterMs: number(payload.jitterMs),
        },
      };
    case "close":
      return { case: "close", value: { document, ...refusal(payload) } };
    case "disconnect":
      return { case: "close", value: { document: 0n, ...refusal(payload) } };
    case "sync_request":
      return { case: "syncRequest", value: { document, nextClock: integer(payload.nextClock) } };
    case "snapshot_accepted":
      return { case: "snapshotAccepted", value: { document, revision: integer(payload.revision) } };
    case "deleted":
      return {
        case: "deleted",
        value: {
          requestId: integer(payload.requestId),
          documentId: String(payload.documentId),
          undone: payload.undone === true,
        },
      };
    case "directory":
      return {
        case: "directory",
        value: {
          requestId: integer(payload.requestId),
          documents: entries(payload.documents),
          hasMore: payload.hasMore === true,
        },
      };
    case "directory_update":
      return {
        case: "directoryUpdate",
        value: {
          created: entries(payload.created),
          deleted: (payload.deleted ?? []) as string[],
          isIncomplete: payload.isIncomplete === true,
        },
      };
    case "history_page":
      return { case: "historyPage", value: historyPage(payload, text) };
    case "version_saved":
      return {
        case: "versionSaved",
        value: { requestId: integer(payload.requestId), version: version((payload.version ?? {}) as Value) },
      };
    case "versions":
      return {
        case: "versions",
        value: {
          requestId: integer(payload.requestId),
          documentId: string(payload.documentId),
          versions: ((payload.versions ?? []) as Value[]).map(version),
        },
      };
    case "version_deleted":
      return {
        case: "versionDeleted",
        value: {
          requestId: integer(payload.requestId),
          documentId: string(payload.documentId),
          name: string(payload.name),
        },
      };
    default:
      return undefined;
  }
}

function historyPage(payload: Value, text: string) {
  const kind = string(payload.kind);
  const texts = elementsAt(text, ["payload", "entries"]);
  return {
    requestId: integer(payload.requestId),
    documentId: string(payload.documentId),
    kind,
    entries: ((payload.entries ?? []) as Value[]).map((entry, index) => ({
      revision: integer(entry.revision),
      count: number(entry.count),
      origin: integer(entry.origin),
      author: string(entry.author),
      timeMs: integer(entry.time),
      bytes: integer(entry.bytes),
      operations: operations(entry.operations, kind, () => elementsAt(texts[index]!, ["operations"])),
    })),
    nextRevision: integer(payload.nextRevision),
    position: position(payload.position),
    firstRevision: integer(payload.firstRevision),
    oldestRevision: integer(payload.oldestRevision),
  };
}

function version({ name, revision, author, time }: Value) {
  return { name: string(name), revision: integer(revision), author: string(author), timeMs: integer(time) };
}

function page(payload: Value, text: string, kind: string) {
  const all = payloads(payload, text, kind);
  const batches = (payload.batches ?? []) as { origin: number; revision: number; firstClock: number; count: number }[];
  const chunk = payload.snapshot as Value | undefined;
  return {
    ...(chunk && {
      snapshot: {
        revision: integer(chunk.revision),
        bytesTotal: integer(chunk.bytesTotal),
        offset: integer(chunk.offset),
        data: typeof chunk.data === "string" ? encoder.encode(chunk.data) : bytes(chunk.data),
        nextClock: integer(chunk.nextClock),
      },
    }),
    operations: batches.map((batch) => ({
      origin: integer(batch.origin),
      revision: integer(batch.revision),
      firstClock: integer(batch.firstClock),
      operations: all.splice(0, batch.count),
    })),
    hasMore: payload.hasMore === true,
    resumeToken: typeof payload.resumeToken === "string" ? fromBase64(payload.resumeToken) : new Uint8Array(),
    position: position(payload.position),
    sync: sync(payload.sync),
  };
}

function payloads({ operations: list }: Value, text: string, kind: string): Uint8Array[] {
  return operations(list, kind, () => elementsAt(text, ["payload", "operations"]));
}

/** A log's are the bytes that their sender wrote. */
function operations(list: unknown, kind: string, written: () => string[]): Uint8Array[] {
  const values = (list ?? []) as unknown[];
  if (kind === "text") {
    return values.map((components) => encodeOperation(Operation.from(components as Component[])));
  }
  const texts = written();
  return values.map((value, index) => (isBytes(value) ? fromBase64(value.base64) : encoder.encode(texts[index])));
}

function presences(list: unknown) {
  return ((list ?? []) as Value[]).map((presence) => {
    const selection = presence.selection as Value | undefined;
    return {
      clientId: integer(presence.clientId),
      userId: string(presence.userId),
      name: string(presence.name),
      color: string(presence.color),
      cursor: cursor(presence.cursor),
      selection: selection && { anchor: cursor(selection.anchor), focus: cursor(selection.focus) },
      isTyping: presence.isTyping === true,
      fields: Object.fromEntries(
        Object.entries((presence.fields ?? {}) as Value).map(([name, value]) => [name, bytes(value)]),
      ),
      lastSeenMs: integer(presence.lastSeen),
      left: presence.left === true,
    };
  });
}

function cursor(value: unknown) {
  const { blockId, offset } = (value ?? {}) as Value;
  return value === undefined ? undefined : { blockId: string(blockId), offset: integer(offset) };
}

function entries(list: unknown) {
  return ((list ?? []) as Value[]).map(({ documentId, kind }) => ({
    documentId: String(documentId),
    kind: String(kind),
  }));
}

function refusal({ code, message, retryable, retryAfter }: Value) {
  return {
    code: number(code),
    message: string(message),
    retryable: retryable === true,
    retryAfterMs: Math.round(number(retryAfter) * 1000),
  };
}

function position(value: unknown) {
  const { epoch, revision } = (value ?? {}) as Value;
  return { epoch: integer(epoch), revision: integer(revision) };
}

function sync(word: unknown): SyncMode {
  const name = String(word).toUpperCase();
  return name in SyncMode ? SyncMode[name as keyof typeof SyncMode] : SyncMode.UP_TO_DATE;
}

function bytes(value: unknown): Uint8Array<ArrayBuffer> {
  return isBytes(value) ? fromBase64(value.base64) : encoder.encode(JSON.stringify(value));
}

function isBytes(value: unknown): value is { base64: string } {
  if (typeof value !== "object" || value === null) return false;
  return Object.keys(value).length === 1 && typeof (value as { base64?: unknown }).base64 === "string";
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function integer(value: unknown): bigint {
  return typeof value === "number" && Number.isInteger(value) ? BigInt(Math.max(0, value)) : 0n;
}

const encoder = new TextEncoder();
