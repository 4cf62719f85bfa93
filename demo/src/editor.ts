// The text's editor. It lives in a shadow root: there CodeMirror's styles need no permission of the page's policy.

import { history, historyKeymap } from "@codemirror/commands";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, placeholder } from "@codemirror/view";
import type { TextDocument } from "@corelay/client";
import { corelay } from "@corelay/client/codemirror";
import { keys } from "./keys";

const looks = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "transparent", fontSize: "17px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--sans)", lineHeight: "1.7", overflow: "auto" },
  ".cm-content": {
    padding: "clamp(16px, 4vh, 40px) max(clamp(16px, 4vw, 40px), calc(50% - 23rem)) 30vh",
    caretColor: "var(--accent)",
  },
  ".cm-line": { padding: "0" },
  ".cm-cursor": { borderLeft: "2px solid var(--accent)" },
  ".cm-placeholder": { color: "var(--ink-soft)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "var(--accent-wash)",
  },
  ".cm-corelay-cursor": {
    borderLeftColor: "light-dark(var(--corelay-color), color-mix(in oklab, var(--corelay-color), white 40%))",
  },
  ".cm-corelay-selection": {
    backgroundColor: "color-mix(in srgb, var(--corelay-color) 22%, transparent)",
    borderRadius: "2px",
  },
  // Low and small, so that it hides little of the line above.
  ".cm-corelay-name": {
    bottom: "calc(100% - 4px)",
    padding: "0 5px",
    borderRadius: "5px 5px 5px 0",
    fontFamily: "var(--sans)",
    fontSize: "11px",
    fontWeight: "600",
    lineHeight: "14px",
  },
});

export function openEditor(text: TextDocument, parent: HTMLElement): EditorView {
  const root = parent.attachShadow({ mode: "open" });
  const space = document.createElement("div");
  space.style.height = "100%";
  root.append(space);
  return new EditorView({
    root,
    parent: space,
    state: EditorState.create({
      extensions: [
        history(),
        drawSelection(),
        keymap.of([...keys, ...historyKeymap]),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "Text of the document", spellcheck: "true" }),
        placeholder("Write something. Whoever opens this link sees it at once, and you see them."),
        looks,
        corelay(text),
      ],
    }),
  });
}
