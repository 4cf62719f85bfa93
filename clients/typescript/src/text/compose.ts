/** Composition, two operations in sequence as one, and the operation that leads from one document to another. */

import {
  type Component,
  isHighSurrogate,
  isLowSurrogate,
  Operation,
  OperationBuilder,
  splitsPair,
} from "./operation.js";

/** One operation that does what `first` and then `next` does. Throws RangeError where `next` cuts an inserted pair. */
export function compose(first: Operation, next: Operation): Operation {
  const composed = new OperationBuilder();
  const before = new Walk(first.components);
  for (const component of next.components) {
    if ("insert" in component) {
      composed.insert(component.insert);
      continue;
    }
    const isKept = "retain" in component;
    let length = isKept ? component.retain : component.delete;
    while (length > 0) {
      const piece = before.take(length);
      if ("delete" in piece) {
        composed.delete(piece.delete);
      } else if ("retain" in piece) {
        if (isKept) composed.retain(piece.retain);
        else composed.delete(piece.retain);
        length -= piece.retain;
      } else {
        if (isKept) composed.insert(piece.insert);
        length -= piece.insert.length;
      }
    }
  }
  for (let rest = before.takeRest(); rest !== undefined; rest = before.takeRest()) composed.add(rest);
  return composed.build();
}

/** One edit that makes `from` into `to`: what stands between their common start and end. */
export function difference(from: string, to: string): Operation {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && from.charCodeAt(start) === to.charCodeAt(start)) start += 1;
  // Characters, not halves of them.
  if (start > 0 && isHighSurrogate(from.charCodeAt(start - 1))) start -= 1;
  let end = 0;
  while (end < shorter - start && from.charCodeAt(from.length - 1 - end) === to.charCodeAt(to.length - 1 - end)) {
    end += 1;
  }
  if (end > 0 && isLowSurrogate(from.charCodeAt(from.length - end))) end -= 1;
  return Operation.splice(start, from.length - end - start, to.slice(start, to.length - end));
}

/** A walk over the document that an operation leaves behind, and over what it deleted. */
class Walk {
  #next = 0;
  #begun: Component | undefined;

  constructor(readonly components: readonly Component[]) {}

  takeRest(): Component | undefined {
    const begun = this.#begun;
    this.#begun = undefined;
    return begun ?? this.components[this.#next++];
  }

  /** The next piece: what was deleted here, or at most `length` units of the document that is left. */
  take(length: number): Component {
    const component = this.takeRest();
    if (component === undefined) return { retain: length };
    if ("retain" in component && component.retain > length) {
      this.#begun = { retain: component.retain - length };
      return { retain: length };
    }
    if ("insert" in component && component.insert.length > length) {
      const text = component.insert;
      if (splitsPair(text, length)) throw new RangeError("the operation cuts a surrogate pair");
      this.#begun = { insert: text.slice(length) };
      return { insert: text.slice(0, length) };
    }
    return component;
  }
}
