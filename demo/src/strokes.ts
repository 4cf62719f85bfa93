// What a whiteboard's operations mean. The document is a log: every page applies the same marks in the same order.

import type { Codec } from "@corelay/client";

export const BOARD = { width: 1600, height: 1200 } as const;
export const INKS = ["Black", "Blue", "Green", "Orange", "Pink", "Violet"] as const;
export const NIBS = [
  { name: "Fine", width: 4 },
  { name: "Medium", width: 8 },
  { name: "Broad", width: 20 },
] as const;
/** A line that grows longer goes on as another one. */
export const LINE_POINTS_MAX = 600;

/** One operation. Points are x and y in turn, whole numbers within `BOARD`. */
export type Mark =
  /** Begins the line of that id, or goes on with it. */
  | { draw: string; ink: number; width: number; points: number[] }
  /** Hides everything that was drawn before it. */
  | { clear: string }
  /** Takes back the line, or the clearing, of that id. */
  | { undo: string }
  /** What its author is called, for those who come later. */
  | { name: string };

export interface Line {
  readonly id: string;
  /** The client id of who began it. */
  readonly author: number;
  readonly ink: number;
  readonly width: number;
  readonly points: readonly number[];
}

/** What a peer has sent, if it is a mark. */
export function readMark(value: unknown): Mark | null {
  if (typeof value !== "object" || value === null) return null;
  const { draw, ink, width, points, clear, undo, name } = value as Record<string, unknown>;
  if (isId(clear)) return { clear };
  if (isId(undo)) return { undo };
  if (isId(name)) return { name };
  if (!isId(draw) || !isWhole(ink, INKS.length - 1) || !isWhole(width, 60) || !Array.isArray(points)) return null;
  if (points.length === 0 || points.length % 2 !== 0 || points.length > 4 * LINE_POINTS_MAX) return null;
  if (!points.every((at, index) => isWhole(at, index % 2 === 0 ? BOARD.width : BOARD.height))) return null;
  return { draw, ink, width, points };
}

/** Marks as the log's bytes. What is none throws, and is left out. */
export const markCodec: Codec<Mark> = {
  encode: (mark) => new TextEncoder().encode(JSON.stringify(mark)),
  decode: (bytes) => {
    const mark = readMark(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    if (!mark) throw new TypeError("not a mark of this whiteboard");
    return mark;
  },
};

export class Picture {
  private lines = new Map<string, Line>();
  /** Which clearing, or its own id for an undo, hides a line. */
  private hiddenBy = new Map<string, string>();
  /** By client id. */
  readonly names = new Map<number, string>();

  apply(mark: Mark, author: number): void {
    if ("draw" in mark) {
      const line = this.lines.get(mark.draw);
      if (line && line.author !== author) return;
      if (line && line.points.length >= 4 * LINE_POINTS_MAX) return;
      this.lines.set(mark.draw, {
        id: mark.draw,
        author,
        ink: mark.ink,
        width: mark.width,
        points: line ? [...line.points, ...mark.points] : mark.points,
      });
    } else if ("name" in mark) {
      this.names.set(author, mark.name);
    } else if ("clear" in mark) {
      for (const id of this.lines.keys()) if (!this.hiddenBy.has(id)) this.hiddenBy.set(id, mark.clear);
    } else if (this.lines.has(mark.undo)) {
      this.hiddenBy.set(mark.undo, mark.undo);
    } else {
      for (const [id, clearing] of this.hiddenBy) if (clearing === mark.undo) this.hiddenBy.delete(id);
    }
  }

  /** In the order in which they were begun. */
  visible(): Line[] {
    return [...this.lines.values()].filter((line) => !this.hiddenBy.has(line.id));
  }

  /** What is to be seen, for those who come later. What is hidden stays hidden, and is left out. */
  pack(): Uint8Array {
    const names = [...this.names].map(([author, name]) => ({ author, name }));
    return new TextEncoder().encode(JSON.stringify([...this.visible(), ...names]));
  }

  /** The reverse. What is no picture is an empty one. */
  static unpack(data: Uint8Array): Picture {
    const picture = new Picture();
    try {
      for (const { id, author, ink, width, points, name } of JSON.parse(new TextDecoder().decode(data))) {
        if (isId(name) && Number.isInteger(author)) picture.names.set(author, name);
        const mark = readMark({ draw: id, ink, width, points: [0, 0] });
        if (!mark || !Array.isArray(points) || !points.every(Number.isFinite)) continue;
        picture.lines.set(id, { id, author, ink, width, points });
      }
    } catch {
      return new Picture();
    }
    return picture;
  }

  copy(): Picture {
    const copy = new Picture();
    copy.lines = new Map(this.lines);
    copy.hiddenBy = new Map(this.hiddenBy);
    for (const [author, name] of this.names) copy.names.set(author, name);
    return copy;
  }
}

/** A smooth path through the points. */
export function pathOf(points: readonly number[]): string {
  const [x, y] = points as [number, number];
  if (points.length === 2) return `M${x} ${y}h.01`;
  let path = `M${x} ${y}`;
  for (let index = 2; index < points.length - 2; index += 2) {
    const [x1, y1, x2, y2] = points.slice(index, index + 4) as [number, number, number, number];
    path += `Q${x1} ${y1} ${(x1 + x2) / 2} ${(y1 + y2) / 2}`;
  }
  return `${path}L${points[points.length - 2]} ${points[points.length - 1]}`;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= 64;
}

function isWhole(value: unknown, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
}
