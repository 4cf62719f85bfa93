import { expect, test } from "vitest";

import type { Component } from "../../src/index.js";
import { editsBetween } from "../../src/text/edits-between.js";
import { randomOperation, randomText } from "../support/edits.js";
import { Random } from "../support/random.js";

test("only what differs is changed", () => {
  const between = (from: string, to: string): readonly Component[] => {
    const operation = editsBetween(from, to);
    expect(operation.apply(from)).toBe(to);
    return operation.components;
  };
  expect(between("The colour of money", "The color of money, again")).toEqual([
    { retain: 8 },
    { delete: 1 },
    { retain: 10 },
    { insert: ", again" },
  ]);
  expect(between("one two three", "one 2 three, four")).toEqual([
    { retain: 4 },
    { insert: "2" },
    { delete: 3 },
    { retain: 6 },
    { insert: ", four" },
  ]);
  expect(between("same 𝄞", "same 𝄞")).toEqual([]);
  expect(between("", "")).toEqual([]);
  // Two characters with the same first half.
  expect(between("a😀b", "a😁b")).toEqual([{ retain: 1 }, { insert: "😁" }, { delete: 2 }]);
});

test("it always leads there, whatever the texts", () => {
  for (let seed = 0; seed < 500; seed += 1) {
    const random = new Random(seed);
    const from = randomText(random, 30);
    const to = random.below(4) === 0 ? randomText(random, 30) : randomOperation(random, from).apply(from);
    expect(editsBetween(from, to).apply(from), `seed ${seed}`).toBe(to);
  }
});

test("large texts that share nothing are replaced", () => {
  const text = (word: string): string => Array.from({ length: 60_000 }, (_, n) => `${word}${n} `).join("");
  for (const [from, to] of [
    [text("old"), text("new")],
    ["x".repeat(1_200_000), "y".repeat(1_200_000)],
  ] as const) {
    expect(editsBetween(from, to).apply(from)).toBe(to);
  }
});
