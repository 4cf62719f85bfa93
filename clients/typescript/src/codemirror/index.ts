/** A text document in a CodeMirror 6 editor. */

import { type Extension, EditorState } from "@codemirror/state";

import type { TextDocument } from "../api.js";
import { binding } from "./binding.js";
import { cursors } from "./cursors.js";
import { editable } from "./editable.js";
import { whole } from "./whole.js";

export { changesOf } from "./binding.js";

export interface CorelayOptions {
  /** Shows the others' cursors and selections, and tells them this editor's. Default true. */
  cursors?: boolean;
  /** What stands beside the cursor of somebody without a name. Default `"Somebody"`. */
  unnamed?: string;
  /** What else this client's presence says: see `Presence.fields`. Asked whenever the presence is told. */
  fields?: () => Record<string, unknown>;
  /** What assistive technology says when somebody comes or goes; `""` for nothing. Default: in English. */
  announce?: (name: string, isHere: boolean) => string;
}

/**
 * Binds the editor to the document: what is typed becomes operations, and what others do becomes transactions that keep
 * the selection and leave the undo history to the user's own edits. Before the document is loaded, and where it cannot be
 * edited (no permission, closed, the queue is full), the editor is read-only. The editor's text becomes the document's.
 *
 * Add `history()` of `@codemirror/commands` (or `basicSetup`) for undo. Lines end with `\n`, whatever the machine.
 */
export function corelay(document: TextDocument, options: CorelayOptions = {}): Extension {
  return [
    // Anything else would count the units of a line's end otherwise than the relay.
    EditorState.lineSeparator.of("\n"),
    editable(document),
    whole,
    binding(document),
    options.cursors === false ? [] : cursors(document, options),
  ];
}
