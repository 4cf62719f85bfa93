/**
 * Transformation: what an operation becomes after another one that was made against the same document.
 *
 * For operations `a` and `b` on one document, `a` and then `b` transformed over `a` lead to the same document as `b` and
 * then `a` transformed over `b`. Two inserts at one position are the one case that the operations do not decide: there
 * the insert of the lower client id stands left. Whoever transforms like this agrees with the relay.
 */

import { type Component, type Operation, OperationBuilder } from "./operation.js";

/** Where an operation's insert stands when the other inserts at the same position. */
export type Side = "left" | "right";

/** The side of `clientId`'s inserts, beside those of `other`. */
export function sideOf(clientId: number, other: number): Side {
  return clientId < other ? "left" : "right";
}

export function oppositeOf(side: Side): Side {
  return side === "left" ? "right" : "left";
}

/** What `operation` becomes after `over`. `side` is that of `operation`. */
export function rebased(operation: Operation, over: Operation, side: Side): Operation {
  const result = new OperationBuilder();
  const walk = new Walk(over.components);
  for (const component of operation.components) {
    if ("insert" in component) {
      if (side === "right") result.retain(walk.takeInserts());
      result.insert(component.insert);
      continue;
    }
    const isRetained = "retain" in component;
    let length = isRetained ? component.retain : component.delete;
    while (length > 0) {
      result.retain(walk.takeInserts());
      const { taken, isKept } = walk.take(length);
      if (isKept && isRetained) result.retain(taken);
      else if (isKept) result.delete(taken);
      length -= taken;
    }
  }
  return result.build();
}

/**
 * Exchanges a sequence of operations with one that was made against the same document: returns `other` as it is after
 * all of them, and makes each of them what it is after `other`. `side` is that of the sequence.
 */
export function cross(sequence: Operation[], other: Operation, side: Side): Operation {
  for (const [index, operation] of sequence.entries()) {
    const otherAfter = rebased(other, operation, oppositeOf(side));
    sequence[index] = rebased(operation, other, side);
    other = otherAfter;
  }
  return other;
}

/**
 * Where a position (a cursor, an end of a selection) is after an operation. `side` is that of the position where text is
 * inserted right there: `left` stays in front of it.
 */
export function moved(position: number, operation: Operation, side: Side): number {
  let passed = 0;
  let result = position;
  for (const component of operation.components) {
    if ("retain" in component) {
      passed += component.retain;
    } else if ("delete" in component) {
      result -= Math.min(component.delete, Math.max(0, position - passed));
      passed += component.delete;
    } else {
      if (passed > position || (passed === position && side === "left")) return result;
      result += component.insert.length;
    }
  }
  return result;
}

/** A walk over what another operation does to the document. */
class Walk {
  #next = 0;
  /** The rest of the retain or delete that has been begun. */
  #begun = 0;
  #isKept = true;

  constructor(readonly components: readonly Component[]) {}

  /** The length of what is inserted at this position. */
  takeInserts(): number {
    const component = this.components[this.#next];
    if (this.#begun > 0 || component === undefined || !("insert" in component)) return 0;
    this.#next += 1;
    return component.insert.length;
  }

  /** Walks over at most `length` units that have one fate. There must be no insert at this position. */
  take(length: number): { taken: number; isKept: boolean } {
    if (this.#begun === 0) {
      const component = this.components[this.#next];
      if (component === undefined) return { taken: length, isKept: true };
      if ("insert" in component) throw new Error("the inserts at this position have been taken");
      this.#next += 1;
      this.#isKept = "retain" in component;
      this.#begun = "retain" in component ? component.retain : component.delete;
    }
    const taken = Math.min(this.#begun, length);
    this.#begun -= taken;
    return { taken, isKept: this.#isKept };
  }
}
