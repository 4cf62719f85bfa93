// The list of points in time: named versions, and changes day by day. One of them is chosen, like any radio button.

import type { Version } from "@corelay/client";
import { capital, make } from "../page";
import { paint } from "../people";
import { byDay, type Change } from "./changes";
import { dayWords, momentWords, peopleWords, spansWords } from "./times";

/** What can be chosen. */
export interface Point {
  revision: number;
  /** For a change: the revision before it, to show what is different. */
  before?: number;
  /** "“Draft”, saved by Ada", "today, 14:32, by Ada" */
  words: string;
}

/** Who somebody is, by the client id or the user id. */
export interface Names {
  authorOf(clientId: number, author: string): string;
  colorOf(clientId: number): string;
}

/** What this page's own client is called. */
export const YOU = "You";

export interface PointsActions {
  choose(point: Point): void;
  remove(version: Version): void;
}

export class Points {
  /** What is chosen. */
  chosen: Point | undefined;

  constructor(
    private readonly place: HTMLElement,
    private readonly names: Names,
    private readonly actions: PointsActions,
  ) {}

  /** What was chosen stays so; where it is gone, the newest is. Returns whether something else is chosen now. */
  show(versions: readonly Version[], changes: readonly Change[], mayEdit: boolean): boolean {
    const hadFocus = this.place.contains(document.activeElement);
    const before = this.chosen;
    const now_ms = Date.now();
    const rows: { point: Point; input: HTMLInputElement }[] = [];
    const add = (point: Point, ...content: HTMLElement[]) => {
      const row = make("label", "point");
      const input = make("input");
      Object.assign(input, { type: "radio", name: "point" });
      input.addEventListener("change", () => {
        this.chosen = point;
        this.actions.choose(point);
      });
      row.append(input, ...content);
      rows.push({ point, input });
      return row;
    };
    const parts: HTMLElement[] = [];
    if (versions.length > 0) {
      const part = section("Versions");
      for (const version of [...versions].reverse()) {
        const { name, revision, author, time } = version;
        const when = capital(momentWords(time, now_ms));
        const words = `the version “${name}”`;
        const title = make("span", "point-name", name);
        const row = make("div", "point-row");
        row.append(add({ revision, words }, title, make("span", "point-more", author ? `${when}, ${author}` : when)));
        if (mayEdit) row.append(this.removal(version));
        part.append(row);
      }
      parts.push(part);
    }
    for (const day of byDay(changes)) {
      const part = section(dayWords(day[0]?.ended_ms ?? 0, now_ms));
      const times = spansWords(day);
      for (const [index, { before, revision, ended_ms, authors }] of day.entries()) {
        const all = [...authors].map(([clientId, author]) => this.names.authorOf(clientId, author));
        const who = peopleWords(all.sort((one, other) => Number(other === YOU) - Number(one === YOU)));
        const words = `${momentWords(ended_ms, now_ms)}, by ${who.replace(YOU, "you")}`;
        const swatches = make("span", "point-swatches");
        for (const clientId of [...authors.keys()].slice(0, 3)) {
          const swatch = make("span", "swatch");
          paint(swatch, this.names.colorOf(clientId));
          swatches.append(swatch);
        }
        const names = make("span", "point-more");
        names.append(swatches, who);
        part.append(add({ before, revision, words }, make("span", "point-name", times[index]), names));
      }
      parts.push(part);
    }
    this.place.replaceChildren(...parts);

    const isSame = ({ point }: { point: Point }) =>
      point.words === before?.words || (point.revision === before?.revision && point.before === before?.before);
    const kept = rows.find(isSame) ?? rows.find(({ point }) => point.before !== undefined);
    this.chosen = kept?.point;
    if (kept) kept.input.checked = true;
    if (hadFocus) this.focus();
    return this.chosen?.revision !== before?.revision || this.chosen?.before !== before?.before;
  }

  focus(): void {
    this.place.querySelector<HTMLInputElement>("input:checked")?.focus();
  }

  private removal(version: Version): HTMLElement {
    const button = make("button", "button small point-remove", "Delete");
    button.type = "button";
    button.setAttribute("aria-label", `Delete the version “${version.name}”`);
    button.addEventListener("click", () => this.actions.remove(version));
    return button;
  }
}

function section(title: string): HTMLElement {
  const part = make("fieldset", "points-part");
  part.append(make("legend", "", title));
  return part;
}
