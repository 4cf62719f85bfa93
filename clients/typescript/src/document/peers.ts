/** Who else is present on a document. */

import type { Cursor, Peer, Presence } from "../api.js";
import type { Announced } from "../session/announcement.js";
import type { Cursor as WireCursor, UserPresence } from "../wire/corelay_pb.js";

export class Peers {
  #peers: Map<number, Peer> = new Map();

  get all(): ReadonlyMap<number, Peer> {
    return this.#peers;
  }

  /** `full`: whoever is not listed is gone. Returns whether that changes anything. */
  update(presences: readonly UserPresence[], full: boolean): boolean {
    if (presences.length === 0 && (!full || this.#peers.size === 0)) return false;
    const peers = new Map<number, Peer>(full ? [] : this.#peers);
    for (const presence of presences) {
      const clientId = Number(presence.clientId);
      if (presence.left) peers.delete(clientId);
      else peers.set(clientId, peerOf(presence));
    }
    this.#peers = peers;
    return true;
  }
}

function peerOf(presence: UserPresence): Peer {
  const { cursor, selection } = presence;
  return {
    clientId: Number(presence.clientId),
    userId: presence.userId,
    name: presence.name,
    color: presence.color,
    ...(cursor && { cursor: cursorOf(cursor) }),
    ...(selection?.anchor &&
      selection.focus && { selection: { anchor: cursorOf(selection.anchor), focus: cursorOf(selection.focus) } }),
    isTyping: presence.isTyping,
    fields: fieldsOf(presence.fields),
    lastSeen: Number(presence.lastSeenMs),
  };
}

function cursorOf({ blockId, offset }: WireCursor): Cursor {
  return { block: blockId, offset: Number(offset) };
}

/** What is no JSON is some other application's. */
function fieldsOf(fields: Readonly<Record<string, Uint8Array>>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, bytes] of Object.entries(fields)) {
    try {
      values[name] = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      values[name] = bytes;
    }
  }
  return values;
}

/** A presence as it goes on the wire. */
export function announcedOf({ cursor, selection, isTyping = false, fields = {} }: Presence): Announced {
  const encoder = new TextEncoder();
  const defined = Object.entries(fields).filter(([, value]) => value !== undefined);
  return {
    ...(cursor !== undefined && { cursor: wireCursor(cursor) }),
    ...(selection && { selection: { anchor: wireCursor(selection.anchor), focus: wireCursor(selection.focus) } }),
    isTyping,
    fields: Object.fromEntries(defined.map(([name, value]) => [name, encoder.encode(JSON.stringify(value))])),
  };
}

function wireCursor(cursor: Cursor | number): { blockId: string; offset: bigint } {
  const { block, offset } = typeof cursor === "number" ? { block: "", offset: cursor } : cursor;
  return { blockId: block, offset: BigInt(offset) };
}
