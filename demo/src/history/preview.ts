// The text as it was, to be read, with what was changed in it.

import { editsBetween } from "@corelay/client/difference";
import { make } from "../page";

export interface Size {
  added: number;
  removed: number;
}

type Part = { is: "kept" | "gone" | "new"; text: string };

/** What was there, what is gone and what is new, in the order in which it is read. */
export function partsOf(before: string, text: string): Part[] {
  const parts: Part[] = [];
  let position = 0;
  const keep = (end: number) => {
    if (end > position) parts.push({ is: "kept", text: before.slice(position, end) });
    position = end;
  };
  let [gone, fresh] = ["", ""];
  const flush = () => {
    if (gone) parts.push({ is: "gone", text: gone });
    if (fresh) parts.push({ is: "new", text: fresh });
    [gone, fresh] = ["", ""];
  };
  const { components } = editsBetween(before, text);
  components.forEach((component, index) => {
    if ("insert" in component) {
      fresh += component.insert;
    } else if ("delete" in component) {
      gone += before.slice(position, position + component.delete);
      position += component.delete;
    } else {
      const kept = before.slice(position, position + component.retain);
      // A space or a comma between two changes is no reason to read three.
      if (index > 0 && !WORTH_READING.test(kept)) {
        gone += kept;
        fresh += kept;
        position += kept.length;
      } else {
        flush();
        keep(position + component.retain);
      }
    }
  });
  flush();
  keep(before.length);
  return parts;
}

const WORTH_READING = /[\p{L}\p{N}\n]|.{4}/u;

/** Shows a text; with the one before it, what is new in it and what is gone. Returns how much that is. */
export function showText(place: HTMLElement, text: string, before?: string): Size {
  const size = { added: 0, removed: 0 };
  const parts: Part[] = before === undefined ? [{ is: "kept", text }] : partsOf(before, text);
  const nodes = parts.map(({ is, text }) => {
    if (is === "kept") return document.createTextNode(text);
    size[is === "new" ? "added" : "removed"] += [...text].length;
    return make(is === "new" ? "ins" : "del", "", text);
  });
  place.replaceChildren(...nodes);
  place.querySelector("ins, del")?.scrollIntoView({ block: "center" });
  return size;
}
