/** Whether the editor may be edited: as long as the document takes edits. */

import { EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import { type EditorView, ViewPlugin } from "@codemirror/view";

import type { TextDocument } from "../api.js";
import { fromDocument } from "./binding.js";

export function editable(document: TextDocument): Extension {
  const takesEdits = (): boolean => document.isEditable && !document.saved.isFull;
  const changed = StateEffect.define<boolean>();
  const field = StateField.define<boolean>({
    create: takesEdits,
    update: (value, transaction) => transaction.effects.find((effect) => effect.is(changed))?.value ?? value,
    provide: (it) => EditorState.readOnly.from(it, (value) => !value),
  });
  const follower = ViewPlugin.define((view: EditorView) => {
    let isDestroyed = false;
    const follow = (): void => {
      // Not while the view is being made or is in an update.
      queueMicrotask(() => {
        if (!isDestroyed && view.state.field(field) !== takesEdits()) {
          view.dispatch({ effects: changed.of(takesEdits()) });
        }
      });
    };
    const unlisten = [document.on("state", follow), document.on("saved", follow), document.on("change", follow)];
    follow();
    return {
      destroy: () => {
        isDestroyed = true;
        for (const end of unlisten) end();
      },
    };
  });
  // `readOnly` is a hint to commands: nothing else gets through either.
  const filter = EditorState.changeFilter.of(
    (transaction) => transaction.annotation(fromDocument) === true || takesEdits(),
  );
  return [field, follower, filter];
}
