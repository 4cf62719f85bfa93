// The keys of a plain text's editor. `standardKeymap` is the same for programs, and brings along what reads them.

import * as commands from "@codemirror/commands";
import { EditorSelection, type EditorState, findClusterBreak } from "@codemirror/state";
import type { Command, KeyBinding } from "@codemirror/view";

const preventDefault = true;

export const keys: readonly KeyBinding[] = [
  { key: "ArrowLeft", run: commands.cursorCharLeft, shift: commands.selectCharLeft, preventDefault },
  { key: "ArrowRight", run: commands.cursorCharRight, shift: commands.selectCharRight, preventDefault },
  { key: "ArrowUp", run: commands.cursorLineUp, shift: commands.selectLineUp, preventDefault },
  { key: "ArrowDown", run: commands.cursorLineDown, shift: commands.selectLineDown, preventDefault },
  {
    key: "Mod-ArrowLeft",
    mac: "Alt-ArrowLeft",
    run: commands.cursorGroupLeft,
    shift: commands.selectGroupLeft,
    preventDefault,
  },
  {
    key: "Mod-ArrowRight",
    mac: "Alt-ArrowRight",
    run: commands.cursorGroupRight,
    shift: commands.selectGroupRight,
    preventDefault,
  },
  {
    mac: "Cmd-ArrowLeft",
    run: commands.cursorLineBoundaryLeft,
    shift: commands.selectLineBoundaryLeft,
    preventDefault,
  },
  {
    mac: "Cmd-ArrowRight",
    run: commands.cursorLineBoundaryRight,
    shift: commands.selectLineBoundaryRight,
    preventDefault,
  },
  { mac: "Cmd-ArrowUp", run: commands.cursorDocStart, shift: commands.selectDocStart },
  { mac: "Cmd-ArrowDown", run: commands.cursorDocEnd, shift: commands.selectDocEnd },
  { key: "PageUp", mac: "Ctrl-ArrowUp", run: commands.cursorPageUp, shift: commands.selectPageUp },
  { key: "PageDown", mac: "Ctrl-ArrowDown", run: commands.cursorPageDown, shift: commands.selectPageDown },
  {
    key: "Home",
    run: commands.cursorLineBoundaryBackward,
    shift: commands.selectLineBoundaryBackward,
    preventDefault,
  },
  { key: "End", run: commands.cursorLineBoundaryForward, shift: commands.selectLineBoundaryForward, preventDefault },
  { key: "Mod-Home", run: commands.cursorDocStart, shift: commands.selectDocStart },
  { key: "Mod-End", run: commands.cursorDocEnd, shift: commands.selectDocEnd },
  { key: "Mod-a", run: commands.selectAll },
  { key: "Enter", run: commands.insertNewlineKeepIndent, shift: commands.insertNewlineKeepIndent },
  { key: "Backspace", run: remove(false), shift: remove(false), preventDefault },
  { key: "Delete", run: remove(true), preventDefault },
  { key: "Mod-Backspace", mac: "Alt-Backspace", run: commands.deleteGroupBackward, preventDefault },
  { key: "Mod-Delete", mac: "Alt-Delete", run: commands.deleteGroupForward, preventDefault },
  { mac: "Mod-Backspace", run: commands.deleteLineBoundaryBackward, preventDefault },
  { mac: "Mod-Delete", run: commands.deleteLineBoundaryForward, preventDefault },
];

/** Deletes what is selected, or the character beside the cursor. */
function remove(isForward: boolean): Command {
  return ({ state, dispatch }) => {
    if (state.readOnly) return false;
    const edit = state.changeByRange((range) => {
      const end = range.empty ? beside(state, range.head, isForward) : range.anchor;
      const [from, to] = [Math.min(range.head, end), Math.max(range.head, end)];
      return { changes: { from, to }, range: EditorSelection.cursor(from) };
    });
    const userEvent = isForward ? "delete.forward" : "delete.backward";
    if (!edit.changes.empty) dispatch(state.update(edit, { scrollIntoView: true, userEvent }));
    return !edit.changes.empty;
  };
}

/** The other side of the character before or after a position. */
function beside(state: EditorState, position: number, isForward: boolean): number {
  const line = state.doc.lineAt(position);
  if (position === (isForward ? line.to : line.from)) {
    return Math.min(state.doc.length, Math.max(0, position + (isForward ? 1 : -1)));
  }
  return line.from + findClusterBreak(line.text, position - line.from, isForward);
}
