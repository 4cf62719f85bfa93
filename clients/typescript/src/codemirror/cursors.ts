/** The others' cursors and selections, with their names; and this editor's, told to the others. */

import {
  type ChangeDesc,
  type EditorState,
  type Extension,
  StateEffect,
  type StateEffectType,
  StateField,
} from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate, WidgetType } from "@codemirror/view";

import { StyleModule } from "style-mod";

import type { Peer, TextDocument } from "../api.js";
import type { CorelayOptions } from "./index.js";

/** How long after the last edit somebody counts as typing. */
const TYPING_MS = 2000;

interface PeerCursor {
  readonly clientId: number;
  readonly name: string;
  readonly color: string;
  readonly anchor: number;
  readonly head: number;
}

export function cursors(document: TextDocument, options: CorelayOptions): Extension {
  const { unnamed = "Somebody" } = options;
  const changed = StateEffect.define<readonly PeerCursor[]>();
  const field = StateField.define<readonly PeerCursor[]>({
    create: () => [],
    update: (value, transaction) => {
      const told = transaction.effects.find((effect) => effect.is(changed))?.value;
      if (told !== undefined) return told;
      // Until the document says where they are in the new text.
      return transaction.docChanged ? value.map((cursor) => mapped(cursor, transaction.changes)) : value;
    },
    provide: (it) => [
      EditorView.decorations.compute([it], (state) => decorations(state, state.field(it))),
      EditorView.styleModule.computeN([it], (state) => state.field(it).map(({ color }) => moduleOf(color))),
    ],
  });
  const plugin = ViewPlugin.define((view) => new Presence(view, document, options, unnamed, { field, changed }));
  return [field, plugin, theme];
}

function mapped(cursor: PeerCursor, changes: ChangeDesc): PeerCursor {
  const at = (position: number): number => changes.mapPos(Math.min(position, changes.length), -1);
  return { ...cursor, anchor: at(cursor.anchor), head: at(cursor.head) };
}

function areSame(some: readonly PeerCursor[], others: readonly PeerCursor[]): boolean {
  return some.length === others.length && some.every((cursor, index) => isSame(cursor, others[index]!));
}

function isSame(a: PeerCursor, b: PeerCursor): boolean {
  return (
    a.clientId === b.clientId && a.name === b.name && a.color === b.color && a.anchor === b.anchor && a.head === b.head
  );
}

function decorations(state: EditorState, peers: readonly PeerCursor[]): DecorationSet {
  const { length } = state.doc;
  return Decoration.set(
    peers.flatMap(({ name, color, anchor, head }) => {
      const [from, to, at] = [
        Math.min(anchor, head, length),
        Math.min(Math.max(anchor, head), length),
        Math.min(head, length),
      ];
      const cursor = Decoration.widget({ widget: new CursorWidget(name, color), side: 1 }).range(at);
      if (from === to) return [cursor];
      const selection = { class: `cm-corelay-selection ${classOf(color)}`, attributes: { title: name } };
      return [Decoration.mark(selection).range(from, to), cursor];
    }),
    true,
  );
}

/** A colour as a class: style attributes are what strict content security policies forbid. */
function classOf(color: string): string {
  return `cm-corelay-${color.slice(1)}`;
}

const modules = new Map<string, StyleModule>();

function moduleOf(color: string): StyleModule {
  const module = modules.get(color) ?? new StyleModule({ [`.${classOf(color)}`]: { "--corelay-color": color } });
  modules.set(color, module);
  return module;
}

/** This editor's presence on the document. */
class Presence {
  readonly #unlisten: () => void;
  #here: ReadonlySet<string> | undefined;
  #typing: ReturnType<typeof setTimeout> | undefined;
  #isDestroyed = false;

  constructor(
    readonly view: EditorView,
    readonly document: TextDocument,
    readonly options: CorelayOptions,
    readonly unnamed: string,
    readonly shown: { field: StateField<readonly PeerCursor[]>; changed: StateEffectType<readonly PeerCursor[]> },
  ) {
    this.#unlisten = document.on("peers", () => this.#show());
    this.#show();
    void document.loaded.then(
      () => this.#tell(),
      () => {},
    );
  }

  update(update: ViewUpdate): void {
    const isTyped = update.transactions.some((it) => it.docChanged && it.isUserEvent("input"));
    if (isTyped) {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => {
        this.#typing = undefined;
        this.#tell();
      }, TYPING_MS);
    }
    // What others type moves this one's cursor, too, in a way of the editor's own.
    if (update.docChanged || update.selectionSet || update.focusChanged) this.#tell();
    if (update.docChanged) this.#show();
  }

  destroy(): void {
    this.#isDestroyed = true;
    clearTimeout(this.#typing);
    this.#unlisten();
    this.document.leave();
  }

  #tell(): void {
    if (this.#isDestroyed) return;
    const { anchor, head } = this.view.state.selection.main;
    const fields = this.options.fields?.();
    this.document.announce({
      // Somebody who looks elsewhere is here all the same.
      ...(this.view.hasFocus && { cursor: head, selection: { anchor, focus: head } }),
      isTyping: this.#typing !== undefined,
      ...(fields && { fields }),
    });
  }

  #show(): void {
    // Not while the view is being made or is in an update.
    queueMicrotask(() => {
      if (this.#isDestroyed) return;
      const peers = [...this.document.peers.values()];
      const effects: StateEffect<unknown>[] = [];
      const cursors = peers.flatMap((peer) => this.#cursorOf(peer));
      const { field, changed } = this.shown;
      if (!areSame(cursors, this.view.state.field(field))) effects.push(changed.of(cursors));
      const words = this.#news(peers);
      if (words !== "") effects.push(EditorView.announce.of(words));
      if (effects.length > 0) this.view.dispatch({ effects });
    });
  }

  #cursorOf(peer: Peer): PeerCursor[] {
    const head = peer.selection?.focus.offset ?? peer.cursor?.offset;
    if (head === undefined) return [];
    const color = /^#[0-9a-f]{6}$/i.test(peer.color) ? peer.color : "#666666";
    const anchor = peer.selection?.anchor.offset ?? head;
    return [{ clientId: peer.clientId, name: this.#nameOf(peer), color, anchor, head }];
  }

  #nameOf(peer: Peer): string {
    return peer.name || peer.userId || this.unnamed;
  }

  /** Who has come and gone. */
  #news(peers: readonly Peer[]): string {
    const { announce = inEnglish } = this.options;
    const before = this.#here;
    const here = new Set(peers.map((peer) => this.#nameOf(peer)));
    this.#here = here;
    if (before === undefined) return "";
    const came = [...here].filter((name) => !before.has(name)).map((name) => announce(name, true));
    const left = [...before].filter((name) => !here.has(name)).map((name) => announce(name, false));
    return [...came, ...left].filter((words) => words !== "").join(" ");
  }
}

function inEnglish(name: string, isHere: boolean): string {
  return isHere ? `${name} is here.` : `${name} has left.`;
}

class CursorWidget extends WidgetType {
  constructor(
    readonly name: string,
    readonly color: string,
  ) {
    super();
  }

  override eq(other: CursorWidget): boolean {
    return this.name === other.name && this.color === other.color;
  }

  override toDOM(view: EditorView): HTMLElement {
    const { ownerDocument } = view.dom;
    const cursor = ownerDocument.createElement("span");
    cursor.className = "cm-corelay-cursor";
    cursor.style.setProperty("--corelay-color", this.color);
    cursor.style.setProperty("--corelay-ink", inkOn(this.color));
    // It is no part of the text: a reader is told who is here instead.
    cursor.setAttribute("aria-hidden", "true");
    const label = ownerDocument.createElement("span");
    label.className = "cm-corelay-name";
    label.textContent = this.name;
    cursor.append("\u2060", label, "\u2060");
    return cursor;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** Black or white, whichever is easier to read on a colour: a contrast of 4.5 at least. */
export function inkOn(color: string): string {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

const theme = EditorView.baseTheme({
  // Room for the names above the first line.
  ".cm-content": { paddingTop: "1.5em" },
  ".cm-corelay-selection": { backgroundColor: "color-mix(in srgb, var(--corelay-color) 30%, transparent)" },
  ".cm-corelay-cursor": {
    position: "relative",
    borderLeft: "2px solid var(--corelay-color)",
    marginLeft: "-1px",
    marginRight: "-1px",
  },
  ".cm-corelay-name": {
    position: "absolute",
    bottom: "100%",
    left: "-2px",
    padding: "0 0.35em",
    borderRadius: "0.25em 0.25em 0.25em 0",
    backgroundColor: "var(--corelay-color)",
    color: "var(--corelay-ink)",
    fontFamily: "system-ui, sans-serif",
    fontSize: "0.75rem",
    lineHeight: "1.35",
    whiteSpace: "nowrap",
    maxWidth: "12em",
    overflow: "hidden",
    textOverflow: "ellipsis",
    pointerEvents: "none",
    userSelect: "none",
    zIndex: "10",
  },
});
