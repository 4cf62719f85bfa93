import { describe, expect, test } from "vitest";
import { Meter } from "../src/meter";
import { BOARD, type Mark, markCodec, Picture, pathOf, readMark } from "../src/strokes";

const line = (draw: string, ...points: number[]): Mark => ({ draw, ink: 1, width: 8, points });

function pictureOf(...marks: [Mark, number][]): Picture {
  const picture = new Picture();
  for (const [mark, author] of marks) picture.apply(mark, author);
  return picture;
}

const ids = (picture: Picture) => picture.visible().map(({ id }) => id);

describe("a picture", () => {
  test("lines grow, in the order in which they were begun", () => {
    const picture = pictureOf([line("a", 1, 1), 1], [line("b", 5, 5), 2], [line("a", 2, 2), 1]);
    expect(picture.visible().map(({ id, points }) => [id, points])).toEqual([
      ["a", [1, 1, 2, 2]],
      ["b", [5, 5]],
    ]);
  });

  test("nobody goes on with another's line", () => {
    const picture = pictureOf([line("a", 1, 1), 1], [line("a", 9, 9), 2]);
    expect(picture.visible()[0]?.points).toEqual([1, 1]);
  });

  test("a clearing hides what was before it, and can be taken back; what was undone stays undone", () => {
    const picture = pictureOf([line("a", 1, 1), 1], [line("b", 2, 2), 1], [{ undo: "a" }, 1], [{ clear: "c" }, 2]);
    picture.apply(line("d", 3, 3), 1);
    expect(ids(picture)).toEqual(["d"]);
    picture.apply({ undo: "c" }, 2);
    expect(ids(picture)).toEqual(["b", "d"]);
  });

  test("a copy goes its own way", () => {
    const picture = pictureOf([line("a", 1, 1), 1]);
    const copy = picture.copy();
    copy.apply(line("a", 2, 2), 1);
    copy.apply({ clear: "c" }, 1);
    expect(picture.visible()[0]?.points).toEqual([1, 1]);
    expect(copy.visible()).toEqual([]);
  });

  test("who has drawn is known by the newest name, also to who comes later", () => {
    const picture = pictureOf(
      [{ name: "Ada" }, 1],
      [{ name: "Ben" }, 2],
      [line("a", 1, 1), 1],
      [{ name: "Ada B." }, 1],
    );
    const names = [
      [1, "Ada B."],
      [2, "Ben"],
    ];
    expect([...picture.names]).toEqual(names);
    expect([...picture.copy().names]).toEqual(names);
    const unpacked = Picture.unpack(picture.pack());
    expect([...unpacked.names]).toEqual(names);
    expect(ids(unpacked)).toEqual(["a"]);
  });

  test("packed and unpacked it looks the same", () => {
    const picture = pictureOf([line("a", 1, 1), 1], [line("b", 2, 2, 3, 3), 2], [{ undo: "a" }, 1]);
    expect(Picture.unpack(picture.pack()).visible()).toEqual(picture.visible());
    expect(Picture.unpack(new Uint8Array()).visible()).toEqual([]);
    expect(Picture.unpack(new TextEncoder().encode('[{"id": "a", "points": "no"}]')).visible()).toEqual([]);
  });
});

describe("marks of others", () => {
  test.each<[unknown]>([
    [null],
    [7],
    [{}],
    [{ draw: "" }],
    [{ draw: "a", ink: 1, width: 8, points: [] }],
    [{ draw: "a", ink: 1, width: 8, points: [1] }],
    [{ draw: "a", ink: 99, width: 8, points: [1, 1] }],
    [{ draw: "a", ink: 1, width: 8e9, points: [1, 1] }],
    [{ draw: "a", ink: 1, width: 8, points: [1, BOARD.height + 1] }],
    [{ draw: "a", ink: 1, width: 8, points: [1.5, 1] }],
    [{ clear: 5 }],
    [{ undo: "x".repeat(65) }],
  ])("%j is none", (value) => expect(readMark(value)).toBeNull());

  test("bytes and back", () => {
    const mark = line("a", 0, 0, BOARD.width, BOARD.height);
    expect(markCodec.decode(markCodec.encode(mark))).toEqual(mark);
    expect(() => markCodec.decode(new Uint8Array([0xff]))).toThrow();
    expect(() => markCodec.decode(new TextEncoder().encode("{}"))).toThrow("not a mark");
  });
});

test("a path goes through its ends", () => {
  expect(pathOf([3, 4])).toBe("M3 4h.01");
  expect(pathOf([0, 0, 10, 0])).toBe("M0 0L10 0");
  expect(pathOf([0, 0, 10, 0, 20, 10])).toBe("M0 0Q10 0 15 5L20 10");
});

test("the meter", () => {
  const meter = new Meter();
  expect(meter.latency(0)).toBeNull();
  for (let sample = 1; sample <= 100; sample++) meter.addLatency(1_000, sample);
  expect(meter.latency(2_000)).toEqual({ median_ms: 51, p99_ms: 100 });
  expect(meter.latency(70_000)).toBeNull();
  meter.countOperations(10_000, 20);
  meter.countOperations(14_000, 5);
  expect(meter.operationsPerSecond(14_500)).toBe(5);
  expect(meter.operationsPerSecond(17_000)).toBe(1);
  expect(meter.history(14_500, 6, 1_000)).toEqual([0, 20, 0, 0, 0, 5]);
});
