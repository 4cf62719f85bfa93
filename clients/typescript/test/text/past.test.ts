import { expect, test } from "vitest";

import { type HistoryPage, Operation, type PastText } from "../../src/index.js";
import { Past, revisionAt } from "../../src/text/past.js";

/** Inserts of one character each, as entries of so many operations, from a revision on. */
function page(first: number, counts: readonly number[], newest: number): HistoryPage {
  let next = first;
  const entries = counts.map((count) => {
    const revision = next;
    next += count;
    const operations = Array.from({ length: count }, (_, index) => {
      const at = revision - 1 + index;
      return Operation.splice(at, 0, String.fromCharCode(97 + at));
    });
    return { revision, count, origin: 1, author: "", time: 0, bytes: 0, operations };
  });
  const rest = next <= newest ? { nextRevision: next } : {};
  return { kind: "text", entries, ...rest, revision: newest, epoch: 1, firstRevision: 1, oldestRevision: 1 };
}

/** As a relay that sends two entries at once; the second has two operations. */
function read(revision: number | undefined, from?: PastText): PastText {
  const past = new Past(revision, from);
  for (let asked = past.next(); asked !== undefined; asked = past.next()) {
    expect([asked.withOperations, asked.newestFirst]).toEqual([true, undefined]);
    const first = asked.fromRevision ?? 1;
    past.take(first > 3 ? page(4, first > 6 ? [] : [3], 6) : page(first === 1 ? 1 : 2, first === 1 ? [1, 2] : [2], 6));
  }
  return past.text;
}

test("a text is put together page by page, from its beginning or from an earlier text", () => {
  for (const [revision, text] of [
    [undefined, "abcdef"],
    [6, "abcdef"],
    [4, "abcd"],
    [2, "ab"],
    [1, "a"],
    [0, ""],
  ] as const) {
    const expected = { text, revision: text.length, epoch: 1 };
    expect(read(revision)).toEqual(expected);
    for (let earlier = 0; earlier <= 6; earlier += 1) expect(read(revision, read(earlier))).toEqual(expected);
  }
  // What is of another epoch counts for nothing.
  expect(read(6, { text: "xyz", revision: 3, epoch: 2 }).text).toBe("abcdef");
});

test("what does not lead to the text is said", () => {
  const take = (revision: number, of: HistoryPage): void => new Past(revision).take(of);
  const refusal = (name: string): RegExp => new RegExp(`^${name}: `);
  const log: HistoryPage = { ...page(1, [], 1), kind: "log", entries: [] };
  expect(() => take(1, log)).toThrow(refusal("KIND_MISMATCH"));
  expect(() => take(7, page(1, [6], 6))).toThrow(refusal("REVISION_UNKNOWN"));
  expect(() => take(2, { ...page(5, [2], 6), firstRevision: 5 })).toThrow(refusal("REVISION_UNKNOWN"));
  expect(() => take(6, page(3, [1], 6))).toThrow(refusal("BROKEN"));
  const { entries, ...rest } = page(1, [2], 6);
  const bare = entries.map(({ revision, count, origin, author, time, bytes }) => {
    return { revision, count, origin, author, time, bytes };
  });
  expect(() => take(6, { ...rest, entries: bare })).toThrow(refusal("BROKEN"));
});

test("a revision is found by its time", () => {
  expect(revisionAt(page(4, [3], 6))).toBe(6);
  expect(revisionAt(page(1, [], 6))).toBe(0);
});
