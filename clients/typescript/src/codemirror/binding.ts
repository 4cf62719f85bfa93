/** Edits from the editor to the document and back. */

import {
  Annotation,
  type ChangeSet,
  type ChangeSpec,
  EditorSelection,
  type Extension,
  Transaction,
} from "@codemirror/state";
import { type EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";

import type { TextChange, TextDocument } from "../api.js";
import { difference } from "../text/compose.js";
import { type Operation, OperationBuilder } from "../text/operation.js";

/** A transaction that brings the document's state into the editor. */
export const fromDocument = Annotation.define<boolean>();

export function binding(document: TextDocument): Extension {
  return ViewPlugin.define((view) => new Binding(view, document));
}

class Binding {
  readonly #unlisten: () => void;
  #isDestroyed = false;

  constructor(
    readonly view: EditorView,
    readonly document: TextDocument,
  ) {
    this.#unlisten = document.on("change", (change) => this.#take(change));
    // A view cannot be changed while it is being made.
    queueMicrotask(() => this.#reconcile());
  }

  update(update: ViewUpdate): void {
    for (const transaction of update.transactions) {
      if (!transaction.docChanged || transaction.annotation(fromDocument) === true) continue;
      try {
        this.document.edit(operationOf(transaction.changes), this);
      } catch {
        // The document says why; the editor shows what is in it.
        queueMicrotask(() => this.#reconcile());
      }
    }
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#unlisten();
  }

  #take({ operation, source }: TextChange): void {
    if (source !== this) this.#dispatch(operation);
  }

  /** Makes the editor's text the document's. */
  #reconcile(): void {
    const shown = this.view.state.doc.toString();
    if (!this.#isDestroyed && shown !== this.document.text) this.#dispatch(difference(shown, this.document.text));
  }

  #dispatch(operation: Operation): void {
    const annotations = [fromDocument.of(true), Transaction.remote.of(true), Transaction.addToHistory.of(false)];
    try {
      const { state } = this.view;
      const changes = state.changes(changesOf(operation));
      const selection = selectionAfter(state.selection, changes);
      this.view.dispatch({ changes, ...(selection && { selection }), annotations, filter: false });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // The editor has another text than the document had: it was not filled yet.
      queueMicrotask(() => this.#reconcile());
    }
  }
}

/**
 * What a selection has to be after an edit, where the editor would not find it: it turns a range inside out that is in the
 * middle of what is replaced, and the next key fails. That range becomes a cursor.
 */
export function selectionAfter(selection: EditorSelection, changes: ChangeSet): EditorSelection | undefined {
  const { ranges, mainIndex } = selection.map(changes);
  if (ranges.every(({ from, to }) => from <= to)) return undefined;
  const inOrder = ranges.map((range) => (range.from > range.to ? EditorSelection.cursor(range.from) : range));
  return EditorSelection.create(inOrder, mainIndex);
}

export function operationOf(changes: ChangeSet): Operation {
  const builder = new OperationBuilder();
  let position = 0;
  changes.iterChanges((from, to, _fromAfter, _toAfter, inserted) => {
    builder
      .retain(from - position)
      .insert(inserted.toString())
      .delete(to - from);
    position = to;
  }, true);
  return builder.build();
}

/** An operation as an editor's changes. */
export function changesOf(operation: Operation): ChangeSpec[] {
  const changes: { from: number; to: number; insert: string }[] = [];
  let position = 0;
  for (const component of operation.components) {
    if ("retain" in component) {
      position += component.retain;
    } else if ("insert" in component) {
      changes.push({ from: position, to: position, insert: component.insert });
    } else {
      const last = changes.at(-1);
      // An insert stands before the delete that it touches.
      if (last !== undefined && last.to === position) last.to += component.delete;
      else changes.push({ from: position, to: position + component.delete, insert: "" });
      position += component.delete;
    }
  }
  return changes;
}
