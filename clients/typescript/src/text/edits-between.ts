/**
 * From one text to another with as little change as makes sense to whoever reads it: whole words first, and of each place
 * that differs only what does. The twin of what the relay's HTTP interface does.
 */

import { diffArrays } from "diff";

import { difference } from "./compose.js";
import { Operation, OperationBuilder } from "./operation.js";

/** When more is changed than had to be, rather than to look on. */
const TIMEOUT_MS = 500;

/** Larger places are replaced as they are: nobody could read what is common to them, and finding it takes memory. */
const COMPARED_UNITS_MAX = 1024 * 1024;

/** Letters and digits that stand together, and everything else character by character. */
const WORDS = /[\p{L}\p{N}\p{M}]+|[^]/gu;

/** The edits that make `from` into `to`. */
export function editsBetween(from: string, to: string): Operation {
  const whole = difference(from, to);
  const [start, deleted, inserted] = placeOf(whole);
  if (Math.max(deleted, inserted.length) > COMPARED_UNITS_MAX) return whole;
  const old = from.slice(start, start + deleted).match(WORDS) ?? [];
  const parts = diffArrays(old, inserted.match(WORDS) ?? [], { timeout: TIMEOUT_MS });
  if (parts === undefined) return whole;

  const builder = new OperationBuilder().retain(start);
  let [taken, put] = ["", ""];
  const flush = (): void => {
    const components = difference(taken, put).components;
    for (const component of components) builder.add(component);
    // What the operation does not reach is retained.
    builder.retain(taken.length - Operation.from(components).reach);
    [taken, put] = ["", ""];
  };
  for (const { value, added, removed } of parts) {
    const text = value.join("");
    if (added) put += text;
    else if (removed) taken += text;
    else {
      flush();
      builder.retain(text.length);
    }
  }
  flush();
  return builder.build();
}

/** Where one edit is, how much it deletes, and what it inserts. */
function placeOf({ components }: Operation): [position: number, deleted: number, inserted: string] {
  let [position, deleted, inserted] = [0, 0, ""];
  for (const component of components) {
    if ("retain" in component) position = component.retain;
    else if ("delete" in component) deleted = component.delete;
    else inserted = component.insert;
  }
  return [position, deleted, inserted];
}
