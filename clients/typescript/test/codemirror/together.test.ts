// @vitest-environment happy-dom
import { EditorSelection, EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { expect, onTestFinished, test } from "vitest";

import { changesOf, selectionAfter } from "../../src/codemirror/binding.js";
import { corelay } from "../../src/codemirror/index.js";
import type { Client, TextDocument } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { randomSplice, randomText } from "../support/edits.js";
import { Random } from "../support/random.js";
import { pause, until } from "../support/until.js";

/** Somebody with an editor of a document, at whose end the cursor is. */
interface Desk {
  readonly name: string;
  readonly client: Client;
  readonly document: TextDocument;
  readonly view: EditorView;
}

const PACE = { presencePeriodMinMs: 5, heartbeatPeriodMs: 200 };

async function deskOf(relay: { url: string }, userName: string): Promise<Desk> {
  const client = clientOf(relay, { userName, settings: PACE });
  const document = client.text("poem");
  await document.loaded;
  const view = new EditorView({
    state: EditorState.create({ extensions: corelay(document) }),
    parent: window.document.body,
  });
  onTestFinished(() => view.destroy());
  // Of several editors on one page one alone would have it.
  Object.defineProperty(view, "hasFocus", { value: true });
  await until(() => view.state.doc.toString() === document.text);
  view.dispatch({ selection: { anchor: view.state.doc.length } });
  return { name: userName, client, document, view };
}

/** Types where the cursor is, in place of what is selected. */
function type({ view }: Desk, text: string): void {
  view.dispatch(view.state.replaceSelection(text), { userEvent: "input.type" });
}

/** The text around a cursor, as this editor shows it: `aaaa|Ada bbbb`. */
function shown({ view }: Desk): string {
  return [...view.dom.querySelectorAll(".cm-line")].map(lineOf).join("\n");
}

function lineOf(line: Element): string {
  const copy = line.cloneNode(true) as Element;
  for (const cursor of copy.querySelectorAll(".cm-corelay-cursor")) {
    cursor.replaceWith(`|${cursor.querySelector(".cm-corelay-name")?.textContent ?? ""}`);
  }
  return copy.textContent;
}

const texts = (desks: readonly Desk[]): Set<string> => new Set(desks.map(({ view }) => view.state.doc.toString()));

async function saved(desks: readonly Desk[]): Promise<void> {
  await until(() => desks.every(({ document }) => document.saved.state === "saved") && texts(desks).size === 1);
}

/** Where an editor shows the others' cursors. */
function cursorsIn({ view }: Desk): Map<string, number> {
  const places = new Map<string, number>();
  for (const decorations of view.state.facet(EditorView.decorations)) {
    if (typeof decorations === "function") continue;
    decorations.between(0, view.state.doc.length, (from, _, { spec }) => {
      const { widget } = spec as { widget?: { name: string } };
      if (widget !== undefined) places.set(widget.name, from);
    });
  }
  return places;
}

/** Every editor shows every other one's cursor where that has it. */
function agree(desks: readonly Desk[]): boolean {
  return desks.every((desk) =>
    desks.every((other) => {
      if (other === desk) return true;
      const seen = desk.document.peers.get(other.client.clientId!);
      const { anchor, head } = other.view.state.selection.main;
      const isTold = seen?.selection?.focus.offset === head && seen.selection.anchor.offset === anchor;
      return isTold && cursorsIn(desk).get(other.name) === head;
    }),
  );
}

test("a cursor stays before what others type there, and behind what its own user types", async () => {
  const relay = await relayOf();
  const ada = await deskOf(relay, "Ada");
  type(ada, "aaaa");
  await ada.document.whenSaved();
  const bob = await deskOf(relay, "Bob");
  await until(() => shown(bob) === "aaaa|Ada");
  for (const letter of " bbbb") type(bob, letter);
  // At once, and after all have heard of it.
  await until(() => shown(bob) === "aaaa|Ada bbbb");
  await saved([ada, bob]);
  await until(() => agree([ada, bob]));
  expect([shown(ada), shown(bob)]).toEqual(["aaaa bbbb|Bob", "aaaa|Ada bbbb"]);
  const carl = await deskOf(relay, "Carl");
  await until(() => shown(carl) === "aaaa|Ada bbbb|Bob");
  carl.view.dispatch({ changes: { from: 4, insert: "-" }, userEvent: "input.type" });
  await saved([ada, bob, carl]);
  type(ada, "X");
  await saved([ada, bob, carl]);
  await until(() => agree([ada, bob, carl]));
  expect(shown(carl)).toBe("aaaaX|Ada- bbbb|Bob");
});

test("who comes later sees cursors where they are, not where they were said to be", async () => {
  const relay = await relayOf();
  const [ada, bob] = [await deskOf(relay, "Ada"), await deskOf(relay, "Bob")];
  type(ada, "end");
  await saved([ada, bob]);
  bob.view.dispatch({ changes: { from: 0, insert: "before the " }, selection: { anchor: 0 } });
  await saved([ada, bob]);
  const carl = await deskOf(relay, "Carl");
  await until(() => agree([ada, bob, carl]));
  await until(() => shown(carl) === "|Bobbefore the end|Ada");
});

test.each([
  ["two", 2],
  ["three", 3],
])("%s editors end with each other's cursors where those are", async (_, count) => {
  const relay = await relayOf();
  const desks = await Promise.all(["Ada", "Bob", "Carl"].slice(0, count).map((name) => deskOf(relay, name)));
  for (let seed = 0; seed < 12; seed += 1) {
    const random = new Random(seed);
    for (let step = 0; step < 40; step += 1) {
      act(random.of(desks), random);
      if (random.below(4) === 0) await pause(random.below(6));
    }
    await saved(desks);
    await until(() => agree(desks), `seed ${seed}: all agree`);
  }
});

/** Types, edits somewhere else, or moves the cursor. */
function act(desk: Desk, random: Random): void {
  const { view } = desk;
  const text = view.state.doc.toString();
  const what = random.below(4);
  if (what < 2) return type(desk, randomText(random, 2));
  if (what === 2) {
    const changes = view.state.changes(changesOf(randomSplice(random, text)));
    const selection = selectionAfter(view.state.selection, changes);
    return view.dispatch({ changes, ...(selection && { selection }) });
  }
  const characters = Array.from(text);
  const place = (): number => characters.slice(0, random.below(characters.length + 1)).join("").length;
  const head = place();
  view.dispatch({ selection: EditorSelection.range(random.below(2) === 0 ? head : place(), head) });
}
