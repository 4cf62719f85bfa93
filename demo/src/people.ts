// Who is here.

import { initials } from "./names";
import { element, make, say } from "./page";

export interface Person {
  clientId: number;
  name: string;
  color: string;
  /** "typing", "drawing", or nothing. */
  doing: string;
}

const FACES_MAX = 5;

export class People {
  private readonly list = element("people");
  private readonly faces = element("faces");
  private readonly rows = new Map<number, HTMLLIElement>();
  private shownFaces = "";

  /** `me` is the first of the faces. Without a connection nobody knows who else is here. */
  show(me: Person, others: Person[], isConnected: boolean): void {
    const count = others.length === 0 ? "only you" : `${others.length + 1} people`;
    say(element("people-count"), isConnected ? count : "not known now");
    element("alone").hidden = others.length > 0 || !isConnected;
    paint(element("me-swatch"), me.color);
    const here = new Set(others.map((person) => person.clientId));
    for (const [clientId, row] of this.rows) {
      if (here.has(clientId)) continue;
      row.remove();
      this.rows.delete(clientId);
    }
    for (const person of others) {
      const row = this.rows.get(person.clientId) ?? this.add(person.clientId);
      paint(row.children[0] as HTMLElement, person.color);
      say(row.children[1] as Element, person.name);
      say(row.children[2] as Element, person.doing);
    }
    this.showFaces([me, ...others]);
  }

  private add(clientId: number): HTMLLIElement {
    const row = make("li", "person");
    row.append(make("span", "swatch"), make("span", "person-name"), make("span", "person-doing"));
    this.rows.set(clientId, row);
    this.list.append(row);
    return row;
  }

  private showFaces(everybody: Person[]): void {
    const shown = everybody.slice(0, everybody.length > FACES_MAX ? FACES_MAX - 1 : FACES_MAX);
    const key = JSON.stringify([everybody.length, shown.map((person) => [initials(person.name), person.color])]);
    if (key === this.shownFaces) return;
    this.shownFaces = key;
    const faces = shown.map((person) => {
      const face = make("li", "face", initials(person.name));
      paint(face, person.color);
      return face;
    });
    if (everybody.length > shown.length) faces.push(make("li", "face", `+${everybody.length - shown.length}`));
    this.faces.replaceChildren(...faces.reverse());
  }
}

/** Gives an element a peer's colour. */
export function paint(target: HTMLElement | SVGElement, color: string): void {
  target.classList.add("peer");
  if (/^#[0-9a-f]{6}$/i.test(color)) target.style.setProperty("--peer", color);
}
