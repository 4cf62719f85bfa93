/** What a client asks, as the JSON dialect says it. */

import { toBase64 } from "../document/stored.js";
import { textOf } from "../identity.js";
import { decodeOperation } from "../text/encoding.js";
import type { Cursor, Position, Request } from "../wire/corelay_pb.js";
import type { Handles } from "./handles.js";

/** The message, without the text around it. */
export function writeRequest({ id, body }: Request, handles: Handles): object {
  const say = (type: string, payload: object = {}): object => ({ type, ...(id !== "" && { id }), payload });
  switch (body.case) {
    case "hello": {
      const { protocolVersion, clientUuid, token, userId, userName } = body.value;
      return say("connect", { protocolVersion, clientId: textOf(clientUuid), token, userId, userName });
    }
    case "open": {
      const { requestId, document, kind, have, create, resumeToken } = body.value;
      return say("open", {
        requestId: Number(requestId),
        documentId: document,
        kind,
        create,
        ...(have && { have: positionOf(have) }),
        ...(resumeToken.length > 0 && { resumeToken: toBase64Url(resumeToken) }),
      });
    }
    case "operations": {
      const { document, clientSeq, firstClock, baseRevision, operations } = body.value;
      const isText = handles.kindOf(document) === "text";
      return say("operations", {
        documentId: handles.idOf(document),
        clientSeq: Number(clientSeq),
        firstClock: Number(firstClock),
        baseRevision: Number(baseRevision),
        operations: operations.map((bytes) => (isText ? decodeOperation(bytes).components : bytesOf(bytes))),
      });
    }
    case "syncRequest": {
      const { document, have } = body.value;
      return say("sync_request", { documentId: handles.idOf(document), ...(have && { have: positionOf(have) }) });
    }
    case "presence": {
      const { document, cursor, selection, isTyping, fields, leave } = body.value;
      return say("presence", {
        documentId: handles.idOf(document),
        ...(cursor && { cursor: cursorOf(cursor) }),
        ...(selection?.anchor &&
          selection.focus && {
            selection: { anchor: cursorOf(selection.anchor), focus: cursorOf(selection.focus) },
          }),
        isTyping,
        fields: Object.fromEntries(Object.entries(fields).map(([name, bytes]) => [name, bytesOf(bytes)])),
        leave,
      });
    }
    case "heartbeat":
      return say("heartbeat", { documentId: handles.idOf(body.value.document) });
    case "ping":
      return say("ping", { nonce: Number(body.value.nonce) });
    case "pong":
      return say("pong", { nonce: Number(body.value.nonce) });
    case "close":
      if (body.value.document === 0n) return say("disconnect");
      return say("close", { documentId: handles.idOf(body.value.document) });
    case "snapshotOffer": {
      const { document, revision, bytesTotal, offset, data } = body.value;
      return say("snapshot_offer", {
        documentId: handles.idOf(document),
        revision: Number(revision),
        bytesTotal: Number(bytesTotal),
        offset: Number(offset),
        data: bytesOf(data),
      });
    }
    case "delete": {
      const { requestId, documentId, undo } = body.value;
      return say("delete", { requestId: Number(requestId), documentId, undo });
    }
    case "list": {
      const { requestId, prefix, after, limit, watch } = body.value;
      return say("list", { requestId: Number(requestId), prefix, after, limit, watch });
    }
    case "history": {
      const { requestId, documentId, newestFirst, fromRevision, fromTimeMs, limit, withOperations } = body.value;
      return say("history", {
        requestId: Number(requestId),
        documentId,
        newestFirst,
        fromRevision: Number(fromRevision),
        fromTime: Number(fromTimeMs),
        limit,
        withOperations,
      });
    }
    case "saveVersion": {
      const { requestId, documentId, name, revision } = body.value;
      return say("save_version", { requestId: Number(requestId), documentId, name, revision: Number(revision) });
    }
    case "listVersions": {
      const { requestId, documentId } = body.value;
      return say("list_versions", { requestId: Number(requestId), documentId });
    }
    case "deleteVersion": {
      const { requestId, documentId, name } = body.value;
      return say("delete_version", { requestId: Number(requestId), documentId, name });
    }
    case undefined:
      throw new Error("nothing is asked");
  }
}

function positionOf({ epoch, revision }: Position): object {
  return { epoch: Number(epoch), revision: Number(revision) };
}

function cursorOf({ blockId, offset }: Cursor): object {
  return { blockId, offset: Number(offset) };
}

/** Bytes that are to stay as they are, whatever they say. */
function bytesOf(bytes: Uint8Array): object {
  return { base64: toBase64(bytes) };
}

function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
