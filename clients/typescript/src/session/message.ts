/** Requests as they are written down here: plain members, which become the generated messages. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { type Event, type Request, RequestSchema } from "../wire/corelay_pb.js";

export type RequestBody = Exclude<
  NonNullable<MessageInitShape<typeof RequestSchema>["body"]>,
  { case: undefined; value?: undefined }
>;

export function request(body: RequestBody, id = ""): Request {
  return create(RequestSchema, { id, body });
}

export type EventBody = Event["body"];

/** What the relay says, by name. */
export type Told<Case extends EventBody["case"]> =
  Extract<EventBody, { case: Case }> extends { value: infer Value } ? Value : never;
