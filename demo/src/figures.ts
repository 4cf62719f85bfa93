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
  always: "on disk, synced",
  interval: "written, synced soon",
  never: "written, not synced",
};
const BARS = 60;
const BAR_MS = 1000;

export class Figures {
  private readonly list = element("figures");
  private readonly spark = element<SVGSVGElement>("spark");
  private readonly values = new Map<string, { term: HTMLElement; value: HTMLElement }>();
  private readonly bars: SVGRectElement[] = [];

  constructor(private readonly meter: Meter) {
    const width = 300 / BARS;
    for (let index = 0; index < BARS; index++) {
      const bar = makeSvg("rect", { x: index * width + 0.5, width: width - 1, y: 40, height: 0, rx: 1 });
      this.bars.push(bar);
      this.spark.append(bar);
    }
    say(element("figures-note"), "last minute");
  }

  show(reading: Reading): void {
    const now_ms = performance.now();
    const rate = this.meter.operationsPerSecond(now_ms);
    const latency = this.meter.latency(now_ms);
    this.set("Operations per second", rate === 0 ? "0" : rate.toFixed(1));
    this.set("Edit to saved, median", latency ? milliseconds(latency.median_ms) : "–");
    this.set("Edit to saved, 99 of 100", latency ? milliseconds(latency.p99_ms) : "–");
    this.set("Saved means", reading.durability && (DURABILITIES[reading.durability] ?? reading.durability));
    this.set("Revision", reading.revision.toLocaleString("en"));
    this.set("Shard (core)", reading.shard?.toString());
    this.set(
      "Connected by",
      reading.transport ? (TRANSPORTS[reading.transport] ?? reading.transport) : "not connected",
    );
    this.draw(this.meter.history(now_ms, BARS, BAR_MS));
  }

  /** What is not known has no line. */
  private set(name: string, text: string | undefined): void {
    let row = this.values.get(name);
    if (!row) {
      row = { term: make("dt", "", name), value: make("dd") };
      this.list.append(row.term, row.value);
      this.values.set(name, row);
    }
    row.term.hidden = row.value.hidden = !text;
    say(row.value, text ?? "");
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
