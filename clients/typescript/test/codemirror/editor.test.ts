// @vitest-environment happy-dom
import { history, redo, undo } from "@codemirror/commands";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { expect, onTestFinished, test } from "vitest";

import type { Peer, Presence, SavedState, TextDocument, TextEvents } from "../../src/index.js";
import { corelay, type CorelayOptions } from "../../src/codemirror/index.js";
import { changesOf, operationOf } from "../../src/codemirror/binding.js";
import { inkOn } from "../../src/codemirror/cursors.js";
import { Emitter } from "../../src/emitter.js";
import { Operation } from "../../src/index.js";
import { randomOperation, randomSplice, randomText } from "../support/edits.js";
import { wellFormed } from "../../src/text/pieces.js";
import { Random } from "../support/random.js";

/** A document without a relay. */
class Paper {
  readonly emitter = new Emitter<TextEvents>();
  text: string;
  isEditable = true;
  saved: SavedState = { state: "saved", pending: 0, isFull: false };
  peers = new Map<number, Peer>();
  presence: Presence | undefined;
  hasLeft = false;
  readonly edits: Operation[] = [];
  readonly loaded = Promise.resolve();

  constructor(text: string) {
    this.text = text;
  }

  edit(operation: Operation, source?: unknown): void {
    this.text = operation.apply(this.text);
    this.edits.push(operation);
    this.emitter.emit("change", { operation, origin: "local", source });
  }

  /** Somebody else's edit. */
  receive(operation: Operation): void {
    this.text = operation.apply(this.text);
    this.emitter.emit("change", { operation, origin: "remote" });
  }

  on<K extends keyof TextEvents>(event: K, listener: (value: TextEvents[K]) => void): () => void {
    return this.emitter.on(event, listener);
  }

  announce(presence: Presence): void {
    this.presence = presence;
  }

  leave(): void {
    this.hasLeft = true;
  }
}

async function editorOf(paper: Paper, options: CorelayOptions = {}): Promise<EditorView> {
  const view = new EditorView({
    state: EditorState.create({ extensions: [history(), corelay(paper as unknown as TextDocument, options)] }),
    parent: document.body,
  });
  onTestFinished(() => view.destroy());
  await settled();
  return view;
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

function peer(clientId: number, name: string, head: number, anchor = head): Peer {
  return {
    clientId,
    userId: "",
    name,
    color: "#3366cc",
    cursor: { block: "", offset: head },
    selection: { anchor: { block: "", offset: anchor }, focus: { block: "", offset: head } },
    isTyping: false,
    fields: {},
    lastSeen: 0,
  };
}

test("the editor is filled, and edits go both ways", async () => {
  const paper = new Paper("line one\nline 👋\n");
  const view = await editorOf(paper);
  expect(view.state.doc.toString()).toBe(paper.text);
  view.dispatch({
    changes: [
      { from: 0, to: 4, insert: "row" },
      { from: 9, insert: ">" },
    ],
  });
  expect(paper.text).toBe("row one\n>line 👋\n");
  paper.receive(Operation.splice(paper.text.length, 0, "more\n"));
  expect(view.state.doc.toString()).toBe(paper.text);
});

test("changes and operations are the same edits, whatever they are", async () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const random = new Random(seed);
    const text = randomText(random, 12);
    const operation = randomOperation(random, text);
    const state = EditorState.create({ doc: text, extensions: [EditorState.lineSeparator.of("\n")] });
    const transaction = state.update({ changes: changesOf(operation) });
    expect(transaction.state.doc.toString(), `seed ${seed}`).toBe(operation.apply(text));
    expect(operationOf(transaction.changes).apply(text), `seed ${seed}`).toBe(operation.apply(text));
  }
  await settled();
});

test("undo takes back own edits only, and the selection stays with its text", async () => {
  const paper = new Paper("abc");
  const view = await editorOf(paper);
  view.dispatch({ changes: { from: 1, insert: "own" }, userEvent: "input.type", selection: { anchor: 4 } });
  paper.receive(Operation.splice(0, 0, "theirs "));
  paper.receive(Operation.splice(paper.text.length, 0, " theirs"));
  expect(view.state.selection.main.head).toBe(11);
  expect(undo(view)).toBe(true);
  expect(paper.text).toBe("theirs abc theirs");
  expect(undo(view)).toBe(false);
  expect(redo(view)).toBe(true);
  expect(paper.text).toBe("theirs aownbc theirs");
  expect(view.state.doc.toString()).toBe(paper.text);
});

test("undo and remote edits in any order end with one text", async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const random = new Random(seed);
    const paper = new Paper(randomText(random, 10));
    const view = await editorOf(paper);
    for (let step = 0; step < 30; step += 1) {
      const operation = randomSplice(random, paper.text);
      if (random.below(4) === 0) (random.below(2) === 0 ? undo : redo)(view);
      else if (random.below(2) === 0) paper.receive(operation);
      else view.dispatch({ changes: changesOf(operation) });
      expect(view.state.doc.toString(), `seed ${seed}`).toBe(paper.text);
      expect(paper.text, `seed ${seed}`).toBe(wellFormed(paper.text));
    }
    view.destroy();
  }
});

test("no edit cuts a character in two", async () => {
  const paper = new Paper("a👋b");
  const view = await editorOf(paper);
  view.dispatch({ changes: { from: 2, insert: "x" } });
  expect(paper.text).toBe("a👋xb");
  view.dispatch({ changes: { from: 2, to: 4 } });
  expect(paper.text).toBe("ab");
  view.dispatch({ changes: { from: 1, insert: "\ud83d" } });
  expect(paper.text).toBe("a\ufffdb");
  view.dispatch({ changes: { from: 0, insert: "one\r\ntwo\rthree" }, userEvent: "input.paste" });
  expect(paper.text).toBe("one\ntwo\nthreea\ufffdb");
  expect(view.state.doc.toString()).toBe(paper.text);
});

test("a selection in the middle of what somebody replaces is a cursor, where one can type", async () => {
  const paper = new Paper("one two three");
  const view = await editorOf(paper);
  view.dispatch({ selection: { anchor: 5, head: 6 } });
  paper.receive(Operation.splice(4, 3, "2 and a half"));
  expect(view.state.selection.main).toMatchObject({ from: 16, to: 16 });
  view.dispatch(view.state.replaceSelection("!"));
  expect(paper.text).toBe("one 2 and a half! three");
});

test("a text with other ends of lines stays as it is", async () => {
  const paper = new Paper("one\r\ntwo\rthree\n");
  const view = await editorOf(paper);
  expect(view.state.doc.length).toBe(paper.text.length);
  view.dispatch({ changes: { from: paper.text.length, insert: "four" } });
  expect(paper.text).toBe("one\r\ntwo\rthree\nfour");
});

test("where the document takes no edits the editor is read-only", async () => {
  const paper = new Paper("abc");
  paper.isEditable = false;
  const view = await editorOf(paper);
  expect(view.state.readOnly).toBe(true);
  expect(view.contentDOM.getAttribute("aria-readonly")).toBe("true");
  view.dispatch({ changes: { from: 0, insert: "x" } });
  expect(view.state.doc.toString()).toBe("abc");
  paper.receive(Operation.splice(0, 0, "still "));
  expect(view.state.doc.toString()).toBe("still abc");
  paper.isEditable = true;
  paper.emitter.emit("state", { state: "open" });
  await settled();
  expect(view.state.readOnly).toBe(false);
  view.dispatch({ changes: { from: 0, insert: "x" } });
  expect(paper.text).toBe("xstill abc");
  paper.saved = { state: "offline", pending: 9, isFull: true };
  paper.emitter.emit("saved", paper.saved);
  await settled();
  expect(view.state.readOnly).toBe(true);
});

test("an edit that the document does not take is not shown either", async () => {
  const paper = new Paper("abc");
  const view = await editorOf(paper);
  paper.edit = () => {
    throw new Error("no");
  };
  view.dispatch({ changes: { from: 0, insert: "x" } });
  await settled();
  expect(view.state.doc.toString()).toBe("abc");
});

test("two editors of one document show the same", async () => {
  const paper = new Paper("abc");
  const [view, other] = [await editorOf(paper), await editorOf(paper)];
  view.dispatch({ changes: { from: 3, insert: "d" } });
  other.dispatch({ changes: { from: 0, insert: "_" } });
  expect([view.state.doc.toString(), other.state.doc.toString()]).toEqual(["_abcd", "_abcd"]);
});

test("others' cursors and selections have names, and move with the text", async () => {
  const paper = new Paper("hello world");
  const view = await editorOf(paper);
  paper.peers = new Map([
    [1, peer(1, "Ada Lovelace", 5)],
    [2, peer(2, "", 11, 6)],
  ]);
  paper.emitter.emit("peers", paper.peers);
  await settled();
  const names = (): (string | null)[] =>
    [...view.dom.querySelectorAll(".cm-corelay-name")].map(({ textContent }) => textContent);
  expect(names()).toEqual(["Ada Lovelace", "Somebody"]);
  const selection = view.dom.querySelector(".cm-corelay-selection");
  expect(selection?.textContent).toBe("world");
  expect(selection?.getAttribute("title")).toBe("Somebody");
  expect(selection?.hasAttribute("style"), "a content security policy would not have it").toBe(false);
  expect(selection?.classList.contains("cm-corelay-3366cc")).toBe(true);
  paper.peers = new Map([
    [1, peer(1, "Ada Lovelace", 9)],
    [2, peer(2, "", 15, 10)],
  ]);
  paper.receive(Operation.splice(0, 0, "oh, "));
  expect(view.dom.querySelector(".cm-corelay-selection")?.textContent).toBe("world");
  await settled();
  expect(view.dom.querySelector(".cm-corelay-selection")?.textContent).toBe("world");
  view.dispatch({ changes: { from: 0, to: view.state.doc.length } });
  expect(names().length).toBe(2);
  paper.peers = new Map();
  paper.emitter.emit("peers", paper.peers);
  await settled();
  expect(names()).toEqual([]);
});

test("this editor's selection is told, and its going", async () => {
  const paper = new Paper("hello");
  const view = await editorOf(paper, { fields: () => ({ tool: "pen" }) });
  // Here a focus would tell of the selection while it is being set.
  Object.defineProperty(view, "hasFocus", { value: true });
  view.dispatch({ selection: { anchor: 1, head: 3 } });
  expect(paper.presence).toEqual({
    cursor: 3,
    selection: { anchor: 1, focus: 3 },
    isTyping: false,
    fields: { tool: "pen" },
  });
  view.dispatch({ changes: { from: 3, insert: "x" }, userEvent: "input.type" });
  expect(paper.presence?.isTyping).toBe(true);
  view.destroy();
  expect(paper.hasLeft).toBe(true);
});

test("names are readable on every colour", () => {
  const luminance = (color: string): number => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const part = parseInt(color.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const random = new Random(1);
  for (let count = 0; count < 1000; count += 1) {
    const color = `#${random
      .below(2 ** 24)
      .toString(16)
      .padStart(6, "0")}`;
    const [light, dark] = [luminance(color), luminance(inkOn(color))].sort((a, b) => b - a) as [number, number];
    expect((light + 0.05) / (dark + 0.05), color).toBeGreaterThan(4.5);
  }
});
