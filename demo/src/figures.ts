// The panel with live figures.

import type { Meter } from "./meter";
import { element, make, makeSvg, say } from "./page";

export interface Reading {
  transport: string | undefined;
  revision: number;
  shard: number | undefined;
  durability: string | undefined;
}

const TRANSPORTS: Record<string, string> = { websocket: "WebSocket", events: "Event stream" };
const DURABILITIES: Record<string, string> = {
  always: "Saved means: on the relay’s disk, and synced.",
  interval: "Received means: written, and synced a little later.",
  never: "Received means: written, and synced when the system likes.",
};
const BARS = 60;
const BAR_MS = 1000;

export class Figures {
  private readonly list = element("figures");
  private readonly spark = element<SVGSVGElement>("spark");
  private readonly shown = new Map<string, HTMLElement>();
  private readonly bars: SVGRectElement[] = [];

  constructor(private readonly meter: Meter) {
    const width = 300 / BARS;
    for (let index = 0; index < BARS; index++) {
      const bar = makeSvg("rect", { x: index * width + 0.5, width: width - 1, y: 40, height: 0, rx: 1 });
      this.bars.push(bar);
      this.spark.append(bar);
    }
  }

  show(reading: Reading): void {
    const now_ms = performance.now();
    const rate = this.meter.operationsPerSecond(now_ms);
    const latency = this.meter.latency(now_ms);
    this.set("operations/s", rate === 0 ? "0" : rate.toFixed(1));
    this.set("revision", reading.revision.toLocaleString("en"));
    this.set("edit to saved", latency ? milliseconds(latency.median_ms) : "–");
    this.set("its p99", latency ? milliseconds(latency.p99_ms) : "–");
    this.set("connected by", reading.transport ? (TRANSPORTS[reading.transport] ?? reading.transport) : "–");
    this.set("shard", reading.shard?.toString());
    say(element("figures-note"), DURABILITIES[reading.durability ?? ""] ?? "");
    this.draw(this.meter.history(now_ms, BARS, BAR_MS));
  }

  /** What is not known is not shown. */
  private set(name: string, text: string | undefined): void {
    let figure = this.shown.get(name);
    if (!figure) {
      figure = make("div", "figure");
      figure.append(make("dt", "", name), make("dd"));
      this.list.append(figure);
      this.shown.set(name, figure);
    }
    figure.hidden = !text;
    say(figure.lastElementChild as Element, text ?? "");
  }

  private draw(spans: number[]): void {
    const most = Math.max(10, ...spans);
    spans.forEach((count, index) => {
      const height = count === 0 ? 0 : Math.max(2, (count / most) * 38);
      this.bars[index]?.setAttribute("height", height.toFixed(1));
      this.bars[index]?.setAttribute("y", (40 - height).toFixed(1));
    });
  }
}

function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
