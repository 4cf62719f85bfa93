/** What the relay answers to questions about documents by their names, as the application sees it. */

import type { DirectoryEntry, DirectoryPage, HistoryPage, PageOf, Version } from "../api.js";
import { decodeOperation } from "../text/encoding.js";
import type * as wire from "../wire/corelay_pb.js";

export function directoryOf({ documents, hasMore }: wire.Directory): DirectoryPage {
  return { documents: documents.map(entryOf), hasMore };
}

export function entryOf({ documentId, kind }: wire.DocumentEntry): DirectoryEntry {
  return { id: documentId, kind };
}

/** Throws RangeError where an operation is none. */
export function historyOf(page: wire.HistoryPage): HistoryPage {
  if (page.kind === "text") return pageOf(page, "text", decodeOperation);
  return pageOf(page, page.kind as "log", (bytes) => bytes);
}

function pageOf<Kind extends string, T>(page: wire.HistoryPage, kind: Kind, read: (bytes: Uint8Array) => T) {
  const nextRevision = Number(page.nextRevision);
  return {
    kind,
    entries: page.entries.map(({ operations, ...entry }) => ({
      revision: Number(entry.revision),
      count: entry.count,
      origin: Number(entry.origin),
      author: entry.author,
      time: Number(entry.timeMs),
      bytes: Number(entry.bytes),
      ...(operations.length > 0 && { operations: operations.map(read) }),
    })),
    ...(nextRevision > 0 && { nextRevision }),
    revision: Number(page.position?.revision ?? 0n),
    epoch: Number(page.position?.epoch ?? 0n),
    firstRevision: Number(page.firstRevision),
    oldestRevision: Number(page.oldestRevision),
  } satisfies PageOf<Kind, T>;
}

export function versionOf({ name, revision, author, timeMs }: wire.Version): Version {
  return { name, revision: Number(revision), author, time: Number(timeMs) };
}
