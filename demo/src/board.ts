// The whiteboard's part of the page: drawing with a pointer or the keyboard, and what is drawn in words.

import { element, make, makeSvg, say } from "./page";
import { paint } from "./people";
import { BOARD, INKS, type Line, NIBS, pathOf } from "./strokes";
import type { Whiteboard } from "./whiteboard";

const STEP = 20;
const STEP_LARGE = 100;
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export interface BoardNames {
  /** The name of a client, if it is here. */
  nameOf(clientId: number): string | undefined;
  me(): number;
  speak(words: string): void;
  announce(words: string): void;
  /** This page's place on the board, for the others; null: not on it. */
  tell(at: [number, number] | null): void;
}

export class Board {
  private readonly frame = element("board");
  private readonly picture = element<SVGSVGElement>("board-picture");
  private readonly undo = element<HTMLButtonElement>("board-undo");
  private readonly clear = element<HTMLButtonElement>("board-clear");
  private readonly paths = new Map<string, { path: SVGPathElement; line: Line }>();
  private readonly pointers = new Map<number, HTMLElement>();
  /** The pen that the keyboard moves. */
  private readonly pen = make("span", "pen");
  private penAt: [number, number] = [BOARD.width / 2, BOARD.height / 2];
  private isPenDown = false;
  private isDrawing = false;
  private frameRequest = 0;

  constructor(
    private readonly board: Whiteboard,
    private readonly names: BoardNames,
  ) {
    this.picture.setAttribute("viewBox", `0 0 ${BOARD.width} ${BOARD.height}`);
    offer("inks", "ink", INKS, (index) => make("span", `dot ink-${index}`));
    offer(
      "nibs",
      "nib",
      NIBS.map((nib) => nib.name),
      (index) => make("span", `dot ${["fine", "medium", "broad"][index]}`),
    );
    this.pen.hidden = true;
    this.frame.append(this.pen);
    this.listenToPointer();
    this.listenToKeys();
    this.undo.addEventListener("click", () => board.undo());
    this.clear.addEventListener("click", () => {
      board.clear();
      names.speak("The whiteboard is cleared. Undo brings the lines back.");
    });
    board.onChange = () => this.request();
    this.request();
  }

  private listenToPointer(): void {
    const frame = this.frame;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.board.canDraw) return;
      frame.setPointerCapture(event.pointerId);
      this.isDrawing = true;
      this.board.begin(...this.place(event), chosen("ink"), this.nib());
    });
    frame.addEventListener("pointermove", (event) => {
      const at = this.place(event);
      this.names.tell(at);
      if (!this.isDrawing) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length > 0 ? events : [event]) this.board.extend(...this.place(each));
    });
    const end = () => {
      if (!this.isDrawing) return;
      this.isDrawing = false;
      this.board.end();
    };
    frame.addEventListener("pointerup", end);
    frame.addEventListener("pointercancel", end);
    frame.addEventListener("pointerleave", () => this.names.tell(null));
  }

  private listenToKeys(): void {
    this.frame.addEventListener("focus", () => {
      this.pen.hidden = !this.frame.matches(":focus-visible");
      this.movePen(0, 0);
    });
    this.frame.addEventListener("blur", () => {
      this.lift();
      this.pen.hidden = true;
      this.names.tell(null);
    });
    this.frame.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = ARROWS[event.key];
      const step = event.shiftKey ? STEP_LARGE : STEP;
      if (arrow) this.movePen(arrow[0] * step, arrow[1] * step);
      else if (event.key === " " || event.key === "Enter") this.toggle();
      else if (event.key === "Escape") this.lift();
      else if (event.key === "z" || event.key === "Z")
        this.names.speak(this.board.undo() ? "Taken back" : "Nothing to take back");
      else return;
      event.preventDefault();
    });
  }

  private movePen(x: number, y: number): void {
    this.penAt = [
      Math.min(BOARD.width, Math.max(0, this.penAt[0] + x)),
      Math.min(BOARD.height, Math.max(0, this.penAt[1] + y)),
    ];
    put(this.pen, this.penAt);
    if (x === 0 && y === 0) return;
    this.pen.hidden = false;
    this.names.tell(this.penAt);
    if (this.isPenDown) this.board.extend(...this.penAt);
    const [left, top] = [this.penAt[0] / BOARD.width, this.penAt[1] / BOARD.height].map((part) =>
      Math.round(part * 100),
    );
    this.names.announce(`Pen ${left} percent from the left, ${top} from the top`);
  }

  private toggle(): void {
    if (this.isPenDown) {
      this.lift();
      return;
    }
    if (!this.board.canDraw) {
      this.names.speak("The whiteboard cannot be drawn on now");
      return;
    }
    this.isPenDown = true;
    this.pen.dataset.down = "";
    this.board.begin(...this.penAt, chosen("ink"), this.nib());
    this.names.speak("Pen down");
  }

  private lift(): void {
    if (!this.isPenDown) return;
    this.isPenDown = false;
    delete this.pen.dataset.down;
    this.board.end();
    this.names.speak("Pen lifted, the line is drawn");
  }

  private nib(): number {
    return (NIBS[chosen("nib")] ?? NIBS[0]).width;
  }

  private place(event: PointerEvent): [number, number] {
    const box = this.frame.getBoundingClientRect();
    const within = (part: number, size: number) => Math.round(Math.min(1, Math.max(0, part)) * size);
    return [
      within((event.clientX - box.left) / box.width, BOARD.width),
      within((event.clientY - box.top) / box.height, BOARD.height),
    ];
  }

  /** Draws before the next frame, however much has come. */
  private request(): void {
    if (this.frameRequest !== 0) return;
    this.frameRequest = requestAnimationFrame(() => {
      this.frameRequest = 0;
      this.draw();
    });
  }

  private draw(): void {
    const lines = this.board.lines();
    this.drawLines(lines);
    this.drawPointers();
    const { log } = this.board;
    this.undo.disabled = !this.board.canUndo || !this.board.canDraw;
    this.clear.disabled = lines.length === 0 || !this.board.canDraw;
    element("board-empty").hidden = lines.length > 0 || !this.pen.hidden;
    this.frame.setAttribute("aria-disabled", String(!this.board.canDraw));
    const refusal = log.state.state === "closed" ? log.state.refusal : undefined;
    say(element("board-state"), refusal ? `Refused: ${refusal.message}` : "");
    say(element("board-text"), inWords(lines, this.names));
  }

  private drawLines(lines: Line[]): void {
    const seen = new Set<string>();
    let before: Element | null = null;
    for (const line of lines) {
      seen.add(line.id);
      const shown = this.paths.get(line.id) ?? this.addPath(line);
      if (shown.line !== line && shown.line.points.length !== line.points.length) {
        shown.path.setAttribute("d", pathOf(line.points));
      }
      shown.line = line;
      const next: Element | null = before ? before.nextElementSibling : this.picture.firstElementChild;
      if (next !== shown.path) this.picture.insertBefore(shown.path, next);
      before = shown.path;
    }
    for (const [id, { path }] of this.paths) {
      if (seen.has(id)) continue;
      path.remove();
      this.paths.delete(id);
    }
  }

  private addPath(line: Line): { path: SVGPathElement; line: Line } {
    const path = makeSvg("path", {
      class: `stroke ink-${line.ink}`,
      d: pathOf(line.points),
      "stroke-width": line.width,
    });
    const added = { path, line };
    this.paths.set(line.id, added);
    return added;
  }

  private drawPointers(): void {
    const seen = new Set<number>();
    for (const peer of this.board.log.peers.values()) {
      const at = peer.fields.at;
      if (!Array.isArray(at) || !at.every((part) => Number.isFinite(part))) continue;
      seen.add(peer.clientId);
      const pointer = this.pointers.get(peer.clientId) ?? this.addPointer(peer.clientId);
      paint(pointer, peer.color);
      say(pointer.lastElementChild as Element, this.names.nameOf(peer.clientId) ?? "");
      put(pointer, at as [number, number]);
    }
    for (const [clientId, pointer] of this.pointers) {
      if (seen.has(clientId)) continue;
      pointer.remove();
      this.pointers.delete(clientId);
    }
  }

  private addPointer(clientId: number): HTMLElement {
    const pointer = make("span", "pointer");
    pointer.setAttribute("aria-hidden", "true");
    const arrow = makeSvg("svg", { viewBox: "0 0 16 20" });
    arrow.append(makeSvg("path", { d: "M1.5 1.5v14l4-3.6 2.6 5.9 2.6-1.1-2.6-5.9 5.4-.4Z" }));
    pointer.append(arrow, make("span", "pointer-name"));
    this.pointers.set(clientId, pointer);
    this.frame.append(pointer);
    return pointer;
  }
}

/** Moves what lies above the picture; `cqw` and `cqh` are hundredths of the frame. */
function put(target: HTMLElement, [x, y]: [number, number]): void {
  target.style.setProperty("--x", ((x / BOARD.width) * 100).toFixed(2));
  target.style.setProperty("--y", ((y / BOARD.height) * 100).toFixed(2));
}

function offer(id: string, name: string, labels: readonly string[], picture: (index: number) => HTMLElement): void {
  labels.forEach((label, index) => {
    const choice = make("label", `choice${name === "ink" ? ` ink-${index}` : ""}`);
    choice.title = label;
    const input = make("input");
    Object.assign(input, { type: "radio", name, value: String(index), checked: index === 1 });
    input.setAttribute("aria-label", label);
    choice.append(input, picture(index));
    element(id).append(choice);
  });
}

function chosen(name: string): number {
  return Number(document.querySelector<HTMLInputElement>(`input[name="${name}"]:checked`)?.value ?? 0);
}

/** Who has drawn how much: what somebody who does not see the picture can know of it. */
function inWords(lines: Line[], names: BoardNames): string {
  if (lines.length === 0) return "Nothing is drawn yet.";
  const counts = new Map<string, number>();
  for (const line of lines) {
    const who = line.author === names.me() ? "you" : (names.nameOf(line.author) ?? "people who have left");
    counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  const parts = [...counts].map(([who, count]) => `${count} by ${who}`);
  return `${lines.length === 1 ? "One line" : `${lines.length} lines`}: ${parts.join(", ")}.`;
}
