/** A text document in a CodeMirror 6 editor. */

import type { Extension } from "@codemirror/state";
import type { TextDocument } from "../api.js";

export interface CorelayOptions {
  /** Shows the others' cursors and selections, and tells them this editor's. Default true. */
  cursors?: boolean;
  /** What is said to assistive technology, and shown, about a peer without a name. Default `"Somebody"`. */
  unnamed?: string;
}

/**
 * Binds the editor to the document: what is typed becomes operations, and what others do becomes transactions that keep
 * the selection and leave the undo history to the user's own edits. Before the document is loaded, and where it cannot be
 * edited, the editor is read-only. Give the state no document of its own: it is filled with the text's.
 *
 * Add `history()` of `@codemirror/commands` (or `basicSetup`) for undo. Lines end with `\n`, whatever the machine.
 */
export declare function corelay(document: TextDocument, options?: CorelayOptions): Extension;
