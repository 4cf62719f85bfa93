/** Random edits of whole characters. */

import { Operation, OperationBuilder } from "../../src/index.js";
import type { Random } from "./random.js";

/** Characters of one and of two code units, of one to four bytes, and some that stand for one together. */
const PIECES = ["a", "xyz", " ", "\n", "é", "漢", "👋", "𝄞", "👩‍👩‍👧", "🇨🇭🇫🇷"];

export function randomText(random: Random, piecesMax: number): string {
  let text = "";
  for (let count = random.below(piecesMax + 1); count > 0; count -= 1) text += random.of(PIECES);
  return text;
}

/** Deletes a few characters somewhere, and types some there, or does one of both. */
export function randomSplice(random: Random, document: string): Operation {
  const characters = Array.from(document);
  const start = random.below(characters.length + 1);
  const most = characters.length > 400 ? 60 : 4;
  const deleted = random.below(Math.min(most, characters.length - start) + 1);
  const units = (from: number, count: number): number => characters.slice(from, from + count).join("").length;
  return Operation.splice(units(0, start), units(start, deleted), random.below(3) === 0 ? "" : randomText(random, 2));
}

/** Some edits from the start of a document to its end. */
export function randomOperation(random: Random, document: string): Operation {
  const characters = Array.from(document);
  const builder = new OperationBuilder();
  for (let count = random.below(4); count > 0; count -= 1) {
    const length = (most: number): number => characters.splice(0, random.below(most)).join("").length;
    builder.retain(length(4)).insert(randomText(random, 1)).delete(length(4)).insert(randomText(random, 1));
  }
  return builder.build();
}
