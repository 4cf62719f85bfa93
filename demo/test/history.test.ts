import { describe, expect, test } from "vitest";
import { byDay, changesOf, type Entry, PAUSE_MAX_MS, pauseOf } from "../src/history/changes";
import { partsOf } from "../src/history/preview";
import { dayWords, momentWords, peopleWords, sizeWords, spansWords } from "../src/history/times";

const MINUTE_MS = 60_000;
const NOON_MS = new Date(2026, 10, 21, 12).getTime();
const [ADA, BEN] = [1, 2];

const entry = (revision: number, minutes: number, origin = ADA, count = 1): Entry => ({
  revision,
  count,
  origin,
  author: origin === ADA ? "ada" : "ben",
  time: NOON_MS + minutes * MINUTE_MS,
  bytes: 10,
});

describe("changes", () => {
  test("those without a pause are one, whoever made them", () => {
    const changes = changesOf(
      [entry(9, 22), entry(6, 21, BEN, 3), entry(5, 20), entry(3, 10, ADA, 2), entry(1, 9, ADA, 2)],
      PAUSE_MAX_MS,
    );
    expect(changes.map(({ before, revision }) => [before, revision])).toEqual([
      [4, 9],
      [0, 4],
    ]);
    expect(changes.map(({ authors }) => [...authors.values()])).toEqual([["ada", "ben"], ["ada"]]);
    expect(changes[0]).toMatchObject({ begun_ms: NOON_MS + 20 * MINUTE_MS, ended_ms: NOON_MS + 22 * MINUTE_MS });
  });

  test("who writes for hours makes several", () => {
    const entries = Array.from({ length: 60 }, (_, minute) => entry(60 - minute, 60 - minute));
    const changes = changesOf(entries, PAUSE_MAX_MS);
    expect(changes).toHaveLength(4);
    expect(changes.at(-1)?.before).toBe(0);
    for (const [index, change] of changes.entries()) expect(changes[index + 1]?.revision ?? 0).toBe(change.before);
  });

  test("a short document is divided more finely than a long one", () => {
    const every = (minutes: number, count: number) =>
      Array.from({ length: count }, (_, index) => entry(count - index, (count - index) * minutes));
    expect(pauseOf([])).toBe(5_000);
    expect(pauseOf(every(0.2, 10))).toBe(5_000);
    expect(changesOf(every(0.2, 10), 5_000)).toHaveLength(10);
    expect(pauseOf(every(0.2, 60))).toBe(30_000);
    expect(pauseOf(every(1, 60))).toBe(PAUSE_MAX_MS);
    expect(pauseOf(every(60, 60))).toBe(PAUSE_MAX_MS);
  });

  test("a night divides them, and each day has its own", () => {
    const midnight = 12 * 60;
    const changes = changesOf(
      [entry(4, midnight + 1), entry(3, midnight - 1), entry(2, 0), entry(1, -30)],
      PAUSE_MAX_MS,
    );
    expect(byDay(changes).map((day) => day.map(({ revision }) => revision))).toEqual([[4], [3, 2, 1]]);
    expect(byDay([])).toEqual([]);
  });
});

test("times in words", () => {
  const now_ms = NOON_MS;
  const clock = (time_ms: number) => new Date(time_ms).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  expect(dayWords(NOON_MS - MINUTE_MS, now_ms)).toBe("Today");
  expect(dayWords(NOON_MS - 24 * 60 * MINUTE_MS, now_ms)).toBe("Yesterday");
  expect(dayWords(new Date(2026, 10, 12).getTime(), now_ms)).toBe("Thursday 12 November");
  expect(dayWords(new Date(2025, 10, 12).getTime(), now_ms)).toBe("Wednesday 12 November 2025");
  expect(dayWords(0, now_ms)).toBe("Earlier");
  expect(momentWords(NOON_MS, now_ms)).toBe(`today, ${clock(NOON_MS)}`);
  const span = (begun_ms: number, ended_ms: number) => ({ begun_ms, ended_ms });
  const later_ms = NOON_MS + MINUTE_MS;
  expect(spansWords([span(NOON_MS, NOON_MS + 1), span(NOON_MS, later_ms)])).toEqual([
    clock(NOON_MS),
    `${clock(NOON_MS)} – ${clock(later_ms)}`,
  ]);
  const close = spansWords([span(NOON_MS, NOON_MS), span(NOON_MS, NOON_MS + 9000)]);
  expect(close[0]).toMatch(/00:00/);
  expect(close[1]).toMatch(/00:09/);
});

test("what differs is read word by word, and what touches together", () => {
  const parts = (before: string, text: string) => partsOf(before, text).map(({ is, text }) => `${is} ${text}`);
  expect(parts("one two three", "one 2 three")).toEqual(["kept one ", "gone two", "new 2", "kept  three"]);
  expect(parts("warm: the hut is at two", "cold, in July too two")).toEqual([
    "gone warm: the hut is at",
    "new cold, in July too",
    "kept  two",
  ]);
  expect(parts("", "all")).toEqual(["new all"]);
  expect(parts("same", "same")).toEqual(["kept same"]);
});

test("people and sizes in words", () => {
  expect(peopleWords(["Ada"])).toBe("Ada");
  expect(peopleWords(["Ada", "Ada", "Ben"])).toBe("Ada and Ben");
  expect(peopleWords(["Ada", "Ben", "Mia"])).toBe("Ada, Ben and Mia");
  expect(peopleWords(["Ada", "Ben", "Mia", "Carl"])).toBe("Ada, Ben and 2 others");
  expect(sizeWords(1, 0)).toBe("1 character added");
  expect(sizeWords(0, 1200)).toBe("1,200 characters removed");
  expect(sizeWords(5, 4)).toBe("5 characters added, 4 removed");
  expect(sizeWords(0, 0)).toBe("nothing is different");
});
