/** Operations as the protocol's `TextOperation`. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { TextOperationSchema } from "../wire/corelay_pb.js";
import { Operation, OperationBuilder } from "./operation.js";

/** Longer than any document, in code units. */
const REACH_MAX = 2 ** 32 - 1;

/** Reads an encoded `TextOperation`. Throws RangeError where the bytes are none. */
export function decodeOperation(bytes: Uint8Array): Operation {
  const builder = new OperationBuilder();
  let reach = 0;
  const checked = (length: bigint): number => {
    reach += Number(length);
    if (length === 0n || reach > REACH_MAX) throw new RangeError("a component of the operation is empty or too long");
    return Number(length);
  };
  let components;
  try {
    ({ components } = fromBinary(TextOperationSchema, bytes));
  } catch (error) {
    throw new RangeError(`the bytes are no text operation: ${String(error)}`);
  }
  for (const { edit } of components) {
    if (edit.case === "retain") builder.retain(checked(edit.value));
    else if (edit.case === "delete") builder.delete(checked(edit.value));
    else if (edit.case === "insert" && edit.value !== "") builder.insert(edit.value);
    else throw new RangeError("a component of the operation is empty");
  }
  return builder.build();
}

export function encodeOperation(operation: Operation): Uint8Array {
  const components = operation.components.map((component) => {
    if ("retain" in component) return { edit: { case: "retain" as const, value: BigInt(component.retain) } };
    if ("insert" in component) return { edit: { case: "insert" as const, value: component.insert } };
    return { edit: { case: "delete" as const, value: BigInt(component.delete) } };
  });
  return toBinary(TextOperationSchema, create(TextOperationSchema, { components }));
}
