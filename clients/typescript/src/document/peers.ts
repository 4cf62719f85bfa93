/** Who else is present on a document. */

import type { Cursor, Peer, Presence } from "../api.js";
import type { Announced } from "../session/announcement.js";
import type { Position } from "../session/event.js";
import type { Cursor as WireCursor, UserPresence } from "../wire/corelay_pb.js";

/** The field that says which revision of a text the places are of: `{"epoch": 1, "revision": 17}`. */
const AT = "corelay.at";

/** Somebody as they were told of. */
export interface Seen extends Peer {
  /** What the places are of, where that was said. */
  readonly at?: Position;
}

export class Peers {
  #peers: Map<number, Seen> = new Map();

  get all(): ReadonlyMap<number, Seen> {
    return this.#peers;
  }

  /** `full`: whoever is not listed is gone. Returns whether that changes anything. */
  update(presences: readonly UserPresence[], full: boolean): boolean {
    if (presences.length === 0 && (!full || this.#peers.size === 0)) return false;
    const peers = new Map<number, Seen>(full ? [] : this.#peers);
    for (const presence of presences) {
      const clientId = Number(presence.clientId);
      if (presence.left) peers.delete(clientId);
      else peers.set(clientId, peerOf(presence));
    }
    this.#peers = peers;
    return true;
  }
}

function peerOf(presence: UserPresence): Seen {
  const { cursor, selection } = presence;
  const { [AT]: said, ...fields } = fieldsOf(presence.fields);
  const at = positionOf(said);
  return {
    clientId: Number(presence.clientId),
    userId: presence.userId,
    name: presence.name,
    color: presence.color,
    ...(cursor && { cursor: cursorOf(cursor) }),
    ...(selection?.anchor &&
      selection.focus && { selection: { anchor: cursorOf(selection.anchor), focus: cursorOf(selection.focus) } }),
    isTyping: presence.isTyping,
    fields,
    lastSeen: Number(presence.lastSeenMs),
    ...(at && { at }),
  };
}

function cursorOf({ blockId, offset }: WireCursor): Cursor {
  return { block: blockId, offset: Number(offset) };
}

/** Others can write what they like. */
function positionOf(said: unknown): Position | undefined {
  const { epoch, revision } = (said ?? {}) as Position;
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(revision) ? { epoch, revision } : undefined;
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

/** A presence as it goes on the wire. `at`: what its places are of, in a text. */
export function announcedOf({ cursor, selection, isTyping = false, fields = {} }: Presence, at?: Position): Announced {
  const encoder = new TextEncoder();
  const defined = Object.entries({ ...fields, [AT]: at }).filter(([, value]) => value !== undefined);
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
