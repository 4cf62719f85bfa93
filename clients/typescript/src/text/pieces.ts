/** Local edits made fit for the wire: whole characters, and none longer than a message may be. */

import { isHighSurrogate, Operation, OperationBuilder } from "./operation.js";

const LONE_SURROGATES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** What no UTF-8 can say is replaced by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATES, "\ufffd");
}

/** The operation with whole characters in what it inserts. */
export function repaired(operation: Operation): Operation {
  return Operation.from(
    operation.components.map((component) =>
      "insert" in component ? { insert: wellFormed(component.insert) } : component,
    ),
  );
}

/** Operations that one after the other do what this one does, none of which takes more than about `bytesMax`. */
export function pieces(operation: Operation, bytesMax: number): Operation[] {
  const unitsMax = Math.max(2, Math.floor(bytesMax / 4));
  const operations: Operation[] = [];
  let builder = new OperationBuilder();
  let units = 0;
  // Where the next piece goes on, in the document that the pieces before leave behind.
  let position = 0;
  const flush = (): void => {
    operations.push(builder.build());
    builder = new OperationBuilder().retain(position);
    units = 0;
  };
  for (const component of operation.components) {
    if ("retain" in component) {
      builder.retain(component.retain);
      position += component.retain;
    } else if ("delete" in component) {
      builder.delete(component.delete);
    } else {
      for (let rest = component.insert; rest !== "";) {
        if (units >= unitsMax) flush();
        let length = Math.min(rest.length, unitsMax - units);
        if (length < rest.length && isHighSurrogate(rest.charCodeAt(length - 1))) length += 1;
        builder.insert(rest.slice(0, length));
        position += length;
        units += length;
        rest = rest.slice(length);
      }
    }
  }
  operations.push(builder.build());
  return operations.filter(({ isIdentity }) => !isIdentity);
}
