import { expect, test } from "vitest";

import { Operation, OperationBuilder } from "../../src/index.js";
import { decodeOperation } from "../../src/text/encoding.js";
import { pieces, repaired } from "../../src/text/pieces.js";
import { randomOperation, randomText } from "../support/edits.js";
import { Random } from "../support/random.js";

test("what is built is canonical", () => {
  const operation = new OperationBuilder()
    .retain(1)
    .retain(2)
    .delete(1)
    .insert("a")
    .insert("")
    .delete(1)
    .insert("💡")
    .retain(0)
    .delete(2)
    .retain(9)
    .build();
  expect(operation.components).toEqual([{ retain: 3 }, { insert: "a💡" }, { delete: 4 }]);
});

test("an operation that does not fit is refused", () => {
  expect(() => Operation.splice(4, 0, "x").apply("abc")).toThrow("past the end");
  for (const operation of [Operation.splice(1, 0, "x"), Operation.splice(0, 1, ""), Operation.splice(1, 1, "")]) {
    expect(() => operation.apply("👋")).toThrow("inside a surrogate pair");
  }
});

test("bytes that are no operation are refused", () => {
  // A component that claims more bytes than there are, one that retains nothing, and one that is empty.
  for (const bytes of [
    [0x0a, 0x05, 0x08],
    [0x0a, 0x02, 0x08, 0x00],
    [0x0a, 0x00],
  ]) {
    expect(() => decodeOperation(Uint8Array.from(bytes))).toThrow(RangeError);
  }
});

test("half a surrogate pair that is inserted becomes a replacement character", () => {
  expect(repaired(Operation.splice(0, 0, "a\ud83d")).inserted).toBe("a\ufffd");
  expect(repaired(Operation.splice(0, 0, "\udc4b👋")).inserted).toBe("\ufffd👋");
});

test("a long edit is made in pieces that do the same", () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const random = new Random(seed);
    const document = randomText(random, 10);
    const operation = randomOperation(random, document);
    const parts = pieces(operation, 8);
    expect(
      parts.reduce((text, part) => part.apply(text), document),
      `seed ${seed}`,
    ).toBe(operation.apply(document));
    for (const part of parts) expect(part.inserted.length, `seed ${seed}`).toBeLessThanOrEqual(3);
  }
});
