// The shared drawing: what the log has brought, what of this page is still on its way, and what is sent.

import type { LogDocument } from "@corelay/client";
import { LINE_POINTS_MAX, type Line, type Mark, Picture } from "./strokes";

/** After so many operations the drawing as it is takes the place of its history. */
const SNAPSHOT_PERIOD = 1000;
/** A line is told to others while it is drawn, so often. */
const SEND_PERIOD_MS = 60;

export class Whiteboard {
  /** Called when there is something else to see. */
  onChange = () => {};
  /** Called with what could not be added. */
  onProblem = (_problem: unknown) => {};
  /** Called after each own mark. */
  onMark = () => {};
  private confirmed = new Picture();
  /** The line that is being drawn. */
  private open: { id: string; ink: number; width: number; points: number[]; sent: number; length: number } | null =
    null;
  private timer = 0;
  private count = 0;
  /** What can be taken back: own lines and clearings of this visit, the last one last. */
  private done: string[] = [];

  constructor(
    readonly log: LogDocument<Mark>,
    private readonly me: () => number,
  ) {
    log.on("operation", ({ value, origin, revision, isOwn }) => {
      this.confirmed.apply(value, origin);
      if (isOwn && revision % SNAPSHOT_PERIOD === 0) void this.offer(revision);
      this.onChange();
    });
    log.on("snapshot", ({ data }) => {
      this.confirmed = Picture.unpack(data);
      this.onChange();
    });
    log.on("pending", () => this.onChange());
    log.on("peers", () => this.onChange());
    log.on("state", () => this.onChange());
    log.on("saved", () => this.onChange());
  }

  get canDraw(): boolean {
    return this.log.state.state !== "opening" && this.log.state.state !== "closed" && this.log.permissions.write;
  }

  /** What somebody was called who has written or drawn here. */
  nameOf(clientId: number): string | undefined {
    return this.confirmed.names.get(clientId);
  }

  /** Tells those who come later who wrote and drew. */
  sign(name: string): void {
    if (!this.canDraw || this.nameOf(this.me()) === name) return;
    if (!this.log.pending.some((mark) => "name" in mark && mark.name === name)) this.append({ name });
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  lines(): Line[] {
    const unsent = this.open && this.open.points.length > this.open.sent;
    if (this.log.pending.length === 0 && !unsent) return this.confirmed.visible();
    const picture = this.confirmed.copy();
    for (const mark of this.log.pending) picture.apply(mark, this.me());
    if (this.open && unsent) picture.apply(markOf(this.open), this.me());
    return picture.visible();
  }

  begin(x: number, y: number, ink: number, width: number): void {
    this.end();
    this.open = { id: this.nextId(), ink, width, points: [x, y], sent: 0, length: 2 };
    this.schedule();
    this.onChange();
  }

  /** Goes on with the line that was begun. */
  extend(x: number, y: number): void {
    const line = this.open;
    if (!line) return;
    line.points.push(x, y);
    line.length += 2;
    if (line.length >= 2 * LINE_POINTS_MAX) {
      this.end();
      this.begin(x, y, line.ink, line.width);
    }
    this.schedule();
    this.onChange();
  }

  end(): void {
    if (!this.open) return;
    this.send();
    this.open = null;
    clearTimeout(this.timer);
    this.timer = 0;
  }

  undo(): boolean {
    this.end();
    const id = this.done.pop();
    if (id === undefined) return false;
    this.append({ undo: id });
    return true;
  }

  clear(): void {
    this.end();
    const id = this.nextId();
    if (this.append({ clear: id })) this.done.push(id);
  }

  private schedule(): void {
    this.timer ||= window.setTimeout(() => {
      this.timer = 0;
      this.send();
    }, SEND_PERIOD_MS);
  }

  private send(): void {
    const line = this.open;
    if (!line || line.points.length === line.sent) return;
    if (!this.append(markOf(line))) {
      this.open = null;
      return;
    }
    if (this.done.at(-1) !== line.id) this.done.push(line.id);
    line.sent = line.points.length;
  }

  private append(mark: Mark): boolean {
    try {
      this.log.append(mark);
      this.onMark();
      return true;
    } catch (problem) {
      this.onProblem(problem);
      return false;
    } finally {
      this.onChange();
    }
  }

  private async offer(revision: number): Promise<void> {
    try {
      await this.log.offerSnapshot(revision, this.confirmed.pack());
    } catch {
      // Somebody else's was newer, or the relay has no room: the history stays, and the next thousand tries again.
    }
  }

  private nextId(): string {
    this.count += 1;
    return `${this.me().toString(36)}-${Date.now().toString(36)}-${this.count}`;
  }
}

/** What of a line has not been sent. */
function markOf(line: { id: string; ink: number; width: number; points: number[]; sent: number }): Mark {
  return { draw: line.id, ink: line.ink, width: line.width, points: line.points.slice(line.sent) };
}
