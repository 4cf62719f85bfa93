/**
 * Where people are in a text.
 *
 * Each says where they are at a revision, and from then on everybody moves that along the history, in its one order and by
 * one rule, so that all arrive at the same place; whose it is knows so where the others think they are, and says something
 * only when that is wrong. The rule is an editor's own: what others insert at a cursor comes after it, what its own user
 * inserts comes before it, and a selection does not grow.
 */

import type { Operation } from "./operation.js";
import { moved, oppositeOf, type Side } from "./transform.js";

/** A cursor, and the ends of a selection, in code units. */
export interface Place {
  readonly cursor?: number;
  readonly selection?: { readonly anchor: number; readonly focus: number };
}

/** A place as it was told. */
export interface ToldPlace {
  readonly place: Place;
  /** The revision that it is of. `undefined`: of whatever was the newest where it arrives. */
  readonly revision: number | undefined;
}

interface Known {
  readonly told: ToldPlace;
  /** Where that is at the newest revision; `undefined` as long as what was told is of a later one. */
  place: Place | undefined;
}

interface Step {
  readonly origin: number;
  readonly operation: Operation;
  readonly bytes: number;
}

/** How far the history is kept, for places that are told late: so many steps, of together so many bytes. */
const STEPS_MAX = 1000;
const STEPS_BYTES_MAX = 1024 * 1024;

export class Places {
  #revision = 0;
  /** The last ones, up to the revision. */
  #steps: Step[] = [];
  #stepsBytes = 0;
  readonly #known = new Map<number, Known>();

  /** Somebody has said where they are. Who says the same again has moved with the text since. */
  tell(clientId: number, told: ToldPlace): void {
    const known = this.#known.get(clientId);
    const isNews = known?.told.revision !== told.revision || !areSame(known?.told.place, told.place);
    // Where they were is the best guess until the revision comes.
    if (isNews) this.#known.set(clientId, { told, place: this.#arrived(clientId, told) ?? known?.place });
  }

  forget(clientId: number): void {
    this.#known.delete(clientId);
  }

  /** Only these are there. */
  keep(clientIds: ReadonlySet<number>): void {
    for (const clientId of this.#known.keys()) if (!clientIds.has(clientId)) this.#known.delete(clientId);
  }

  /** Where somebody is at the newest revision. */
  of(clientId: number): Place | undefined {
    return this.#known.get(clientId)?.place;
  }

  /** Somebody is elsewhere by now than where they said. */
  hasMoved(clientId: number): boolean {
    const known = this.#known.get(clientId);
    return known !== undefined && !areSame(known.told.place, known.place);
  }

  /** The next revision. `bytes`: what the operation takes. */
  step(origin: number, operation: Operation, bytes: number): void {
    this.#revision += 1;
    this.#steps.push({ origin, operation, bytes });
    this.#stepsBytes += bytes;
    while (this.#steps.length > STEPS_MAX || this.#stepsBytes > STEPS_BYTES_MAX) {
      this.#stepsBytes -= this.#steps.shift()!.bytes;
    }
    for (const [clientId, known] of this.#known) {
      if (known.told.revision === this.#revision) known.place = known.told.place;
      else if (known.place !== undefined) known.place = movedBy(known.place, operation, clientId === origin);
    }
  }

  /** The text is now of this revision, and how it came to be is not known: everybody is where they said last. */
  jump(revision: number): void {
    this.#revision = revision;
    this.#steps = [];
    this.#stepsBytes = 0;
    for (const [clientId, known] of this.#known) known.place = this.#arrived(clientId, known.told);
  }

  #arrived(clientId: number, { place, revision }: ToldPlace): Place | undefined {
    if (revision === undefined) return place;
    const age = this.#revision - revision;
    if (age < 0) return undefined;
    // Without the history since then it is a guess, which is mended by whose it is.
    if (age > this.#steps.length) return place;
    const steps = this.#steps.slice(this.#steps.length - age);
    return steps.reduce((at, { origin, operation }) => movedBy(at, operation, clientId === origin), place);
  }
}

/** Where a place is after an edit, by its own user or by somebody else. */
export function movedBy({ cursor, selection }: Place, operation: Operation, isOwn: boolean): Place {
  const side: Side = isOwn ? "right" : "left";
  const at = (position: number, on = side): number => moved(position, operation, on);
  if (selection === undefined) return cursor === undefined ? {} : { cursor: at(cursor) };
  const { anchor, focus } = selection;
  if (anchor === focus) {
    const both = { anchor: at(anchor), focus: at(focus) };
    return { ...(cursor !== undefined && { cursor: at(cursor) }), selection: both };
  }
  const inner: Side = anchor < focus ? "right" : "left";
  const ends = { anchor: at(anchor, inner), focus: at(focus, oppositeOf(inner)) };
  if (cursor === undefined) return { selection: ends };
  const ofEnd = cursor === focus ? ends.focus : cursor === anchor ? ends.anchor : at(cursor);
  return { cursor: ofEnd, selection: ends };
}

export function areSame(a: Place | undefined, b: Place | undefined): boolean {
  return (
    a?.cursor === b?.cursor &&
    a?.selection?.anchor === b?.selection?.anchor &&
    a?.selection?.focus === b?.selection?.focus
  );
}
