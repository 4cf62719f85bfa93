/** Edits that would cut a character in two, or bring in other ends of lines, are made whole before they are seen. */

import { type ChangeSpec, EditorState, Transaction, type Text, type TransactionSpec } from "@codemirror/state";

import { splitsPair } from "../text/operation.js";
import { wellFormed } from "../text/pieces.js";
import { fromDocument } from "./binding.js";

export const whole = EditorState.transactionFilter.of((transaction): TransactionSpec | readonly TransactionSpec[] => {
  if (!transaction.docChanged || transaction.annotation(fromDocument) === true) return transaction;
  const { doc } = transaction.startState;
  // What is undone had its ends of lines before.
  const isInput = transaction.isUserEvent("input");
  let repairs = 0;
  const changes: ChangeSpec[] = [];
  transaction.changes.iterChanges((from, to, _fromAfter, _toAfter, inserted) => {
    const text = inserted.toString();
    const insert = wellFormed(isInput ? text.replace(/\r\n?/g, "\n") : text);
    const isInsertion = from === to;
    const start = cuts(doc, from) ? from + (isInsertion ? 1 : -1) : from;
    const end = cuts(doc, to) ? to + 1 : to;
    if (start !== from || end !== to || insert !== text) repairs += 1;
    changes.push({ from: start, to: end, insert });
  }, true);
  if (repairs === 0) return transaction;
  const userEvent = transaction.annotation(Transaction.userEvent);
  return {
    changes,
    effects: transaction.effects,
    scrollIntoView: transaction.scrollIntoView,
    ...(userEvent !== undefined && { userEvent }),
  };
});

/** Whether a position is inside a surrogate pair. */
function cuts(doc: Text, position: number): boolean {
  if (position === 0 || position === doc.length) return false;
  return splitsPair(doc.sliceString(position - 1, position + 1), 1);
}
