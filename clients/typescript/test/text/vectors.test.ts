import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { type Component, moved, Operation, type Side } from "../../src/index.js";
import { compose, difference } from "../../src/text/compose.js";
import { decodeOperation, encodeOperation } from "../../src/text/encoding.js";
import { cross, oppositeOf, rebased } from "../../src/text/transform.js";

interface Vector {
  document: string;
  a: Component[];
  b: Component[];
  side: Side;
  encoded: string;
  afterA: string;
  aAfter: Component[];
  bAfter: Component[];
  afterBoth: string;
  next: Component[];
  composed: Component[];
  crossed: Component[];
  sequence: Component[][];
  movedLeft: number[];
  movedRight: number[];
  other: string;
  difference: Component[];
}

/** What the Rust code makes of operations: `tests/text_vectors.rs` writes them. */
const vectors = JSON.parse(readFileSync(join(import.meta.dirname, "../vectors/text.json"), "utf8")) as Vector[];

describe("what the Rust code does", () => {
  test.each(vectors.map((vector, number) => ({ number, vector })))("vector $number", ({ vector }) => {
    const [a, b, next] = [vector.a, vector.b, vector.next].map((it) => Operation.from(it)) as [
      Operation,
      Operation,
      Operation,
    ];
    expect(a.components).toEqual(vector.a);
    expect(Buffer.from(encodeOperation(a)).toString("hex")).toBe(vector.encoded);
    expect(decodeOperation(Buffer.from(vector.encoded, "hex"))).toEqual(a);
    expect(a.apply(vector.document)).toBe(vector.afterA);
    expect(rebased(a, b, vector.side).components).toEqual(vector.aAfter);
    const bAfter = rebased(b, a, oppositeOf(vector.side));
    expect(bAfter.components).toEqual(vector.bAfter);
    expect(bAfter.apply(vector.afterA)).toBe(vector.afterBoth);
    expect(compose(a, next).components).toEqual(vector.composed);
    const sequence = [a, next];
    expect(cross(sequence, b, vector.side).components).toEqual(vector.crossed);
    expect(sequence.map(({ components }) => components)).toEqual(vector.sequence);
    const positions = vector.movedLeft.map((_, position) => position);
    expect(positions.map((position) => moved(position, a, "left"))).toEqual(vector.movedLeft);
    expect(positions.map((position) => moved(position, a, "right"))).toEqual(vector.movedRight);
    expect(difference(vector.document, vector.other).components).toEqual(vector.difference);
  });
});
