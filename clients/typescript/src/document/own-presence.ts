/** What this client says of itself on a text: only where the others think otherwise. */

import type { Cursor, Presence } from "../api.js";
import type { TextClient } from "../text/client.js";
import type { Operation } from "../text/operation.js";
import { areSame, movedBy, type Place } from "../text/places.js";

export class OwnPresence {
  #presence: Presence | undefined;
  /** In the text as the user sees it now. */
  #place: Place = {};
  /** All but the place, as it was last said. */
  #words: string | undefined;

  /** The places in it are in the text as it is now. */
  announce(presence: Presence): void {
    this.#presence = presence;
    this.#place = placeOf(presence);
  }

  leave(client: TextClient | undefined): void {
    this.#presence = undefined;
    this.#words = undefined;
    client?.places.forget(client.clientId);
  }

  /** The text has changed. */
  moved(operation: Operation, isOwn: boolean): void {
    this.#place = movedBy(this.#place, operation, isOwn);
  }

  /** Who has not seen the text change since this client said where it is would look for it in a wrong place. */
  isStale(client: TextClient): boolean {
    return this.#presence !== undefined && client.places.hasMoved(client.clientId);
  }

  /** What there is to say at the client's revision, and be it once more. */
  next(client: TextClient | undefined, isAgain = false): Presence | undefined {
    const presence = this.#presence;
    if (presence === undefined) return undefined;
    const { isTyping, fields } = presence;
    const others = { ...elsewhere(presence), ...(isTyping !== undefined && { isTyping }), ...(fields && { fields }) };
    const words = JSON.stringify(others);
    const known = client?.places.of(client.clientId);
    // The others do not have the edits that wait, which a place would overtake: they go on from where it was before.
    const place = client?.pending.length === 0 ? this.#place : (known ?? {});
    if (!isAgain && words === this.#words && areSame(place, known)) return undefined;
    this.#words = words;
    client?.places.tell(client.clientId, { place, revision: client.revision });
    return { ...others, ...place };
  }
}

type Places = Pick<Presence, "cursor" | "selection">;

/** What of it is in the text itself. */
export function placeOf({ cursor, selection }: Places): Place {
  const [at, anchor, focus] = [cursor, selection?.anchor, selection?.focus].map(offsetIn);
  return {
    ...(at !== undefined && { cursor: at }),
    ...(anchor !== undefined && focus !== undefined && { selection: { anchor, focus } }),
  };
}

/** What of it is in a block of the application's own, which stays where it is. */
function elsewhere(places: Places): Places {
  const { cursor, selection } = places;
  const place = placeOf(places);
  return {
    ...(cursor !== undefined && place.cursor === undefined && { cursor }),
    ...(selection && place.selection === undefined && { selection }),
  };
}

function offsetIn(cursor: Cursor | number | undefined): number | undefined {
  if (typeof cursor === "object") return cursor.block === "" ? cursor.offset : undefined;
  return cursor;
}
