/**
 * One edit of a document, in canonical form.
 *
 * An operation walks over the whole document: it retains, inserts and deletes; what it does not reach is retained. It is
 * always canonical: no component is empty, none is followed by one of the same kind, an insert stands before the delete
 * that it touches, and no retain is last. Lengths are UTF-16 code units.
 */

/** A part of an operation. */
export type Component = { readonly retain: number } | { readonly insert: string } | { readonly delete: number };

export class Operation {
  /** Changes nothing, whatever the document. */
  static readonly identity: Operation = new Operation([]);

  /** Use {@link OperationBuilder}, which makes the components canonical. */
  constructor(readonly components: readonly Component[]) {}

  /** At `position`, deletes `deleted` code units and inserts `inserted`. */
  static splice(position: number, deleted: number, inserted: string): Operation {
    return new OperationBuilder().retain(position).insert(inserted).delete(deleted).build();
  }

  /** From components in any form, as in JSON. */
  static from(components: Iterable<Component>): Operation {
    const builder = new OperationBuilder();
    for (const component of components) builder.add(component);
    return builder.build();
  }

  get isIdentity(): boolean {
    return this.components.length === 0;
  }

  /** How much of a document it walks over: the shortest document that it fits. */
  get reach(): number {
    let reach = 0;
    for (const component of this.components) {
      if ("retain" in component) reach += component.retain;
      else if ("delete" in component) reach += component.delete;
    }
    return reach;
  }

  /** All the text that it inserts. */
  get inserted(): string {
    let inserted = "";
    for (const component of this.components) if ("insert" in component) inserted += component.insert;
    return inserted;
  }

  equals(other: Operation): boolean {
    return (
      this.components.length === other.components.length &&
      this.components.every((component, index) => areEqual(component, other.components[index]!))
    );
  }

  /** The document after it. Throws RangeError where it does not fit. */
  apply(document: string): string {
    if (this.reach > document.length) throw new RangeError("the operation reaches past the end of the document");
    let edited = "";
    let position = 0;
    for (const component of this.components) {
      if ("insert" in component) {
        checkBoundary(document, position);
        edited += component.insert;
      } else if ("retain" in component) {
        edited += document.slice(position, position + component.retain);
        position += component.retain;
      } else {
        checkBoundary(document, position);
        position += component.delete;
        checkBoundary(document, position);
      }
    }
    return edited + document.slice(position);
  }
}

/** Makes an {@link Operation} from its start to its end, in any form; what it builds is canonical. */
export class OperationBuilder {
  readonly #components: Component[] = [];
  /** Retained since the last edit. It becomes a component when another edit follows. */
  #retained = 0;

  add(component: Component): this {
    if ("retain" in component) return this.retain(component.retain);
    if ("insert" in component) return this.insert(component.insert);
    return this.delete(component.delete);
  }

  retain(length: number): this {
    this.#retained += length;
    return this;
  }

  insert(text: string): this {
    if (text === "") return this;
    this.#flushRetained();
    const components = this.#components;
    const last = components.at(-1);
    const place = last !== undefined && "delete" in last ? components.length - 1 : components.length;
    const before = components[place - 1];
    if (before !== undefined && "insert" in before) {
      components[place - 1] = { insert: before.insert + text };
    } else {
      components.splice(place, 0, { insert: text });
    }
    return this;
  }

  delete(length: number): this {
    if (length === 0) return this;
    this.#flushRetained();
    const last = this.#components.at(-1);
    if (last !== undefined && "delete" in last) {
      this.#components[this.#components.length - 1] = { delete: last.delete + length };
    } else {
      this.#components.push({ delete: length });
    }
    return this;
  }

  build(): Operation {
    return this.#components.length === 0 ? Operation.identity : new Operation([...this.#components]);
  }

  #flushRetained(): void {
    if (this.#retained > 0) this.#components.push({ retain: this.#retained });
    this.#retained = 0;
  }
}

function areEqual(a: Component, b: Component): boolean {
  if ("retain" in a) return "retain" in b && a.retain === b.retain;
  if ("insert" in a) return "insert" in b && a.insert === b.insert;
  return "delete" in b && a.delete === b.delete;
}

/** Whether a position is between the two halves of a surrogate pair. */
export function splitsPair(text: string, position: number): boolean {
  return (
    position > 0 &&
    position < text.length &&
    isLowSurrogate(text.charCodeAt(position)) &&
    isHighSurrogate(text.charCodeAt(position - 1))
  );
}

export function isHighSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

export function isLowSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00;
}

function checkBoundary(document: string, position: number): void {
  if (splitsPair(document, position)) throw new RangeError(`position ${position} is inside a surrogate pair`);
}
