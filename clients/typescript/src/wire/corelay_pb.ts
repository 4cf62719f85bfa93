// The corelay protocol, versions 1 to 3. The comments of this file are its specification.
//
// FRAMES. One frame is a 4-byte big-endian length followed by that many bytes, which hold one protobuf
// message: a `Request` from the client, an `Event` from the relay. Over plain TCP the stream is frames and
// nothing else. Over WebSocket every binary message carries one or more whole frames; a text message is one
// message of the JSON dialect. A connection keeps to the dialect of its first message. A frame is at most
// `message_bytes_max` long (Connected says the number; 1 MiB by default), and what a client sends in one WebSocket
// message is no longer than one such frame with its length.
//
// JSON. Every message is `{"type": …, "id": …, "timestamp": …, "payload": {…}}`. The type is the name of the field in
// `Request` or `Event` (Hello is "connect", Close of the connection "disconnect"), the id is `Request.id` and
// `Event.reply_to`, the timestamp is Unix milliseconds (when the relay made the message, of remote_ops when they were
// durable; that of a client is not read), and the payload has the message's fields in camelCase. What
// differs from protobuf:
//   - Documents have their ids, not handles: `documentId`, in open too. It may be left out where the connection's URL
//     names one, but not in close, which then ends the connection.
//   - Values of enums are their names in small letters: `"up_to_date"`. An ErrorCode is its number.
//   - Points in time lose their unit: `serverTime`, `persistedAt`, `lastSeen`, `time`, `fromTime`. `retryAfter` is in
//     seconds.
//   - State vectors are objects: `{"42": 17}`. The one in a sync_response has an entry for the client itself, -1 where
//     it has no operation. `serverVector` in remote_ops and ack has the entries that they change.
//   - kind text: an operation is an array of components, `[{"retain": 5}, {"insert": "x"}, {"delete": 2}]`.
//   - Any other bytes (operations of kind log, presence fields) are the JSON value that they are the text of, or
//     `{"base64": "…"}` where they are no JSON text. An object whose only member is `base64` always means bytes.
//   - `firstClock` may be left out of operations: then they count as new, and a batch that is sent again is applied
//     again: only a batch with its `firstClock` is applied once. So may `kind` and `create` of a sync_request: then the
//     document is made where it does not exist, as a log.
//   - A sync_request for a document that is not open opens it, and is answered with sync_response alone, after a resync
//     where what the client has is void. Operations that the relay still has at hand come as remote_ops before the last
//     sync_response. The client's next clock is its entry in that one's `serverVector` plus one. Nobody is present
//     until a presence_update (with `full`) says so: a client that asks again forgets whom it saw.
//   - `operations` of a sync_response are those of all its batches in one array; `batches` says of each in turn
//     `origin`, `revision`, `firstClock` and `count`. Only the last page has a `serverVector` that is not empty. The
//     data of a snapshot is a string for kind text, else `{"base64": …}`. `resumeToken` is base64url.
//   - The relay's own sync_request has in `stateVector` an entry for the client, -1 for none, beside `nextClock`.
//   - `clientId` of connect is the uuid as text; without `protocolVersion` it is 1.
//   - `debug` stands beside the payload: `messageId`, `serverProcessing` in milliseconds, `queueDepth`,
//     `stateVectorDelta`. What else an error says stands in its `details`.
//   - The payload may be left out. A member that is null counts as absent, and one that is not known is ignored. `ops`
//     is another name of `operations`. The data of a snapshot_offer is `{"base64": …}`.
//   - A value of kind log or of a presence field is passed on as its client wrote it. It has at most 100 levels, no
//     surrogate without its other half, and no number beyond a double: else OPERATION_INVALID (of a presence field,
//     MALFORMED_FRAME).
//
// A client edits a text in JSON (timestamps and some members are left out; > is the client, < the relay):
//   > {"type": "connect", "payload": {"clientId": "00000000-0000-4000-8000-00000000000a", "protocolVersion": 3}}
//   < {"type": "connected", "payload": {"clientId": 40059090691371, "protocolVersion": 3, …}}
//   > {"type": "open", "payload": {"documentId": "poem", "kind": "text", "create": true}}
//   < {"type": "opened", "payload": {"documentId": "poem", "position": {"epoch": 1, "revision": 0},
//      "sync": "up_to_date", "fromRevision": 0, "nextClock": 0, …}}
//   > {"type": "operations", "payload": {"documentId": "poem", "clientSeq": 1, "firstClock": 0, "baseRevision": 0,
//      "operations": [[{"insert": "Hello"}]]}}
//   < {"type": "ack", "payload": {"documentId": "poem", "clientSeq": 1, "firstRevision": 1, "count": 1, "clock": 0, …}}
//   < {"type": "remote_ops", "payload": {"documentId": "poem", "origin": 3194423789141157, "revision": 2,
//      "firstClock": 0, "operations": [[{"retain": 5}, {"insert": "!"}]], …}}
// It adds " world" and loses the connection before the answer. On the next one, after connect:
//   > {"type": "open", "payload": {"documentId": "poem", "have": {"epoch": 1, "revision": 2}, "snapshots": false}}
//   < {"type": "opened", "payload": {"documentId": "poem", "position": {"epoch": 1, "revision": 4}, "sync": "delta",
//      "fromRevision": 2, "nextClock": 2, …}}
//   < {"type": "remote_ops", "payload": {"documentId": "poem", "origin": 40059090691371, "revision": 3,
//      "firstClock": 1, "operations": [[{"retain": 5}, {"insert": " world"}]], …}}
//   < {"type": "remote_ops", "payload": {"documentId": "poem", "origin": 3194423789141157, "revision": 4, …}}
//   < {"type": "sync_response", "payload": {"documentId": "poem", "operations": [], "hasMore": false,
//      "position": {"epoch": 1, "revision": 4}, …}}
// Its next clock is 2: clock 1 had been applied, and came back as its own operation. Were it 1, it would send it again.
//
// HEADERS. A WebSocket's request may bring what Hello would: `X-Client-ID` (or `?client=`) the uuid as text,
// `X-Protocol-Version` (or `?version=`), and the token. Then Connected comes without a Hello, in JSON for version 1 and
// with the subprotocol `corelay.json` (or `?dialect=json`), else in protobuf. A document that the URL names is opened
// by the client's open or sync_request all the same.
//
// EVENT STREAM. Where WebSocket is blocked: `GET /events` or `GET /events/documents/{id}` with the same headers or
// query is answered with server-sent events, each the text of one message of the JSON dialect. The first event is
// named `session` and its data is `{"post": "/events/…"}`: the URL for this session's own messages. It is a secret, and
// needs no token. It lives as long as the stream.
//   - The body of a POST is one JSON message or an array of them, its Content-Type application/json or text/plain, its
//     length at most `message_bytes_max` and said by Content-Length. The answer has no body: 204 when the relay has
//     taken it; what it says to the messages comes over the stream. 503 with Retry-After: nothing was taken. 404: the
//     session has ended, come back with another stream.
//   - Posts are handled in the order in which they have arrived whole: a client sends one at a time. Operations of a
//     post whose answer was lost can be posted again if they had clocks.
//   - On a stream whose URL names a document, and whose request says who the client is, the document is opened at once,
//     as by a sync_request; with `?kind=` as that kind, if it does not exist. An event's id is the position in that
//     document that the client has with it, `epoch.revision`: sent back as `Last-Event-ID`, as a browser does by
//     itself, or as `?have=`, it is where the stream goes on.
//   - Comments keep a quiet stream alive; nobody has to answer them. A stream that takes nothing is given up like any
//     connection.
//
// VERSIONS. Version 1 is JSON alone. Version 2 adds protobuf. Version 3 adds snapshots in more than one page: an older
// client gets a snapshot in one message. Where its data is longer than a message may be, it gets the operations
// instead, or SNAPSHOT_REQUIRED if these are gone.
//
// ORDER. The first request is Hello; before it only Ping is answered. Requests of one connection are handled
// in the order in which they arrive. What the relay sends about one document arrives in the order in which it
// happened: every RemoteOps and Ack of a document carries revisions, and the revisions of a subscription rise
// by exactly one from where Opened or Resync put it, own operations (seen as Ack) included.
//
// NUMBERS. A revision is the place of an operation in its document's history: the first has revision 1, and a
// document with no operations has revision 0. A clock is a client's own count of its operations on one
// document, from 0 and without gaps. (client id, clock) is the identity of an operation: however often it is
// sent, it is applied once. All times are in milliseconds; points in time are Unix times.
//
// EPOCHS. With the weaker durability modes an unclean stop can lose the newest revisions. The relay then
// starts a new epoch, and revisions of different epochs are not comparable: a client that names another epoch
// is given the whole document again.

// @generated by protoc-gen-es v2.12.1 with parameter "target=ts,import_extension=js"
// @generated from file corelay.proto (package corelay.v1, syntax proto3)
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file corelay.proto.
 */
export const file_corelay: GenFile = /*@__PURE__*/
  fileDesc("Cg1jb3JlbGF5LnByb3RvEgpjb3JlbGF5LnYxIr4FCgdSZXF1ZXN0EgoKAmlkGA8gASgJEiIKBWhlbGxvGAEgASgLMhEuY29yZWxheS52MS5IZWxsb0gAEiAKBG9wZW4YAiABKAsyEC5jb3JlbGF5LnYxLk9wZW5IABIsCgpvcGVyYXRpb25zGAMgASgLMhYuY29yZWxheS52MS5PcGVyYXRpb25zSAASLwoMc3luY19yZXF1ZXN0GAQgASgLMhcuY29yZWxheS52MS5TeW5jUmVxdWVzdEgAEigKCHByZXNlbmNlGAUgASgLMhQuY29yZWxheS52MS5QcmVzZW5jZUgAEioKCWhlYXJ0YmVhdBgGIAEoCzIVLmNvcmVsYXkudjEuSGVhcnRiZWF0SAASIAoEcGluZxgHIAEoCzIQLmNvcmVsYXkudjEuUGluZ0gAEiAKBHBvbmcYCCABKAsyEC5jb3JlbGF5LnYxLlBvbmdIABIiCgVjbG9zZRgJIAEoCzIRLmNvcmVsYXkudjEuQ2xvc2VIABIzCg5zbmFwc2hvdF9vZmZlchgKIAEoCzIZLmNvcmVsYXkudjEuU25hcHNob3RPZmZlckgAEiQKBmRlbGV0ZRgLIAEoCzISLmNvcmVsYXkudjEuRGVsZXRlSAASIAoEbGlzdBgMIAEoCzIQLmNvcmVsYXkudjEuTGlzdEgAEiYKB2hpc3RvcnkYDSABKAsyEy5jb3JlbGF5LnYxLkhpc3RvcnlIABIvCgxzYXZlX3ZlcnNpb24YDiABKAsyFy5jb3JlbGF5LnYxLlNhdmVWZXJzaW9uSAASMQoNbGlzdF92ZXJzaW9ucxgQIAEoCzIYLmNvcmVsYXkudjEuTGlzdFZlcnNpb25zSAASMwoOZGVsZXRlX3ZlcnNpb24YESABKAsyGS5jb3JlbGF5LnYxLkRlbGV0ZVZlcnNpb25IAEIGCgRib2R5IqwICgVFdmVudBIQCghyZXBseV90bxgPIAEoCRIgCgVkZWJ1ZxgVIAEoCzIRLmNvcmVsYXkudjEuRGVidWcSKgoJY29ubmVjdGVkGAEgASgLMhUuY29yZWxheS52MS5Db25uZWN0ZWRIABIkCgZvcGVuZWQYAiABKAsyEi5jb3JlbGF5LnYxLk9wZW5lZEgAEisKCnJlbW90ZV9vcHMYAyABKAsyFS5jb3JlbGF5LnYxLlJlbW90ZU9wc0gAEh4KA2FjaxgEIAEoCzIPLmNvcmVsYXkudjEuQWNrSAASIAoEbmFjaxgFIAEoCzIQLmNvcmVsYXkudjEuTmFja0gAEjEKDXN5bmNfcmVzcG9uc2UYBiABKAsyGC5jb3JlbGF5LnYxLlN5bmNSZXNwb25zZUgAEjUKD3ByZXNlbmNlX3VwZGF0ZRgHIAEoCzIaLmNvcmVsYXkudjEuUHJlc2VuY2VVcGRhdGVIABImCgd3YXJuaW5nGAggASgLMhMuY29yZWxheS52MS5XYXJuaW5nSAASJAoGcmVzeW5jGAkgASgLMhIuY29yZWxheS52MS5SZXN5bmNIABIiCgVlcnJvchgKIAEoCzIRLmNvcmVsYXkudjEuRXJyb3JIABIgCgRwaW5nGAsgASgLMhAuY29yZWxheS52MS5QaW5nSAASIAoEcG9uZxgMIAEoCzIQLmNvcmVsYXkudjEuUG9uZ0gAEiQKBmdvYXdheRgNIAEoCzISLmNvcmVsYXkudjEuR29hd2F5SAASIgoFY2xvc2UYDiABKAsyES5jb3JlbGF5LnYxLkNsb3NlSAASLwoMc3luY19yZXF1ZXN0GBAgASgLMhcuY29yZWxheS52MS5TeW5jUmVxdWVzdEgAEjkKEXNuYXBzaG90X2FjY2VwdGVkGBEgASgLMhwuY29yZWxheS52MS5TbmFwc2hvdEFjY2VwdGVkSAASJgoHZGVsZXRlZBgSIAEoCzITLmNvcmVsYXkudjEuRGVsZXRlZEgAEioKCWRpcmVjdG9yeRgTIAEoCzIVLmNvcmVsYXkudjEuRGlyZWN0b3J5SAASNwoQZGlyZWN0b3J5X3VwZGF0ZRgUIAEoCzIbLmNvcmVsYXkudjEuRGlyZWN0b3J5VXBkYXRlSAASLwoMaGlzdG9yeV9wYWdlGBYgASgLMhcuY29yZWxheS52MS5IaXN0b3J5UGFnZUgAEjEKDXZlcnNpb25fc2F2ZWQYFyABKAsyGC5jb3JlbGF5LnYxLlZlcnNpb25TYXZlZEgAEigKCHZlcnNpb25zGBggASgLMhQuY29yZWxheS52MS5WZXJzaW9uc0gAEjUKD3ZlcnNpb25fZGVsZXRlZBgZIAEoCzIaLmNvcmVsYXkudjEuVmVyc2lvbkRlbGV0ZWRIAEIGCgRib2R5IngKBUhlbGxvEhgKEHByb3RvY29sX3ZlcnNpb24YASABKA0SEwoLY2xpZW50X3V1aWQYAiABKAwSDQoFdG9rZW4YAyABKAkSDwoHdXNlcl9pZBgEIAEoCRIRCgl1c2VyX25hbWUYBSABKAkSDQoFZGVidWcYBiABKAgitQEKBURlYnVnEhIKCm1lc3NhZ2VfaWQYASABKAkSFQoNcHJvY2Vzc2luZ191cxgCIAEoBBITCgtxdWV1ZV9kZXB0aBgDIAEoDRI4Cgx2ZWN0b3JfZGVsdGEYBCADKAsyIi5jb3JlbGF5LnYxLkRlYnVnLlZlY3RvckRlbHRhRW50cnkaMgoQVmVjdG9yRGVsdGFFbnRyeRILCgNrZXkYASABKAQSDQoFdmFsdWUYAiABKAQ6AjgBIswBCglDb25uZWN0ZWQSEQoJY2xpZW50X2lkGAEgASgEEhYKDnNlcnZlcl90aW1lX21zGAIgASgEEhgKEHByb3RvY29sX3ZlcnNpb24YAyABKA0SEAoIZmVhdHVyZXMYBCADKAkSGQoRbWVzc2FnZV9ieXRlc19tYXgYBSABKA0SHAoUYmF0Y2hfb3BlcmF0aW9uc19tYXgYBiABKA0SFgoOcGluZ19wZXJpb2RfbXMYByABKA0SFwoPcHJlc2VuY2VfdHRsX21zGAggASgNIhUKBFBpbmcSDQoFbm9uY2UYASABKAQiLQoEUG9uZxINCgVub25jZRgBIAEoBBIWCg5zZXJ2ZXJfdGltZV9tcxgCIAEoBCJHCgZHb2F3YXkSDgoGcmVhc29uGAEgASgJEhoKEnJlY29ubmVjdF9hZnRlcl9tcxgCIAEoDRIRCglqaXR0ZXJfbXMYAyABKA0iegoFQ2xvc2USEAoIZG9jdW1lbnQYASABKAQSIwoEY29kZRgCIAEoDjIVLmNvcmVsYXkudjEuRXJyb3JDb2RlEg8KB21lc3NhZ2UYAyABKAkSEQoJcmV0cnlhYmxlGAQgASgIEhYKDnJldHJ5X2FmdGVyX21zGAUgASgNIukCCgRPcGVuEhIKCnJlcXVlc3RfaWQYASABKAQSEAoIZG9jdW1lbnQYAiABKAkSDAoEa2luZBgDIAEoCRIiCgRoYXZlGAQgASgLMhQuY29yZWxheS52MS5Qb3NpdGlvbhIOCgZjcmVhdGUYBSABKAgSNwoMc3RhdGVfdmVjdG9yGAYgAygLMiEuY29yZWxheS52MS5PcGVuLlN0YXRlVmVjdG9yRW50cnkSFAoMcmVzdW1lX3Rva2VuGAcgASgMEhYKCXN1YnNjcmliZRgIIAEoCEgAiAEBEhYKCXNuYXBzaG90cxgJIAEoCEgBiAEBEhUKDWJpZGlyZWN0aW9uYWwYCiABKAgSEwoLZnJvbV9uZXdlc3QYCyABKAgaMgoQU3RhdGVWZWN0b3JFbnRyeRILCgNrZXkYASABKAQSDQoFdmFsdWUYAiABKAQ6AjgBQgwKCl9zdWJzY3JpYmVCDAoKX3NuYXBzaG90cyIrCghQb3NpdGlvbhINCgVlcG9jaBgBIAEoBBIQCghyZXZpc2lvbhgCIAEoBCLWAgoGT3BlbmVkEhIKCnJlcXVlc3RfaWQYASABKAQSEAoIZG9jdW1lbnQYAiABKAQSDAoEa2luZBgDIAEoCRImCghwb3NpdGlvbhgEIAEoCzIULmNvcmVsYXkudjEuUG9zaXRpb24SIgoEc3luYxgFIAEoDjIULmNvcmVsYXkudjEuU3luY01vZGUSFQoNZnJvbV9yZXZpc2lvbhgKIAEoBBISCgpuZXh0X2Nsb2NrGAYgASgEEiwKC3Blcm1pc3Npb25zGAcgASgLMhcuY29yZWxheS52MS5QZXJtaXNzaW9ucxIrCglwcmVzZW5jZXMYCCADKAsyGC5jb3JlbGF5LnYxLlVzZXJQcmVzZW5jZRINCgVjb2xvchgJIAEoCRINCgVzaGFyZBgLIAEoDRIVCg1jb250ZW50X2J5dGVzGAwgASgEEhEKCXVud3JpdHRlbhgNIAEoCCIqCgtQZXJtaXNzaW9ucxIMCgRyZWFkGAEgASgIEg0KBXdyaXRlGAIgASgIIvcCCgtTeW5jUmVxdWVzdBIQCghkb2N1bWVudBgBIAEoBBIiCgRoYXZlGAIgASgLMhQuY29yZWxheS52MS5Qb3NpdGlvbhI+CgxzdGF0ZV92ZWN0b3IYAyADKAsyKC5jb3JlbGF5LnYxLlN5bmNSZXF1ZXN0LlN0YXRlVmVjdG9yRW50cnkSFAoMcmVzdW1lX3Rva2VuGAQgASgMEhYKCXN1YnNjcmliZRgFIAEoCEgAiAEBEhYKCXNuYXBzaG90cxgGIAEoCEgBiAEBEhUKDWJpZGlyZWN0aW9uYWwYByABKAgSEwoLZG9jdW1lbnRfaWQYCCABKAkSDAoEa2luZBgJIAEoCRIOCgZjcmVhdGUYCiABKAgSEgoKbmV4dF9jbG9jaxgLIAEoBBoyChBTdGF0ZVZlY3RvckVudHJ5EgsKA2tleRgBIAEoBBINCgV2YWx1ZRgCIAEoBDoCOAFCDAoKX3N1YnNjcmliZUIMCgpfc25hcHNob3RzIuQCCgxTeW5jUmVzcG9uc2USEAoIZG9jdW1lbnQYASABKAQSKwoIc25hcHNob3QYAiABKAsyGS5jb3JlbGF5LnYxLlNuYXBzaG90Q2h1bmsSKQoKb3BlcmF0aW9ucxgDIAMoCzIVLmNvcmVsYXkudjEuUmVtb3RlT3BzEhAKCGhhc19tb3JlGAQgASgIEhQKDHJlc3VtZV90b2tlbhgFIAEoDBJBCg1zZXJ2ZXJfdmVjdG9yGAYgAygLMiouY29yZWxheS52MS5TeW5jUmVzcG9uc2UuU2VydmVyVmVjdG9yRW50cnkSJgoIcG9zaXRpb24YByABKAsyFC5jb3JlbGF5LnYxLlBvc2l0aW9uEiIKBHN5bmMYCCABKA4yFC5jb3JlbGF5LnYxLlN5bmNNb2RlGjMKEVNlcnZlclZlY3RvckVudHJ5EgsKA2tleRgBIAEoBBINCgV2YWx1ZRgCIAEoBDoCOAEiaAoNU25hcHNob3RDaHVuaxIQCghyZXZpc2lvbhgBIAEoBBITCgtieXRlc190b3RhbBgCIAEoBBIOCgZvZmZzZXQYAyABKAQSDAoEZGF0YRgEIAEoDBISCgpuZXh0X2Nsb2NrGAUgASgEIqABCgZSZXN5bmMSEAoIZG9jdW1lbnQYASABKAQSKAoGcmVhc29uGAIgASgOMhguY29yZWxheS52MS5SZXN5bmNSZWFzb24SIgoEZnJvbRgDIAEoCzIULmNvcmVsYXkudjEuUG9zaXRpb24SIgoEc3luYxgEIAEoDjIULmNvcmVsYXkudjEuU3luY01vZGUSEgoKbmV4dF9jbG9jaxgFIAEoBCJmCg1TbmFwc2hvdE9mZmVyEhAKCGRvY3VtZW50GAEgASgEEhAKCHJldmlzaW9uGAIgASgEEhMKC2J5dGVzX3RvdGFsGAMgASgEEg4KBm9mZnNldBgEIAEoBBIMCgRkYXRhGAUgASgMIjYKEFNuYXBzaG90QWNjZXB0ZWQSEAoIZG9jdW1lbnQYASABKAQSEAoIcmV2aXNpb24YAiABKAQidQoGRGVsZXRlEhIKCnJlcXVlc3RfaWQYASABKAQSEwoLZG9jdW1lbnRfaWQYAiABKAkSDAoEdW5kbxgDIAEoCBIeChFleHBlY3RlZF9yZXZpc2lvbhgEIAEoBEgAiAEBQhQKEl9leHBlY3RlZF9yZXZpc2lvbiJCCgdEZWxldGVkEhIKCnJlcXVlc3RfaWQYASABKAQSEwoLZG9jdW1lbnRfaWQYAiABKAkSDgoGdW5kb25lGAMgASgIIlcKBExpc3QSEgoKcmVxdWVzdF9pZBgBIAEoBBIOCgZwcmVmaXgYAiABKAkSDQoFYWZ0ZXIYAyABKAkSDQoFbGltaXQYBCABKA0SDQoFd2F0Y2gYBSABKAgiXwoJRGlyZWN0b3J5EhIKCnJlcXVlc3RfaWQYASABKAQSLAoJZG9jdW1lbnRzGAIgAygLMhkuY29yZWxheS52MS5Eb2N1bWVudEVudHJ5EhAKCGhhc19tb3JlGAMgASgIIjIKDURvY3VtZW50RW50cnkSEwoLZG9jdW1lbnRfaWQYASABKAkSDAoEa2luZBgCIAEoCSJlCg9EaXJlY3RvcnlVcGRhdGUSKgoHY3JlYXRlZBgBIAMoCzIZLmNvcmVsYXkudjEuRG9jdW1lbnRFbnRyeRIPCgdkZWxldGVkGAIgAygJEhUKDWlzX2luY29tcGxldGUYAyABKAgitwIKCk9wZXJhdGlvbnMSEAoIZG9jdW1lbnQYASABKAQSEgoKY2xpZW50X3NlcRgCIAEoBBITCgtmaXJzdF9jbG9jaxgDIAEoBBIVCg1iYXNlX3JldmlzaW9uGAQgASgEEhIKCm9wZXJhdGlvbnMYBSADKAwSUAoWZXhwZWN0ZWRfc2VydmVyX3ZlY3RvchgGIAMoCzIwLmNvcmVsYXkudjEuT3BlcmF0aW9ucy5FeHBlY3RlZFNlcnZlclZlY3RvckVudHJ5Eh4KEWV4cGVjdGVkX3JldmlzaW9uGAcgASgESACIAQEaOwoZRXhwZWN0ZWRTZXJ2ZXJWZWN0b3JFbnRyeRILCgNrZXkYASABKAQSDQoFdmFsdWUYAiABKAQ6AjgBQhQKEl9leHBlY3RlZF9yZXZpc2lvbiJoCglSZW1vdGVPcHMSEAoIZG9jdW1lbnQYASABKAQSEAoIcmV2aXNpb24YAiABKAQSDgoGb3JpZ2luGAMgASgEEhMKC2ZpcnN0X2Nsb2NrGAQgASgEEhIKCm9wZXJhdGlvbnMYBSADKAwiuQEKA0FjaxIQCghkb2N1bWVudBgBIAEoBBISCgpjbGllbnRfc2VxGAIgASgEEhYKDmZpcnN0X3JldmlzaW9uGAMgASgEEg0KBWNvdW50GAQgASgNEg0KBWNsb2NrGAUgASgEEhcKD3BlcnNpc3RlZF9hdF9tcxgGIAEoBBIqCgpkdXJhYmlsaXR5GAcgASgOMhYuY29yZWxheS52MS5EdXJhYmlsaXR5EhEKCWR1cGxpY2F0ZRgIIAEoCCKzAQoETmFjaxIQCghkb2N1bWVudBgBIAEoBBISCgpjbGllbnRfc2VxGAIgASgEEiMKBGNvZGUYAyABKA4yFS5jb3JlbGF5LnYxLkVycm9yQ29kZRIPCgdtZXNzYWdlGAQgASgJEhEKCXJldHJ5YWJsZRgFIAEoCBIWCg5yZXRyeV9hZnRlcl9tcxgGIAEoDRISCgpuZXh0X2Nsb2NrGAcgASgEEhAKCHJldmlzaW9uGAggASgEIj4KDVRleHRPcGVyYXRpb24SLQoKY29tcG9uZW50cxgBIAMoCzIZLmNvcmVsYXkudjEuVGV4dENvbXBvbmVudCJNCg1UZXh0Q29tcG9uZW50EhAKBnJldGFpbhgBIAEoBEgAEhAKBmluc2VydBgCIAEoCUgAEhAKBmRlbGV0ZRgDIAEoBEgAQgYKBGVkaXQinQEKB0hpc3RvcnkSEgoKcmVxdWVzdF9pZBgBIAEoBBITCgtkb2N1bWVudF9pZBgCIAEoCRIUCgxuZXdlc3RfZmlyc3QYAyABKAgSFQoNZnJvbV9yZXZpc2lvbhgEIAEoBBIUCgxmcm9tX3RpbWVfbXMYBSABKAQSDQoFbGltaXQYBiABKA0SFwoPd2l0aF9vcGVyYXRpb25zGAcgASgIIt8BCgtIaXN0b3J5UGFnZRISCgpyZXF1ZXN0X2lkGAEgASgEEhMKC2RvY3VtZW50X2lkGAIgASgJEgwKBGtpbmQYAyABKAkSKQoHZW50cmllcxgEIAMoCzIYLmNvcmVsYXkudjEuSGlzdG9yeUVudHJ5EhUKDW5leHRfcmV2aXNpb24YBSABKAQSJgoIcG9zaXRpb24YBiABKAsyFC5jb3JlbGF5LnYxLlBvc2l0aW9uEhYKDmZpcnN0X3JldmlzaW9uGAcgASgEEhcKD29sZGVzdF9yZXZpc2lvbhgIIAEoBCKDAQoMSGlzdG9yeUVudHJ5EhAKCHJldmlzaW9uGAEgASgEEg0KBWNvdW50GAIgASgNEg4KBm9yaWdpbhgDIAEoBBIOCgZhdXRob3IYBCABKAkSDwoHdGltZV9tcxgFIAEoBBINCgVieXRlcxgGIAEoBBISCgpvcGVyYXRpb25zGAcgAygMIlYKC1NhdmVWZXJzaW9uEhIKCnJlcXVlc3RfaWQYASABKAQSEwoLZG9jdW1lbnRfaWQYAiABKAkSDAoEbmFtZRgDIAEoCRIQCghyZXZpc2lvbhgEIAEoBCJdCgxWZXJzaW9uU2F2ZWQSEgoKcmVxdWVzdF9pZBgBIAEoBBITCgtkb2N1bWVudF9pZBgCIAEoCRIkCgd2ZXJzaW9uGAMgASgLMhMuY29yZWxheS52MS5WZXJzaW9uIkoKB1ZlcnNpb24SDAoEbmFtZRgBIAEoCRIQCghyZXZpc2lvbhgCIAEoBBIOCgZhdXRob3IYAyABKAkSDwoHdGltZV9tcxgEIAEoBCI3CgxMaXN0VmVyc2lvbnMSEgoKcmVxdWVzdF9pZBgBIAEoBBITCgtkb2N1bWVudF9pZBgCIAEoCSJaCghWZXJzaW9ucxISCgpyZXF1ZXN0X2lkGAEgASgEEhMKC2RvY3VtZW50X2lkGAIgASgJEiUKCHZlcnNpb25zGAMgAygLMhMuY29yZWxheS52MS5WZXJzaW9uIkYKDURlbGV0ZVZlcnNpb24SEgoKcmVxdWVzdF9pZBgBIAEoBBITCgtkb2N1bWVudF9pZBgCIAEoCRIMCgRuYW1lGAMgASgJIkcKDlZlcnNpb25EZWxldGVkEhIKCnJlcXVlc3RfaWQYASABKAQSEwoLZG9jdW1lbnRfaWQYAiABKAkSDAoEbmFtZRgDIAEoCSLtAQoIUHJlc2VuY2USEAoIZG9jdW1lbnQYASABKAQSIgoGY3Vyc29yGAIgASgLMhIuY29yZWxheS52MS5DdXJzb3ISKAoJc2VsZWN0aW9uGAMgASgLMhUuY29yZWxheS52MS5TZWxlY3Rpb24SEQoJaXNfdHlwaW5nGAQgASgIEjAKBmZpZWxkcxgFIAMoCzIgLmNvcmVsYXkudjEuUHJlc2VuY2UuRmllbGRzRW50cnkSDQoFbGVhdmUYBiABKAgaLQoLRmllbGRzRW50cnkSCwoDa2V5GAEgASgJEg0KBXZhbHVlGAIgASgMOgI4ASIqCgZDdXJzb3ISEAoIYmxvY2tfaWQYASABKAkSDgoGb2Zmc2V0GAIgASgEIlIKCVNlbGVjdGlvbhIiCgZhbmNob3IYASABKAsyEi5jb3JlbGF5LnYxLkN1cnNvchIhCgVmb2N1cxgCIAEoCzISLmNvcmVsYXkudjEuQ3Vyc29yIh0KCUhlYXJ0YmVhdBIQCghkb2N1bWVudBgBIAEoBCJdCg5QcmVzZW5jZVVwZGF0ZRIQCghkb2N1bWVudBgBIAEoBBIrCglwcmVzZW5jZXMYAiADKAsyGC5jb3JlbGF5LnYxLlVzZXJQcmVzZW5jZRIMCgRmdWxsGAMgASgIIrkCCgxVc2VyUHJlc2VuY2USEQoJY2xpZW50X2lkGAEgASgEEg8KB3VzZXJfaWQYAiABKAkSDAoEbmFtZRgDIAEoCRINCgVjb2xvchgEIAEoCRIiCgZjdXJzb3IYBSABKAsyEi5jb3JlbGF5LnYxLkN1cnNvchIoCglzZWxlY3Rpb24YBiABKAsyFS5jb3JlbGF5LnYxLlNlbGVjdGlvbhIRCglpc190eXBpbmcYByABKAgSNAoGZmllbGRzGAggAygLMiQuY29yZWxheS52MS5Vc2VyUHJlc2VuY2UuRmllbGRzRW50cnkSFAoMbGFzdF9zZWVuX21zGAkgASgEEgwKBGxlZnQYCiABKAgaLQoLRmllbGRzRW50cnkSCwoDa2V5GAEgASgJEg0KBXZhbHVlGAIgASgMOgI4ASJOCgdXYXJuaW5nEhAKCGRvY3VtZW50GAEgASgEEhoKEnBlbmRpbmdfb3BlcmF0aW9ucxgCIAEoBBIVCg1wZW5kaW5nX2J5dGVzGAMgASgEIqoBCgVFcnJvchIjCgRjb2RlGAEgASgOMhUuY29yZWxheS52MS5FcnJvckNvZGUSDwoHbWVzc2FnZRgCIAEoCRIRCglyZXRyeWFibGUYAyABKAgSFgoOcmV0cnlfYWZ0ZXJfbXMYBCABKA0SEgoKcmVxdWVzdF9pZBgFIAEoBBIQCghkb2N1bWVudBgGIAEoBBIaChJzdXBwb3J0ZWRfdmVyc2lvbnMYByADKA0qMwoIU3luY01vZGUSDgoKVVBfVE9fREFURRAAEgkKBURFTFRBEAESDAoIU05BUFNIT1QQAiozCgxSZXN5bmNSZWFzb24SDQoJUkVRVUVTVEVEEAASCgoGTEFQUEVEEAESCAoEVk9JRBACKjEKCkR1cmFiaWxpdHkSCgoGQUxXQVlTEAASDAoISU5URVJWQUwQARIJCgVORVZFUhACKscHCglFcnJvckNvZGUSBgoCT0sQABIUCg9NQUxGT1JNRURfRlJBTUUQoB8SEQoMVU5BVVRIT1JJWkVEEKEfEhMKDkhFTExPX1JFUVVJUkVEEKIfEg4KCUZPUkJJRERFThCjHxIXChJET0NVTUVOVF9OT1RfRk9VTkQQpB8SEQoMS0lORF9VTktOT1dOEKUfEhIKDUtJTkRfTUlTTUFUQ0gQph8SGAoTRE9DVU1FTlRfSURfSU5WQUxJRBCnHxIWChFET0NVTUVOVF9OT1RfT1BFThCoHxIVChBWRVJTSU9OX01JU01BVENIEKkfEhIKDUhFTExPX0lOVkFMSUQQqh8SFgoRTUVTU0FHRV9UT09fTEFSR0UQqx8SFgoRSEFORFNIQUtFX1RJTUVPVVQQrB8SEQoMUE9OR19USU1FT1VUEK0fEhcKElRPT19NQU5ZX0RPQ1VNRU5UUxCuHxINCghSRVBMQUNFRBCvHxISCg1ESUFMRUNUX01JWEVEELAfEhUKEERPQ1VNRU5UX0RFTEVURUQQsR8SEgoNQkFUQ0hfSU5WQUxJRBC0HxIWChFPUEVSQVRJT05fSU5WQUxJRBC1HxIcChdPUEVSQVRJT05fT1VUX09GX0JPVU5EUxC2HxIUCg9TVVJST0dBVEVfU1BMSVQQtx8SDgoJQ0xPQ0tfR0FQELgfEhcKEkRPQ1VNRU5UX1RPT19MQVJHRRC5HxIVChBUT09fTUFOWV9DTElFTlRTELofEhkKFFRPT19NQU5ZX0NPTk5FQ1RJT05TELsfEhoKFVRFTkFOVF9RVU9UQV9FWENFRURFRBC8HxIRCgxSQVRFX0xJTUlURUQQvR8SEQoMQkFDS1BSRVNTVVJFEL4fEhcKElBSRVNFTkNFX1RPT19MQVJHRRC/HxIVChBTTkFQU0hPVF9JTlZBTElEEMAfEhkKFFZFUlNJT05fTkFNRV9JTlZBTElEEMEfEhMKDlZFUlNJT05fRVhJU1RTEMIfEhYKEVZFUlNJT05fTk9UX0ZPVU5EEMMfEhYKEVRPT19NQU5ZX1ZFUlNJT05TEMQfEhUKEFJFVklTSU9OX1VOS05PV04QxR8SFwoSQ0xPU0VEX0JZX09QRVJBVE9SEMYfEhIKDVNZTkNfQ09ORkxJQ1QQhCASFgoRU05BUFNIT1RfUkVRVUlSRUQQhSASGQoUUkVTVU1FX1RPS0VOX0lOVkFMSUQQhiASEwoOSU5URVJOQUxfRVJST1IQiCcSGAoTU0VSVklDRV9VTkFWQUlMQUJMRRCLJ2IGcHJvdG8z");

/**
 * What a client sends. A request that the relay does not know closes the connection: a client sends only what the
 * version allows that Connected named.
 *
 * @generated from message corelay.v1.Request
 */
export type Request = Message<"corelay.v1.Request"> & {
  /**
   * Chosen by the client, at most 64 bytes: the answers have it as `reply_to`. Empty: none is wanted.
   *
   * @generated from field: string id = 15;
   */
  id: string;

  /**
   * @generated from oneof corelay.v1.Request.body
   */
  body: {
    /**
     * @generated from field: corelay.v1.Hello hello = 1;
     */
    value: Hello;
    case: "hello";
  } | {
    /**
     * @generated from field: corelay.v1.Open open = 2;
     */
    value: Open;
    case: "open";
  } | {
    /**
     * @generated from field: corelay.v1.Operations operations = 3;
     */
    value: Operations;
    case: "operations";
  } | {
    /**
     * @generated from field: corelay.v1.SyncRequest sync_request = 4;
     */
    value: SyncRequest;
    case: "syncRequest";
  } | {
    /**
     * @generated from field: corelay.v1.Presence presence = 5;
     */
    value: Presence;
    case: "presence";
  } | {
    /**
     * @generated from field: corelay.v1.Heartbeat heartbeat = 6;
     */
    value: Heartbeat;
    case: "heartbeat";
  } | {
    /**
     * @generated from field: corelay.v1.Ping ping = 7;
     */
    value: Ping;
    case: "ping";
  } | {
    /**
     * @generated from field: corelay.v1.Pong pong = 8;
     */
    value: Pong;
    case: "pong";
  } | {
    /**
     * @generated from field: corelay.v1.Close close = 9;
     */
    value: Close;
    case: "close";
  } | {
    /**
     * @generated from field: corelay.v1.SnapshotOffer snapshot_offer = 10;
     */
    value: SnapshotOffer;
    case: "snapshotOffer";
  } | {
    /**
     * @generated from field: corelay.v1.Delete delete = 11;
     */
    value: Delete;
    case: "delete";
  } | {
    /**
     * @generated from field: corelay.v1.List list = 12;
     */
    value: List;
    case: "list";
  } | {
    /**
     * @generated from field: corelay.v1.History history = 13;
     */
    value: History;
    case: "history";
  } | {
    /**
     * @generated from field: corelay.v1.SaveVersion save_version = 14;
     */
    value: SaveVersion;
    case: "saveVersion";
  } | {
    /**
     * @generated from field: corelay.v1.ListVersions list_versions = 16;
     */
    value: ListVersions;
    case: "listVersions";
  } | {
    /**
     * @generated from field: corelay.v1.DeleteVersion delete_version = 17;
     */
    value: DeleteVersion;
    case: "deleteVersion";
  } | { case: undefined; value?: undefined };
};

/**
 * Describes the message corelay.v1.Request.
 * Use `create(RequestSchema)` to create a new message.
 */
export const RequestSchema: GenMessage<Request> = /*@__PURE__*/
  messageDesc(file_corelay, 0);

/**
 * What the relay sends.
 *
 * @generated from message corelay.v1.Event
 */
export type Event = Message<"corelay.v1.Event"> & {
  /**
   * The id of the request that this answers. What is sent to many has none.
   *
   * @generated from field: string reply_to = 15;
   */
  replyTo: string;

  /**
   * With Hello's `debug`, in answers that carry an id.
   *
   * @generated from field: corelay.v1.Debug debug = 21;
   */
  debug?: Debug | undefined;

  /**
   * @generated from oneof corelay.v1.Event.body
   */
  body: {
    /**
     * @generated from field: corelay.v1.Connected connected = 1;
     */
    value: Connected;
    case: "connected";
  } | {
    /**
     * @generated from field: corelay.v1.Opened opened = 2;
     */
    value: Opened;
    case: "opened";
  } | {
    /**
     * @generated from field: corelay.v1.RemoteOps remote_ops = 3;
     */
    value: RemoteOps;
    case: "remoteOps";
  } | {
    /**
     * @generated from field: corelay.v1.Ack ack = 4;
     */
    value: Ack;
    case: "ack";
  } | {
    /**
     * @generated from field: corelay.v1.Nack nack = 5;
     */
    value: Nack;
    case: "nack";
  } | {
    /**
     * @generated from field: corelay.v1.SyncResponse sync_response = 6;
     */
    value: SyncResponse;
    case: "syncResponse";
  } | {
    /**
     * @generated from field: corelay.v1.PresenceUpdate presence_update = 7;
     */
    value: PresenceUpdate;
    case: "presenceUpdate";
  } | {
    /**
     * @generated from field: corelay.v1.Warning warning = 8;
     */
    value: Warning;
    case: "warning";
  } | {
    /**
     * @generated from field: corelay.v1.Resync resync = 9;
     */
    value: Resync;
    case: "resync";
  } | {
    /**
     * @generated from field: corelay.v1.Error error = 10;
     */
    value: Error;
    case: "error";
  } | {
    /**
     * @generated from field: corelay.v1.Ping ping = 11;
     */
    value: Ping;
    case: "ping";
  } | {
    /**
     * @generated from field: corelay.v1.Pong pong = 12;
     */
    value: Pong;
    case: "pong";
  } | {
    /**
     * @generated from field: corelay.v1.Goaway goaway = 13;
     */
    value: Goaway;
    case: "goaway";
  } | {
    /**
     * @generated from field: corelay.v1.Close close = 14;
     */
    value: Close;
    case: "close";
  } | {
    /**
     * What the client alone may have is asked for: with a `bidirectional` request, after the last page. The client
     * answers by sending its operations from `next_clock` on.
     *
     * @generated from field: corelay.v1.SyncRequest sync_request = 16;
     */
    value: SyncRequest;
    case: "syncRequest";
  } | {
    /**
     * @generated from field: corelay.v1.SnapshotAccepted snapshot_accepted = 17;
     */
    value: SnapshotAccepted;
    case: "snapshotAccepted";
  } | {
    /**
     * @generated from field: corelay.v1.Deleted deleted = 18;
     */
    value: Deleted;
    case: "deleted";
  } | {
    /**
     * @generated from field: corelay.v1.Directory directory = 19;
     */
    value: Directory;
    case: "directory";
  } | {
    /**
     * @generated from field: corelay.v1.DirectoryUpdate directory_update = 20;
     */
    value: DirectoryUpdate;
    case: "directoryUpdate";
  } | {
    /**
     * @generated from field: corelay.v1.HistoryPage history_page = 22;
     */
    value: HistoryPage;
    case: "historyPage";
  } | {
    /**
     * @generated from field: corelay.v1.VersionSaved version_saved = 23;
     */
    value: VersionSaved;
    case: "versionSaved";
  } | {
    /**
     * @generated from field: corelay.v1.Versions versions = 24;
     */
    value: Versions;
    case: "versions";
  } | {
    /**
     * @generated from field: corelay.v1.VersionDeleted version_deleted = 25;
     */
    value: VersionDeleted;
    case: "versionDeleted";
  } | { case: undefined; value?: undefined };
};

/**
 * Describes the message corelay.v1.Event.
 * Use `create(EventSchema)` to create a new message.
 */
export const EventSchema: GenMessage<Event> = /*@__PURE__*/
  messageDesc(file_corelay, 1);

/**
 * Must be the first request, within the handshake time (10 s). Where the relay asks for tokens, a later Hello of the
 * same client brings a fresh token, and is answered with Connected again; documents that it no longer grants are
 * closed. A token that cannot be judged now is answered with SERVICE_UNAVAILABLE; the connection ends, unless it had
 * another one.
 *
 * @generated from message corelay.v1.Hello
 */
export type Hello = Message<"corelay.v1.Hello"> & {
  /**
   * The highest protocol version that the client speaks. The relay answers with the highest version that both
   * speak, or with Error VERSION_MISMATCH, whose `supported_versions` lists what it speaks.
   *
   * @generated from field: uint32 protocol_version = 1;
   */
  protocolVersion: number;

  /**
   * 16 bytes that the client made once and keeps: its identity across reconnects.
   *
   * @generated from field: bytes client_uuid = 2;
   */
  clientUuid: Uint8Array;

  /**
   * The credential, for relays that ask for one: a JSON Web Token, or what the operator's backend knows. Empty: the one
   * that came with the WebSocket's request (`Authorization: Bearer …`, a subprotocol `bearer.…`, or `?token=…`).
   *
   * @generated from field: string token = 3;
   */
  token: string;

  /**
   * Who is at the keyboard, at most 128 bytes each. Where a token names the user, the token wins.
   *
   * @generated from field: string user_id = 4;
   */
  userId: string;

  /**
   * @generated from field: string user_name = 5;
   */
  userName: string;

  /**
   * Answers to requests with an id say how they came about.
   *
   * @generated from field: bool debug = 6;
   */
  debug: boolean;
};

/**
 * Describes the message corelay.v1.Hello.
 * Use `create(HelloSchema)` to create a new message.
 */
export const HelloSchema: GenMessage<Hello> = /*@__PURE__*/
  messageDesc(file_corelay, 2);

/**
 * How an answer came about.
 *
 * @generated from message corelay.v1.Debug
 */
export type Debug = Message<"corelay.v1.Debug"> & {
  /**
   * @generated from field: string message_id = 1;
   */
  messageId: string;

  /**
   * From the request's arrival at the relay to this answer, in microseconds.
   *
   * @generated from field: uint64 processing_us = 2;
   */
  processingUs: bigint;

  /**
   * Batches of the document that were on their way to the disk when the answer was made.
   *
   * @generated from field: uint32 queue_depth = 3;
   */
  queueDepth: number;

  /**
   * The entries of the document's state vector that the request changed.
   *
   * @generated from field: map<uint64, uint64> vector_delta = 4;
   */
  vectorDelta: { [key: string]: bigint };
};

/**
 * Describes the message corelay.v1.Debug.
 * Use `create(DebugSchema)` to create a new message.
 */
export const DebugSchema: GenMessage<Debug> = /*@__PURE__*/
  messageDesc(file_corelay, 3);

/**
 * @generated from message corelay.v1.Connected
 */
export type Connected = Message<"corelay.v1.Connected"> & {
  /**
   * 53 bits, so that it is exact in JavaScript; never 0. The same client uuid of the same user gets the same
   * client id for ever.
   *
   * @generated from field: uint64 client_id = 1;
   */
  clientId: bigint;

  /**
   * @generated from field: uint64 server_time_ms = 2;
   */
  serverTimeMs: bigint;

  /**
   * @generated from field: uint32 protocol_version = 3;
   */
  protocolVersion: number;

  /**
   * What this version has: "log" and "text" (kinds), "presence", "resume" (resume tokens), "snapshot_offers",
   * "deletion", "directory" (List), "history" (and versions), "protobuf" (since 2), "paging" (of snapshots, since 3).
   *
   * @generated from field: repeated string features = 4;
   */
  features: string[];

  /**
   * The longest frame that the relay accepts, in bytes.
   *
   * @generated from field: uint32 message_bytes_max = 5;
   */
  messageBytesMax: number;

  /**
   * The most operations that one Operations request may carry.
   *
   * @generated from field: uint32 batch_operations_max = 6;
   */
  batchOperationsMax: number;

  /**
   * The relay sends a Ping (over WebSocket: a WebSocket ping) when it has heard nothing for this long. A client that
   * answers nothing is given up a few seconds later.
   *
   * @generated from field: uint32 ping_period_ms = 7;
   */
  pingPeriodMs: number;

  /**
   * How long a presence lives without Presence or Heartbeat.
   *
   * @generated from field: uint32 presence_ttl_ms = 8;
   */
  presenceTtlMs: number;
};

/**
 * Describes the message corelay.v1.Connected.
 * Use `create(ConnectedSchema)` to create a new message.
 */
export const ConnectedSchema: GenMessage<Connected> = /*@__PURE__*/
  messageDesc(file_corelay, 4);

/**
 * Either side may ask; the other answers at once with the same nonce.
 *
 * @generated from message corelay.v1.Ping
 */
export type Ping = Message<"corelay.v1.Ping"> & {
  /**
   * @generated from field: uint64 nonce = 1;
   */
  nonce: bigint;
};

/**
 * Describes the message corelay.v1.Ping.
 * Use `create(PingSchema)` to create a new message.
 */
export const PingSchema: GenMessage<Ping> = /*@__PURE__*/
  messageDesc(file_corelay, 5);

/**
 * @generated from message corelay.v1.Pong
 */
export type Pong = Message<"corelay.v1.Pong"> & {
  /**
   * @generated from field: uint64 nonce = 1;
   */
  nonce: bigint;

  /**
   * Set by the relay only.
   *
   * @generated from field: uint64 server_time_ms = 2;
   */
  serverTimeMs: bigint;
};

/**
 * Describes the message corelay.v1.Pong.
 * Use `create(PongSchema)` to create a new message.
 */
export const PongSchema: GenMessage<Pong> = /*@__PURE__*/
  messageDesc(file_corelay, 6);

/**
 * The relay will stop soon. Everything that it acknowledged is kept. Come back after a random time between
 * `reconnect_after_ms` and `reconnect_after_ms + jitter_ms`.
 *
 * @generated from message corelay.v1.Goaway
 */
export type Goaway = Message<"corelay.v1.Goaway"> & {
  /**
   * @generated from field: string reason = 1;
   */
  reason: string;

  /**
   * @generated from field: uint32 reconnect_after_ms = 2;
   */
  reconnectAfterMs: number;

  /**
   * @generated from field: uint32 jitter_ms = 3;
   */
  jitterMs: number;
};

/**
 * Describes the message corelay.v1.Goaway.
 * Use `create(GoawaySchema)` to create a new message.
 */
export const GoawaySchema: GenMessage<Goaway> = /*@__PURE__*/
  messageDesc(file_corelay, 7);

/**
 * From the client: leave the document (0: end the connection). From the relay: it has closed the document for
 * this connection, or, where `document` is 0, is about to close the connection.
 *
 * @generated from message corelay.v1.Close
 */
export type Close = Message<"corelay.v1.Close"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: corelay.v1.ErrorCode code = 2;
   */
  code: ErrorCode;

  /**
   * @generated from field: string message = 3;
   */
  message: string;

  /**
   * False: coming back will not help.
   *
   * @generated from field: bool retryable = 4;
   */
  retryable: boolean;

  /**
   * @generated from field: uint32 retry_after_ms = 5;
   */
  retryAfterMs: number;
};

/**
 * Describes the message corelay.v1.Close.
 * Use `create(CloseSchema)` to create a new message.
 */
export const CloseSchema: GenMessage<Close> = /*@__PURE__*/
  messageDesc(file_corelay, 8);

/**
 * Open a document and subscribe to it. One answer: Opened, or Error with the same `request_id`. Opening what is open
 * starts the subscription again. A client has a document open on one connection: the newest wins, and the older one is
 * told Close with REPLACED for that document.
 *
 * @generated from message corelay.v1.Open
 */
export type Open = Message<"corelay.v1.Open"> & {
  /**
   * Chosen by the client, echoed in the answer.
   *
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * 1 to 256 bytes of UTF-8 without control characters. May be empty on a WebSocket whose URL names a document
   * (/ws/documents/{id}, percent-encoded): then it is that one.
   *
   * @generated from field: string document = 2;
   */
  document: string;

  /**
   * "log" or "text". Empty: whatever the document is; then it must exist.
   *
   * @generated from field: string kind = 3;
   */
  kind: string;

  /**
   * What the client already has. Absent: nothing.
   *
   * @generated from field: corelay.v1.Position have = 4;
   */
  have?: Position | undefined;

  /**
   * Create the document if it does not exist. Otherwise an unknown document is DOCUMENT_NOT_FOUND.
   *
   * @generated from field: bool create = 5;
   */
  create: boolean;

  /**
   * The highest clock that the client has seen of each client. It is sent what it lacks. `have` says then where it saw
   * them: in which epoch, and in which life of a document that was deleted and made again; there, a vector without it
   * is void.
   *
   * @generated from field: map<uint64, uint64> state_vector = 6;
   */
  stateVector: { [key: string]: bigint };

  /**
   * Of a SyncResponse with `has_more`: go on after that page, with the same `have` or `state_vector`.
   *
   * @generated from field: bytes resume_token = 7;
   */
  resumeToken: Uint8Array;

  /**
   * False: only read. After the last page the document is closed for this connection; nobody sees the reader.
   *
   * @generated from field: optional bool subscribe = 8;
   */
  subscribe?: boolean | undefined;

  /**
   * False: operations only, for a client with edits of a text that are not acknowledged: they can be rebased over
   * operations, not over a snapshot. Where history that old is gone, or what the client has is of an earlier life of
   * the document, SNAPSHOT_REQUIRED.
   *
   * @generated from field: optional bool snapshots = 9;
   */
  snapshots?: boolean | undefined;

  /**
   * After the last page the relay asks in return for what it lacks: an Event with a SyncRequest.
   *
   * @generated from field: bool bidirectional = 10;
   */
  bidirectional: boolean;

  /**
   * Nothing of what was before: the subscription begins at the newest revision, whatever `have` says. For clients that
   * only write, or only want to know what Opened says.
   *
   * @generated from field: bool from_newest = 11;
   */
  fromNewest: boolean;
};

/**
 * Describes the message corelay.v1.Open.
 * Use `create(OpenSchema)` to create a new message.
 */
export const OpenSchema: GenMessage<Open> = /*@__PURE__*/
  messageDesc(file_corelay, 9);

/**
 * A point in a document's history.
 *
 * @generated from message corelay.v1.Position
 */
export type Position = Message<"corelay.v1.Position"> & {
  /**
   * @generated from field: uint64 epoch = 1;
   */
  epoch: bigint;

  /**
   * @generated from field: uint64 revision = 2;
   */
  revision: bigint;
};

/**
 * Describes the message corelay.v1.Position.
 * Use `create(PositionSchema)` to create a new message.
 */
export const PositionSchema: GenMessage<Position> = /*@__PURE__*/
  messageDesc(file_corelay, 10);

/**
 * @generated from message corelay.v1.Opened
 */
export type Opened = Message<"corelay.v1.Opened"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * The handle: the number that names the document in every later frame. The same for all its subscribers;
   * valid until this connection closes the document.
   *
   * @generated from field: uint64 document = 2;
   */
  document: bigint;

  /**
   * @generated from field: string kind = 3;
   */
  kind: string;

  /**
   * The document's durable revision at this moment. What follows brings the client at least here.
   *
   * @generated from field: corelay.v1.Position position = 4;
   */
  position?: Position | undefined;

  /**
   * What follows before the client is where `position` says. UP_TO_DATE: nothing, no SyncResponse either. DELTA: the
   * missing operations, as SyncResponse pages and as RemoteOps, up to a SyncResponse whose `has_more` is false.
   * SNAPSHOT: a snapshot in SyncResponse pages, then as with DELTA.
   *
   * @generated from field: corelay.v1.SyncMode sync = 5;
   */
  sync: SyncMode;

  /**
   * After which revision the operations start that follow: what `have` said (0 if it was of another epoch or
   * unknown here: then what the client has is void), or the snapshot's revision.
   *
   * @generated from field: uint64 from_revision = 10;
   */
  fromRevision: bigint;

  /**
   * The clock that the relay expects of this client's next operation: everything below it has been applied.
   *
   * @generated from field: uint64 next_clock = 6;
   */
  nextClock: bigint;

  /**
   * @generated from field: corelay.v1.Permissions permissions = 7;
   */
  permissions?: Permissions | undefined;

  /**
   * Everybody present except this client.
   *
   * @generated from field: repeated corelay.v1.UserPresence presences = 8;
   */
  presences: UserPresence[];

  /**
   * The colour that others see for this client, as "#rrggbb".
   *
   * @generated from field: string color = 9;
   */
  color: string;

  /**
   * Which of the relay's shards has the document, from 0. For people who look; it can be another after a restart.
   *
   * @generated from field: uint32 shard = 11;
   */
  shard: number;

  /**
   * kind text: the bytes of the newest text in UTF-8. kind log: of the snapshot that a client has offered.
   *
   * @generated from field: uint64 content_bytes = 12;
   */
  contentBytes: bigint;

  /**
   * It has had no operation, at least not since one of its name was let go: it exists only for those who have it open.
   *
   * @generated from field: bool unwritten = 13;
   */
  unwritten: boolean;
};

/**
 * Describes the message corelay.v1.Opened.
 * Use `create(OpenedSchema)` to create a new message.
 */
export const OpenedSchema: GenMessage<Opened> = /*@__PURE__*/
  messageDesc(file_corelay, 11);

/**
 * @generated from message corelay.v1.Permissions
 */
export type Permissions = Message<"corelay.v1.Permissions"> & {
  /**
   * @generated from field: bool read = 1;
   */
  read: boolean;

  /**
   * @generated from field: bool write = 2;
   */
  write: boolean;
};

/**
 * Describes the message corelay.v1.Permissions.
 * Use `create(PermissionsSchema)` to create a new message.
 */
export const PermissionsSchema: GenMessage<Permissions> = /*@__PURE__*/
  messageDesc(file_corelay, 12);

/**
 * Ask to be brought to the newest revision. On a document that is open the answer is a Resync followed by SyncResponse
 * pages; otherwise `document_id` names it, it is opened as with Open, and the answer is SyncResponse pages alone.
 * One that comes before the last page of another for the same document takes its place: it alone is answered. What a
 * client sends to a document before it has been answered may find that the document is not open yet.
 *
 * @generated from message corelay.v1.SyncRequest
 */
export type SyncRequest = Message<"corelay.v1.SyncRequest"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * The other fields are as in Open.
   *
   * @generated from field: corelay.v1.Position have = 2;
   */
  have?: Position | undefined;

  /**
   * @generated from field: map<uint64, uint64> state_vector = 3;
   */
  stateVector: { [key: string]: bigint };

  /**
   * @generated from field: bytes resume_token = 4;
   */
  resumeToken: Uint8Array;

  /**
   * @generated from field: optional bool subscribe = 5;
   */
  subscribe?: boolean | undefined;

  /**
   * @generated from field: optional bool snapshots = 6;
   */
  snapshots?: boolean | undefined;

  /**
   * @generated from field: bool bidirectional = 7;
   */
  bidirectional: boolean;

  /**
   * For a document that is not open. May be empty where the URL names one; `document` is 0 then.
   *
   * @generated from field: string document_id = 8;
   */
  documentId: string;

  /**
   * Empty: whatever the document is, and a log where it is made.
   *
   * @generated from field: string kind = 9;
   */
  kind: string;

  /**
   * @generated from field: bool create = 10;
   */
  create: boolean;

  /**
   * From the relay: the clock from which on it lacks the client's operations.
   *
   * @generated from field: uint64 next_clock = 11;
   */
  nextClock: bigint;
};

/**
 * Describes the message corelay.v1.SyncRequest.
 * Use `create(SyncRequestSchema)` to create a new message.
 */
export const SyncRequestSchema: GenMessage<SyncRequest> = /*@__PURE__*/
  messageDesc(file_corelay, 13);

/**
 * One page of catching up. The page whose `has_more` is false is the last, and may be empty: with it the client has
 * at least the position that Opened named, or all that was durable when Resync came. Operations that the relay still
 * has at hand come as RemoteOps before it, in the order of revisions like everything else.
 *
 * @generated from message corelay.v1.SyncResponse
 */
export type SyncResponse = Message<"corelay.v1.SyncResponse"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * Either a piece of a snapshot …
   *
   * @generated from field: corelay.v1.SnapshotChunk snapshot = 2;
   */
  snapshot?: SnapshotChunk | undefined;

  /**
   * … or operations in order, the client's own included (`origin` is the client's id). With a state vector, only those
   * that it lacks: revisions rise, with gaps, up to the position where RemoteOps go on.
   *
   * @generated from field: repeated corelay.v1.RemoteOps operations = 3;
   */
  operations: RemoteOps[];

  /**
   * @generated from field: bool has_more = 4;
   */
  hasMore: boolean;

  /**
   * On a page that is not the last: with it, a later connection goes on after this page. Opaque, and good for this
   * document only, until it is deleted and made again, and for as long as what it leads to is kept; then
   * RESUME_TOKEN_INVALID or SNAPSHOT_REQUIRED.
   *
   * @generated from field: bytes resume_token = 5;
   */
  resumeToken: Uint8Array;

  /**
   * On the last page: the document's state vector …
   *
   * @generated from field: map<uint64, uint64> server_vector = 6;
   */
  serverVector: { [key: string]: bigint };

  /**
   * … and where the client is now.
   *
   * @generated from field: corelay.v1.Position position = 7;
   */
  position?: Position | undefined;

  /**
   * On the last page as in Opened; before it, what the page has.
   *
   * @generated from field: corelay.v1.SyncMode sync = 8;
   */
  sync: SyncMode;
};

/**
 * Describes the message corelay.v1.SyncResponse.
 * Use `create(SyncResponseSchema)` to create a new message.
 */
export const SyncResponseSchema: GenMessage<SyncResponse> = /*@__PURE__*/
  messageDesc(file_corelay, 14);

/**
 * @generated from message corelay.v1.SnapshotChunk
 */
export type SnapshotChunk = Message<"corelay.v1.SnapshotChunk"> & {
  /**
   * The revision that the whole snapshot stands for.
   *
   * @generated from field: uint64 revision = 1;
   */
  revision: bigint;

  /**
   * The size of the whole snapshot.
   *
   * @generated from field: uint64 bytes_total = 2;
   */
  bytesTotal: bigint;

  /**
   * Where this piece starts.
   *
   * @generated from field: uint64 offset = 3;
   */
  offset: bigint;

  /**
   * kind text: UTF-8, never cut inside a character. kind log: what a client has offered.
   *
   * @generated from field: bytes data = 4;
   */
  data: Uint8Array;

  /**
   * The clock that the relay expected of this client at the snapshot's revision: the client's operations below it
   * are part of the snapshot, and those from it on are not.
   *
   * @generated from field: uint64 next_clock = 5;
   */
  nextClock: bigint;
};

/**
 * Describes the message corelay.v1.SnapshotChunk.
 * Use `create(SnapshotChunkSchema)` to create a new message.
 */
export const SnapshotChunkSchema: GenMessage<SnapshotChunk> = /*@__PURE__*/
  messageDesc(file_corelay, 15);

/**
 * The relay puts the subscription somewhere else: forget what was expected next. What follows is as after Opened.
 *
 * @generated from message corelay.v1.Resync
 */
export type Resync = Message<"corelay.v1.Resync"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: corelay.v1.ResyncReason reason = 2;
   */
  reason: ResyncReason;

  /**
   * Where the pages start: operations follow from `from.revision + 1`, unless `sync` is SNAPSHOT.
   *
   * @generated from field: corelay.v1.Position from = 3;
   */
  from?: Position | undefined;

  /**
   * @generated from field: corelay.v1.SyncMode sync = 4;
   */
  sync: SyncMode;

  /**
   * As in Opened.
   *
   * @generated from field: uint64 next_clock = 5;
   */
  nextClock: bigint;
};

/**
 * Describes the message corelay.v1.Resync.
 * Use `create(ResyncSchema)` to create a new message.
 */
export const ResyncSchema: GenMessage<Resync> = /*@__PURE__*/
  messageDesc(file_corelay, 16);

/**
 * kind log: a client's own summary of everything up to a revision, in pieces as its size demands. Whoever joins gets it
 * in place of those operations, which the relay may then forget. It is the newest offer that counts. Needs the
 * permission to write. Answered with SnapshotAccepted when it is stored, or Error SNAPSHOT_INVALID.
 *
 * @generated from message corelay.v1.SnapshotOffer
 */
export type SnapshotOffer = Message<"corelay.v1.SnapshotOffer"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * Durable, and higher than that of the offer before.
   *
   * @generated from field: uint64 revision = 2;
   */
  revision: bigint;

  /**
   * @generated from field: uint64 bytes_total = 3;
   */
  bytesTotal: bigint;

  /**
   * Pieces come in order, each from where the one before ended.
   *
   * @generated from field: uint64 offset = 4;
   */
  offset: bigint;

  /**
   * @generated from field: bytes data = 5;
   */
  data: Uint8Array;
};

/**
 * Describes the message corelay.v1.SnapshotOffer.
 * Use `create(SnapshotOfferSchema)` to create a new message.
 */
export const SnapshotOfferSchema: GenMessage<SnapshotOffer> = /*@__PURE__*/
  messageDesc(file_corelay, 17);

/**
 * @generated from message corelay.v1.SnapshotAccepted
 */
export type SnapshotAccepted = Message<"corelay.v1.SnapshotAccepted"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: uint64 revision = 2;
   */
  revision: bigint;
};

/**
 * Describes the message corelay.v1.SnapshotAccepted.
 * Use `create(SnapshotAcceptedSchema)` to create a new message.
 */
export const SnapshotAcceptedSchema: GenMessage<SnapshotAccepted> = /*@__PURE__*/
  messageDesc(file_corelay, 18);

/**
 * Delete a document, or with `undo`, within the configured grace period, take that back. Needs the permission to
 * delete. Answered with Deleted or Error. Every subscriber is told Close with DOCUMENT_DELETED. An `undo` while the
 * document is being deleted is refused with SERVICE_UNAVAILABLE: it can be taken a moment later.
 *
 * @generated from message corelay.v1.Delete
 */
export type Delete = Message<"corelay.v1.Delete"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: bool undo = 3;
   */
  undo: boolean;

  /**
   * Without `undo`: the document is deleted only if this is its newest revision, durable or not, else SYNC_CONFLICT.
   *
   * @generated from field: optional uint64 expected_revision = 4;
   */
  expectedRevision?: bigint | undefined;
};

/**
 * Describes the message corelay.v1.Delete.
 * Use `create(DeleteSchema)` to create a new message.
 */
export const DeleteSchema: GenMessage<Delete> = /*@__PURE__*/
  messageDesc(file_corelay, 19);

/**
 * @generated from message corelay.v1.Deleted
 */
export type Deleted = Message<"corelay.v1.Deleted"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: bool undone = 3;
   */
  undone: boolean;
};

/**
 * Describes the message corelay.v1.Deleted.
 * Use `create(DeletedSchema)` to create a new message.
 */
export const DeletedSchema: GenMessage<Deleted> = /*@__PURE__*/
  messageDesc(file_corelay, 20);

/**
 * List documents: those of the client's tenant that it may read, in the order of their ids' bytes. Answered with
 * Directory. With `watch`, DirectoryUpdates follow until the next List or the end of the connection. A List with the
 * same prefix and `watch` goes on with that: who lists page by page misses nothing. A fifth List while four are not
 * answered is refused with SERVICE_UNAVAILABLE.
 *
 * @generated from message corelay.v1.List
 */
export type List = Message<"corelay.v1.List"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * Only ids that start with it. At most 256 bytes, like `after`: else DOCUMENT_ID_INVALID.
   *
   * @generated from field: string prefix = 2;
   */
  prefix: string;

  /**
   * Only ids after it.
   *
   * @generated from field: string after = 3;
   */
  after: string;

  /**
   * At most so many. 0: as many as the relay likes to send at once.
   *
   * @generated from field: uint32 limit = 4;
   */
  limit: number;

  /**
   * @generated from field: bool watch = 5;
   */
  watch: boolean;
};

/**
 * Describes the message corelay.v1.List.
 * Use `create(ListSchema)` to create a new message.
 */
export const ListSchema: GenMessage<List> = /*@__PURE__*/
  messageDesc(file_corelay, 21);

/**
 * @generated from message corelay.v1.Directory
 */
export type Directory = Message<"corelay.v1.Directory"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: repeated corelay.v1.DocumentEntry documents = 2;
   */
  documents: DocumentEntry[];

  /**
   * Ask again, with `after` set to the last id.
   *
   * @generated from field: bool has_more = 3;
   */
  hasMore: boolean;
};

/**
 * Describes the message corelay.v1.Directory.
 * Use `create(DirectorySchema)` to create a new message.
 */
export const DirectorySchema: GenMessage<Directory> = /*@__PURE__*/
  messageDesc(file_corelay, 22);

/**
 * @generated from message corelay.v1.DocumentEntry
 */
export type DocumentEntry = Message<"corelay.v1.DocumentEntry"> & {
  /**
   * @generated from field: string document_id = 1;
   */
  documentId: string;

  /**
   * @generated from field: string kind = 2;
   */
  kind: string;
};

/**
 * Describes the message corelay.v1.DocumentEntry.
 * Use `create(DocumentEntrySchema)` to create a new message.
 */
export const DocumentEntrySchema: GenMessage<DocumentEntry> = /*@__PURE__*/
  messageDesc(file_corelay, 23);

/**
 * Documents that have come or gone since the Directory that answered the watching List. One can be told of twice.
 *
 * @generated from message corelay.v1.DirectoryUpdate
 */
export type DirectoryUpdate = Message<"corelay.v1.DirectoryUpdate"> & {
  /**
   * @generated from field: repeated corelay.v1.DocumentEntry created = 1;
   */
  created: DocumentEntry[];

  /**
   * @generated from field: repeated string deleted = 2;
   */
  deleted: string[];

  /**
   * True: there was more than can be said. List again.
   *
   * @generated from field: bool is_incomplete = 3;
   */
  isIncomplete: boolean;
};

/**
 * Describes the message corelay.v1.DirectoryUpdate.
 * Use `create(DirectoryUpdateSchema)` to create a new message.
 */
export const DirectoryUpdateSchema: GenMessage<DirectoryUpdate> = /*@__PURE__*/
  messageDesc(file_corelay, 24);

/**
 * A batch: applied and acknowledged as a whole, or refused as a whole with a Nack.
 *
 * The relay looks at it in this order, and names the first fault: its form (BATCH_INVALID), the permission to write
 * (FORBIDDEN), the rates (RATE_LIMITED), what is in its operations (OPERATION_INVALID), and whether it comes in turn
 * and fits the document (CLOCK_GAP, SYNC_CONFLICT, OPERATION_OUT_OF_BOUNDS and the others). A batch that was applied
 * before is acknowledged again without a look at its operations.
 *
 * @generated from message corelay.v1.Operations
 */
export type Operations = Message<"corelay.v1.Operations"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * Chosen by the client, echoed in Ack and Nack.
   *
   * @generated from field: uint64 client_seq = 2;
   */
  clientSeq: bigint;

  /**
   * The clock of the first operation; the others follow without gaps.
   *
   * @generated from field: uint64 first_clock = 3;
   */
  firstClock: bigint;

  /**
   * kind text: the revision that the first operation was made against; each later one is made against the
   * result of the one before it. The client must have seen all its own earlier operations acknowledged: at
   * most one batch is on its way. Absent it is 0: the empty document. kind log: ignored.
   *
   * @generated from field: uint64 base_revision = 4;
   */
  baseRevision: bigint;

  /**
   * 1 to `batch_operations_max` payloads. kind log: any bytes. kind text: each an encoded TextOperation.
   *
   * @generated from field: repeated bytes operations = 5;
   */
  operations: Uint8Array[];

  /**
   * Optimistic concurrency, where it is not empty: the batch is refused with SYNC_CONFLICT if the document has
   * operations of other clients beyond it.
   *
   * @generated from field: map<uint64, uint64> expected_server_vector = 6;
   */
  expectedServerVector: { [key: string]: bigint };

  /**
   * The same by revision: the batch is refused with SYNC_CONFLICT unless this is the document's newest, durable or not.
   *
   * @generated from field: optional uint64 expected_revision = 7;
   */
  expectedRevision?: bigint | undefined;
};

/**
 * Describes the message corelay.v1.Operations.
 * Use `create(OperationsSchema)` to create a new message.
 */
export const OperationsSchema: GenMessage<Operations> = /*@__PURE__*/
  messageDesc(file_corelay, 25);

/**
 * Other clients' operations, and the client's own that another connection of it had sent or that were durable before
 * Opened or Resync set the subscription's place.
 *
 * @generated from message corelay.v1.RemoteOps
 */
export type RemoteOps = Message<"corelay.v1.RemoteOps"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * The revision of the first operation; the others follow by one.
   *
   * @generated from field: uint64 revision = 2;
   */
  revision: bigint;

  /**
   * The client id of who made them.
   *
   * @generated from field: uint64 origin = 3;
   */
  origin: bigint;

  /**
   * The clock of the first operation; the others follow by one.
   *
   * @generated from field: uint64 first_clock = 4;
   */
  firstClock: bigint;

  /**
   * kind text: transformed, so that the first applies to the document at `revision - 1`.
   *
   * @generated from field: repeated bytes operations = 5;
   */
  operations: Uint8Array[];
};

/**
 * Describes the message corelay.v1.RemoteOps.
 * Use `create(RemoteOpsSchema)` to create a new message.
 */
export const RemoteOpsSchema: GenMessage<RemoteOps> = /*@__PURE__*/
  messageDesc(file_corelay, 26);

/**
 * The batch has its place in history, and is as safe as `durability` says.
 *
 * @generated from message corelay.v1.Ack
 */
export type Ack = Message<"corelay.v1.Ack"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: uint64 client_seq = 2;
   */
  clientSeq: bigint;

  /**
   * The revision of the batch's first operation. 0 where a resent batch was applied so long ago that the relay
   * no longer knows its revision, or where its operations had been sent in other batches and do not stand together.
   *
   * @generated from field: uint64 first_revision = 3;
   */
  firstRevision: bigint;

  /**
   * How many revisions the batch has: first_revision + count - 1 is its last.
   *
   * @generated from field: uint32 count = 4;
   */
  count: number;

  /**
   * The highest clock of this client that has been applied: the client's entry in the state vector.
   *
   * @generated from field: uint64 clock = 5;
   */
  clock: bigint;

  /**
   * @generated from field: uint64 persisted_at_ms = 6;
   */
  persistedAtMs: bigint;

  /**
   * @generated from field: corelay.v1.Durability durability = 7;
   */
  durability: Durability;

  /**
   * True: the batch had been applied before, and this is a repeated answer. It stands outside the order of revisions:
   * `first_revision` is where the batch was placed then, and may be ahead of what this connection has seen. Then the
   * operations are still to come, as RemoteOps with the client's own id, and count as seen only there.
   *
   * @generated from field: bool duplicate = 8;
   */
  duplicate: boolean;
};

/**
 * Describes the message corelay.v1.Ack.
 * Use `create(AckSchema)` to create a new message.
 */
export const AckSchema: GenMessage<Ack> = /*@__PURE__*/
  messageDesc(file_corelay, 27);

/**
 * The batch was not applied.
 *
 * @generated from message corelay.v1.Nack
 */
export type Nack = Message<"corelay.v1.Nack"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: uint64 client_seq = 2;
   */
  clientSeq: bigint;

  /**
   * @generated from field: corelay.v1.ErrorCode code = 3;
   */
  code: ErrorCode;

  /**
   * @generated from field: string message = 4;
   */
  message: string;

  /**
   * @generated from field: bool retryable = 5;
   */
  retryable: boolean;

  /**
   * @generated from field: uint32 retry_after_ms = 6;
   */
  retryAfterMs: number;

  /**
   * The clock that the relay expects of this client next.
   *
   * @generated from field: uint64 next_clock = 7;
   */
  nextClock: bigint;

  /**
   * The document's newest revision.
   *
   * @generated from field: uint64 revision = 8;
   */
  revision: bigint;
};

/**
 * Describes the message corelay.v1.Nack.
 * Use `create(NackSchema)` to create a new message.
 */
export const NackSchema: GenMessage<Nack> = /*@__PURE__*/
  messageDesc(file_corelay, 28);

/**
 * kind text: an edit of the whole document, from its start. Lengths are counted in UTF-16 code units. What the
 * components do not reach is retained. No component may be empty, and no position may fall inside a surrogate
 * pair.
 *
 * Operations are brought to their canonical form when they are read and after every transformation: components
 * of one kind that touch are one, an insert stands before the delete that it touches, no retain is last. Where two
 * operations insert at the same position, the insert of the lower client id stands left; an insert is never lost
 * because the text around it was deleted. Whoever transforms like this agrees with the relay.
 *
 * @generated from message corelay.v1.TextOperation
 */
export type TextOperation = Message<"corelay.v1.TextOperation"> & {
  /**
   * @generated from field: repeated corelay.v1.TextComponent components = 1;
   */
  components: TextComponent[];
};

/**
 * Describes the message corelay.v1.TextOperation.
 * Use `create(TextOperationSchema)` to create a new message.
 */
export const TextOperationSchema: GenMessage<TextOperation> = /*@__PURE__*/
  messageDesc(file_corelay, 29);

/**
 * @generated from message corelay.v1.TextComponent
 */
export type TextComponent = Message<"corelay.v1.TextComponent"> & {
  /**
   * @generated from oneof corelay.v1.TextComponent.edit
   */
  edit: {
    /**
     * @generated from field: uint64 retain = 1;
     */
    value: bigint;
    case: "retain";
  } | {
    /**
     * @generated from field: string insert = 2;
     */
    value: string;
    case: "insert";
  } | {
    /**
     * @generated from field: uint64 delete = 3;
     */
    value: bigint;
    case: "delete";
  } | { case: undefined; value?: undefined };
};

/**
 * Describes the message corelay.v1.TextComponent.
 * Use `create(TextComponentSchema)` to create a new message.
 */
export const TextComponentSchema: GenMessage<TextComponent> = /*@__PURE__*/
  messageDesc(file_corelay, 30);

/**
 * Ask what has happened in a document, whether this connection has it open or not. Needs the permission to read. Answered
 * with HistoryPage, or Error. Only what is durable is told, and of a document that was deleted and made again only what
 * happened since. A fifth History (or other request of this section) while four are not answered is refused with
 * SERVICE_UNAVAILABLE.
 *
 * What a relay wrote before it kept times and authors has neither: 0 and empty.
 *
 * A text at a revision is what its operations up to there make of the empty text; the revision at a time is the last one of
 * the entry that `newest_first` with `from_time_ms` begins with. A log has no other state than its operations.
 *
 * @generated from message corelay.v1.History
 */
export type History = Message<"corelay.v1.History"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * May be empty where the URL names a document.
   *
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * False: from the oldest to the newest, for who replays. True: the newest first, for a list of changes.
   *
   * @generated from field: bool newest_first = 3;
   */
  newestFirst: boolean;

  /**
   * Where to begin: with the entry that has this revision, or the first that is kept in that direction. 0: at the
   * beginning of that direction.
   *
   * @generated from field: uint64 from_revision = 4;
   */
  fromRevision: bigint;

  /**
   * Where to begin, in place of a revision, if it is not 0: with the oldest entry that is not earlier than this; with
   * `newest_first`, the newest that is not later: its last revision is the document's at that time.
   *
   * @generated from field: uint64 from_time_ms = 5;
   */
  fromTimeMs: bigint;

  /**
   * At most so many entries. 0: as many as the relay likes to send at once, which is always the most.
   *
   * @generated from field: uint32 limit = 6;
   */
  limit: number;

  /**
   * Entries have their operations.
   *
   * @generated from field: bool with_operations = 7;
   */
  withOperations: boolean;
};

/**
 * Describes the message corelay.v1.History.
 * Use `create(HistorySchema)` to create a new message.
 */
export const HistorySchema: GenMessage<History> = /*@__PURE__*/
  messageDesc(file_corelay, 31);

/**
 * @generated from message corelay.v1.HistoryPage
 */
export type HistoryPage = Message<"corelay.v1.HistoryPage"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: string kind = 3;
   */
  kind: string;

  /**
   * In the order that was asked for.
   *
   * @generated from field: repeated corelay.v1.HistoryEntry entries = 4;
   */
  entries: HistoryEntry[];

  /**
   * Ask again with `from_revision` set to this, and without a time. 0: there is no more in this direction.
   *
   * @generated from field: uint64 next_revision = 5;
   */
  nextRevision: bigint;

  /**
   * The document's durable revision at this moment.
   *
   * @generated from field: corelay.v1.Position position = 6;
   */
  position?: Position | undefined;

  /**
   * The document began with this revision: before it, it was empty. 1, or more if it was deleted and made again.
   *
   * @generated from field: uint64 first_revision = 7;
   */
  firstRevision: bigint;

  /**
   * The oldest that is kept, or one more than the newest if none is. It is past `first_revision` where a log was compacted
   * (`document.log_compaction`); the history of a text is kept whole.
   *
   * @generated from field: uint64 oldest_revision = 8;
   */
  oldestRevision: bigint;
};

/**
 * Describes the message corelay.v1.HistoryPage.
 * Use `create(HistoryPageSchema)` to create a new message.
 */
export const HistoryPageSchema: GenMessage<HistoryPage> = /*@__PURE__*/
  messageDesc(file_corelay, 32);

/**
 * A batch, as it took its place.
 *
 * @generated from message corelay.v1.HistoryEntry
 */
export type HistoryEntry = Message<"corelay.v1.HistoryEntry"> & {
  /**
   * The revision of its first operation; the others follow by one.
   *
   * @generated from field: uint64 revision = 1;
   */
  revision: bigint;

  /**
   * How many it has.
   *
   * @generated from field: uint32 count = 2;
   */
  count: number;

  /**
   * The client id of who made them.
   *
   * @generated from field: uint64 origin = 3;
   */
  origin: bigint;

  /**
   * The user id of who made them; empty where nobody was named.
   *
   * @generated from field: string author = 4;
   */
  author: string;

  /**
   * When it took its place. Never earlier than that of the entry before.
   *
   * @generated from field: uint64 time_ms = 5;
   */
  timeMs: bigint;

  /**
   * The bytes of its operations.
   *
   * @generated from field: uint64 bytes = 6;
   */
  bytes: bigint;

  /**
   * As in RemoteOps, where they were asked for.
   *
   * @generated from field: repeated bytes operations = 7;
   */
  operations: Uint8Array[];
};

/**
 * Describes the message corelay.v1.HistoryEntry.
 * Use `create(HistoryEntrySchema)` to create a new message.
 */
export const HistoryEntrySchema: GenMessage<HistoryEntry> = /*@__PURE__*/
  messageDesc(file_corelay, 33);

/**
 * Give a revision a name. Needs the permission to write. Answered with VersionSaved when it is durable, or Error. A
 * document has at most `document.versions_max` of them (TOO_MANY_VERSIONS).
 *
 * A version is a name and no more: it keeps no operations of a log that is compacted. It goes with its document.
 *
 * @generated from message corelay.v1.SaveVersion
 */
export type SaveVersion = Message<"corelay.v1.SaveVersion"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * May be empty where the URL names a document.
   *
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * 1 to 128 bytes without control characters, else VERSION_NAME_INVALID; no other version of the document has it, else
   * VERSION_EXISTS.
   *
   * @generated from field: string name = 3;
   */
  name: string;

  /**
   * One that the document has had, in this life of it, else REVISION_UNKNOWN. 0: the newest, which is durable with the
   * version.
   *
   * @generated from field: uint64 revision = 4;
   */
  revision: bigint;
};

/**
 * Describes the message corelay.v1.SaveVersion.
 * Use `create(SaveVersionSchema)` to create a new message.
 */
export const SaveVersionSchema: GenMessage<SaveVersion> = /*@__PURE__*/
  messageDesc(file_corelay, 34);

/**
 * @generated from message corelay.v1.VersionSaved
 */
export type VersionSaved = Message<"corelay.v1.VersionSaved"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: corelay.v1.Version version = 3;
   */
  version?: Version | undefined;
};

/**
 * Describes the message corelay.v1.VersionSaved.
 * Use `create(VersionSavedSchema)` to create a new message.
 */
export const VersionSavedSchema: GenMessage<VersionSaved> = /*@__PURE__*/
  messageDesc(file_corelay, 35);

/**
 * A revision with a name.
 *
 * @generated from message corelay.v1.Version
 */
export type Version = Message<"corelay.v1.Version"> & {
  /**
   * @generated from field: string name = 1;
   */
  name: string;

  /**
   * @generated from field: uint64 revision = 2;
   */
  revision: bigint;

  /**
   * The user id of who saved it; empty where nobody was named.
   *
   * @generated from field: string author = 3;
   */
  author: string;

  /**
   * When it was saved.
   *
   * @generated from field: uint64 time_ms = 4;
   */
  timeMs: bigint;
};

/**
 * Describes the message corelay.v1.Version.
 * Use `create(VersionSchema)` to create a new message.
 */
export const VersionSchema: GenMessage<Version> = /*@__PURE__*/
  messageDesc(file_corelay, 36);

/**
 * List a document's versions. Needs the permission to read. Answered with Versions, or Error.
 *
 * @generated from message corelay.v1.ListVersions
 */
export type ListVersions = Message<"corelay.v1.ListVersions"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * May be empty where the URL names a document.
   *
   * @generated from field: string document_id = 2;
   */
  documentId: string;
};

/**
 * Describes the message corelay.v1.ListVersions.
 * Use `create(ListVersionsSchema)` to create a new message.
 */
export const ListVersionsSchema: GenMessage<ListVersions> = /*@__PURE__*/
  messageDesc(file_corelay, 37);

/**
 * @generated from message corelay.v1.Versions
 */
export type Versions = Message<"corelay.v1.Versions"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * All of them, in the order of their revisions.
   *
   * @generated from field: repeated corelay.v1.Version versions = 3;
   */
  versions: Version[];
};

/**
 * Describes the message corelay.v1.Versions.
 * Use `create(VersionsSchema)` to create a new message.
 */
export const VersionsSchema: GenMessage<Versions> = /*@__PURE__*/
  messageDesc(file_corelay, 38);

/**
 * Take a name from its revision. Needs the permission to write. Answered with VersionDeleted when it is durable, or Error,
 * VERSION_NOT_FOUND among others.
 *
 * @generated from message corelay.v1.DeleteVersion
 */
export type DeleteVersion = Message<"corelay.v1.DeleteVersion"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * May be empty where the URL names a document.
   *
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: string name = 3;
   */
  name: string;
};

/**
 * Describes the message corelay.v1.DeleteVersion.
 * Use `create(DeleteVersionSchema)` to create a new message.
 */
export const DeleteVersionSchema: GenMessage<DeleteVersion> = /*@__PURE__*/
  messageDesc(file_corelay, 39);

/**
 * @generated from message corelay.v1.VersionDeleted
 */
export type VersionDeleted = Message<"corelay.v1.VersionDeleted"> & {
  /**
   * @generated from field: uint64 request_id = 1;
   */
  requestId: bigint;

  /**
   * @generated from field: string document_id = 2;
   */
  documentId: string;

  /**
   * @generated from field: string name = 3;
   */
  name: string;
};

/**
 * Describes the message corelay.v1.VersionDeleted.
 * Use `create(VersionDeletedSchema)` to create a new message.
 */
export const VersionDeletedSchema: GenMessage<VersionDeleted> = /*@__PURE__*/
  messageDesc(file_corelay, 40);

/**
 * The client's whole presence on a document; it replaces the one before. Taken at most 10 times a second: of
 * more, the newest wins. At most 64 KiB.
 *
 * @generated from message corelay.v1.Presence
 */
export type Presence = Message<"corelay.v1.Presence"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: corelay.v1.Cursor cursor = 2;
   */
  cursor?: Cursor | undefined;

  /**
   * @generated from field: corelay.v1.Selection selection = 3;
   */
  selection?: Selection | undefined;

  /**
   * @generated from field: bool is_typing = 4;
   */
  isTyping: boolean;

  /**
   * Anything else, by name.
   *
   * @generated from field: map<string, bytes> fields = 5;
   */
  fields: { [key: string]: Uint8Array };

  /**
   * True: the client is no longer present; the rest is ignored.
   *
   * @generated from field: bool leave = 6;
   */
  leave: boolean;
};

/**
 * Describes the message corelay.v1.Presence.
 * Use `create(PresenceSchema)` to create a new message.
 */
export const PresenceSchema: GenMessage<Presence> = /*@__PURE__*/
  messageDesc(file_corelay, 41);

/**
 * @generated from message corelay.v1.Cursor
 */
export type Cursor = Message<"corelay.v1.Cursor"> & {
  /**
   * @generated from field: string block_id = 1;
   */
  blockId: string;

  /**
   * @generated from field: uint64 offset = 2;
   */
  offset: bigint;
};

/**
 * Describes the message corelay.v1.Cursor.
 * Use `create(CursorSchema)` to create a new message.
 */
export const CursorSchema: GenMessage<Cursor> = /*@__PURE__*/
  messageDesc(file_corelay, 42);

/**
 * @generated from message corelay.v1.Selection
 */
export type Selection = Message<"corelay.v1.Selection"> & {
  /**
   * @generated from field: corelay.v1.Cursor anchor = 1;
   */
  anchor?: Cursor | undefined;

  /**
   * @generated from field: corelay.v1.Cursor focus = 2;
   */
  focus?: Cursor | undefined;
};

/**
 * Describes the message corelay.v1.Selection.
 * Use `create(SelectionSchema)` to create a new message.
 */
export const SelectionSchema: GenMessage<Selection> = /*@__PURE__*/
  messageDesc(file_corelay, 43);

/**
 * Keeps the client's presence alive; others are not told.
 *
 * @generated from message corelay.v1.Heartbeat
 */
export type Heartbeat = Message<"corelay.v1.Heartbeat"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;
};

/**
 * Describes the message corelay.v1.Heartbeat.
 * Use `create(HeartbeatSchema)` to create a new message.
 */
export const HeartbeatSchema: GenMessage<Heartbeat> = /*@__PURE__*/
  messageDesc(file_corelay, 44);

/**
 * @generated from message corelay.v1.PresenceUpdate
 */
export type PresenceUpdate = Message<"corelay.v1.PresenceUpdate"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: repeated corelay.v1.UserPresence presences = 2;
   */
  presences: UserPresence[];

  /**
   * True: this is everybody; whoever is not listed is gone.
   *
   * @generated from field: bool full = 3;
   */
  full: boolean;
};

/**
 * Describes the message corelay.v1.PresenceUpdate.
 * Use `create(PresenceUpdateSchema)` to create a new message.
 */
export const PresenceUpdateSchema: GenMessage<PresenceUpdate> = /*@__PURE__*/
  messageDesc(file_corelay, 45);

/**
 * @generated from message corelay.v1.UserPresence
 */
export type UserPresence = Message<"corelay.v1.UserPresence"> & {
  /**
   * @generated from field: uint64 client_id = 1;
   */
  clientId: bigint;

  /**
   * @generated from field: string user_id = 2;
   */
  userId: string;

  /**
   * @generated from field: string name = 3;
   */
  name: string;

  /**
   * @generated from field: string color = 4;
   */
  color: string;

  /**
   * @generated from field: corelay.v1.Cursor cursor = 5;
   */
  cursor?: Cursor | undefined;

  /**
   * @generated from field: corelay.v1.Selection selection = 6;
   */
  selection?: Selection | undefined;

  /**
   * @generated from field: bool is_typing = 7;
   */
  isTyping: boolean;

  /**
   * @generated from field: map<string, bytes> fields = 8;
   */
  fields: { [key: string]: Uint8Array };

  /**
   * @generated from field: uint64 last_seen_ms = 9;
   */
  lastSeenMs: bigint;

  /**
   * True: gone; only client_id is set.
   *
   * @generated from field: bool left = 10;
   */
  left: boolean;
};

/**
 * Describes the message corelay.v1.UserPresence.
 * Use `create(UserPresenceSchema)` to create a new message.
 */
export const UserPresenceSchema: GenMessage<UserPresence> = /*@__PURE__*/
  messageDesc(file_corelay, 46);

/**
 * The subscription is at 80 % of what a slow consumer may fall behind. Presence is withheld until it catches
 * up; if it falls further behind, a Resync follows.
 *
 * @generated from message corelay.v1.Warning
 */
export type Warning = Message<"corelay.v1.Warning"> & {
  /**
   * @generated from field: uint64 document = 1;
   */
  document: bigint;

  /**
   * @generated from field: uint64 pending_operations = 2;
   */
  pendingOperations: bigint;

  /**
   * @generated from field: uint64 pending_bytes = 3;
   */
  pendingBytes: bigint;
};

/**
 * Describes the message corelay.v1.Warning.
 * Use `create(WarningSchema)` to create a new message.
 */
export const WarningSchema: GenMessage<Warning> = /*@__PURE__*/
  messageDesc(file_corelay, 47);

/**
 * Something that the client asked for was refused. The connection stays open unless a Close with document 0
 * follows.
 *
 * @generated from message corelay.v1.Error
 */
export type Error = Message<"corelay.v1.Error"> & {
  /**
   * @generated from field: corelay.v1.ErrorCode code = 1;
   */
  code: ErrorCode;

  /**
   * @generated from field: string message = 2;
   */
  message: string;

  /**
   * @generated from field: bool retryable = 3;
   */
  retryable: boolean;

  /**
   * @generated from field: uint32 retry_after_ms = 4;
   */
  retryAfterMs: number;

  /**
   * The request_id of the Open that failed, else 0.
   *
   * @generated from field: uint64 request_id = 5;
   */
  requestId: bigint;

  /**
   * The document that it is about, else 0.
   *
   * @generated from field: uint64 document = 6;
   */
  document: bigint;

  /**
   * With VERSION_MISMATCH: what the relay speaks.
   *
   * @generated from field: repeated uint32 supported_versions = 7;
   */
  supportedVersions: number[];
};

/**
 * Describes the message corelay.v1.Error.
 * Use `create(ErrorSchema)` to create a new message.
 */
export const ErrorSchema: GenMessage<Error> = /*@__PURE__*/
  messageDesc(file_corelay, 48);

/**
 * @generated from enum corelay.v1.SyncMode
 */
export enum SyncMode {
  /**
   * @generated from enum value: UP_TO_DATE = 0;
   */
  UP_TO_DATE = 0,

  /**
   * @generated from enum value: DELTA = 1;
   */
  DELTA = 1,

  /**
   * @generated from enum value: SNAPSHOT = 2;
   */
  SNAPSHOT = 2,
}

/**
 * Describes the enum corelay.v1.SyncMode.
 */
export const SyncModeSchema: GenEnum<SyncMode> = /*@__PURE__*/
  enumDesc(file_corelay, 0);

/**
 * @generated from enum corelay.v1.ResyncReason
 */
export enum ResyncReason {
  /**
   * The client asked.
   *
   * @generated from enum value: REQUESTED = 0;
   */
  REQUESTED = 0,

  /**
   * The client fell so far behind that the relay stopped keeping its place in the broadcast buffer.
   *
   * @generated from enum value: LAPPED = 1;
   */
  LAPPED = 1,

  /**
   * What the client says to have is of another epoch, or not of this document's history: it is to throw it away.
   *
   * @generated from enum value: VOID = 2;
   */
  VOID = 2,
}

/**
 * Describes the enum corelay.v1.ResyncReason.
 */
export const ResyncReasonSchema: GenEnum<ResyncReason> = /*@__PURE__*/
  enumDesc(file_corelay, 1);

/**
 * @generated from enum corelay.v1.Durability
 */
export enum Durability {
  /**
   * On disk: written and synced.
   *
   * @generated from enum value: ALWAYS = 0;
   */
  ALWAYS = 0,

  /**
   * Written; synced within the configured interval.
   *
   * @generated from enum value: INTERVAL = 1;
   */
  INTERVAL = 1,

  /**
   * Written; synced when the operating system likes.
   *
   * @generated from enum value: NEVER = 2;
   */
  NEVER = 2,
}

/**
 * Describes the enum corelay.v1.Durability.
 */
export const DurabilitySchema: GenEnum<Durability> = /*@__PURE__*/
  enumDesc(file_corelay, 2);

/**
 * Codes below 5000 are also the close codes of the WebSocket. 5000 closes it with 1011 and 5003 with 1013; where the
 * relay stops, its Close says 5003 and the close code is 1001.
 *
 * @generated from enum corelay.v1.ErrorCode
 */
export enum ErrorCode {
  /**
   * @generated from enum value: OK = 0;
   */
  OK = 0,

  /**
   * The bytes are no frame, or the frame is no Request. Closes the connection.
   *
   * @generated from enum value: MALFORMED_FRAME = 4000;
   */
  MALFORMED_FRAME = 4000,

  /**
   * The credential is missing, wrong, expired or revoked. Closes the connection: when what it granted is over, with
   * what was still to be answered.
   *
   * @generated from enum value: UNAUTHORIZED = 4001;
   */
  UNAUTHORIZED = 4001,

  /**
   * A request other than Hello or Ping came before Hello. Closes the connection.
   *
   * @generated from enum value: HELLO_REQUIRED = 4002;
   */
  HELLO_REQUIRED = 4002,

  /**
   * The credential does not allow this.
   *
   * @generated from enum value: FORBIDDEN = 4003;
   */
  FORBIDDEN = 4003,

  /**
   * The document does not exist and was not to be created.
   *
   * @generated from enum value: DOCUMENT_NOT_FOUND = 4004;
   */
  DOCUMENT_NOT_FOUND = 4004,

  /**
   * No such kind of document.
   *
   * @generated from enum value: KIND_UNKNOWN = 4005;
   */
  KIND_UNKNOWN = 4005,

  /**
   * The document exists and is of another kind.
   *
   * @generated from enum value: KIND_MISMATCH = 4006;
   */
  KIND_MISMATCH = 4006,

  /**
   * The document id is empty, too long, or has control characters.
   *
   * @generated from enum value: DOCUMENT_ID_INVALID = 4007;
   */
  DOCUMENT_ID_INVALID = 4007,

  /**
   * The handle names no document that this connection has open.
   *
   * @generated from enum value: DOCUMENT_NOT_OPEN = 4008;
   */
  DOCUMENT_NOT_OPEN = 4008,

  /**
   * No common protocol version. Closes the connection.
   *
   * @generated from enum value: VERSION_MISMATCH = 4009;
   */
  VERSION_MISMATCH = 4009,

  /**
   * Hello came twice, or its fields are out of range. Before the first Connected, another Hello may follow.
   *
   * @generated from enum value: HELLO_INVALID = 4010;
   */
  HELLO_INVALID = 4010,

  /**
   * The frame is longer than the relay accepts. Closes the connection.
   *
   * @generated from enum value: MESSAGE_TOO_LARGE = 4011;
   */
  MESSAGE_TOO_LARGE = 4011,

  /**
   * Hello did not come in time. Closes the connection.
   *
   * @generated from enum value: HANDSHAKE_TIMEOUT = 4012;
   */
  HANDSHAKE_TIMEOUT = 4012,

  /**
   * Nothing was heard for too long. Closes the connection.
   *
   * @generated from enum value: PONG_TIMEOUT = 4013;
   */
  PONG_TIMEOUT = 4013,

  /**
   * The connection has as many documents open as it may.
   *
   * @generated from enum value: TOO_MANY_DOCUMENTS = 4014;
   */
  TOO_MANY_DOCUMENTS = 4014,

  /**
   * A newer connection with the same identity has opened the document. An Open that comes late over an older one is
   * refused with it, too.
   *
   * @generated from enum value: REPLACED = 4015;
   */
  REPLACED = 4015,

  /**
   * A binary message on a connection that speaks JSON, or a text message on one that speaks protobuf. Closes the
   * connection.
   *
   * @generated from enum value: DIALECT_MIXED = 4016;
   */
  DIALECT_MIXED = 4016,

  /**
   * The document has been deleted.
   *
   * @generated from enum value: DOCUMENT_DELETED = 4017;
   */
  DOCUMENT_DELETED = 4017,

  /**
   * A batch is empty, has too many operations, or its clocks overflow.
   *
   * @generated from enum value: BATCH_INVALID = 4020;
   */
  BATCH_INVALID = 4020,

  /**
   * An operation is not what the document's kind understands.
   *
   * @generated from enum value: OPERATION_INVALID = 4021;
   */
  OPERATION_INVALID = 4021,

  /**
   * A position is past the end of the document.
   *
   * @generated from enum value: OPERATION_OUT_OF_BOUNDS = 4022;
   */
  OPERATION_OUT_OF_BOUNDS = 4022,

  /**
   * A position is inside a surrogate pair.
   *
   * @generated from enum value: SURROGATE_SPLIT = 4023;
   */
  SURROGATE_SPLIT = 4023,

  /**
   * The clock is higher than the relay expects: something before it is missing. Resend from `next_clock`.
   *
   * @generated from enum value: CLOCK_GAP = 4024;
   */
  CLOCK_GAP = 4024,

  /**
   * The document would grow past its limit.
   *
   * @generated from enum value: DOCUMENT_TOO_LARGE = 4025;
   */
  DOCUMENT_TOO_LARGE = 4025,

  /**
   * The document has had as many different writers as it may.
   *
   * @generated from enum value: TOO_MANY_CLIENTS = 4026;
   */
  TOO_MANY_CLIENTS = 4026,

  /**
   * The address or the user has as many connections as it may. Closes the connection. A WebSocket of such an address is
   * refused in plain HTTP, with 429.
   *
   * @generated from enum value: TOO_MANY_CONNECTIONS = 4027;
   */
  TOO_MANY_CONNECTIONS = 4027,

  /**
   * The tenant has as many connections, documents or stored bytes as it may; the message says which. Closes the
   * connection if it is connections, and only then is retryable.
   *
   * @generated from enum value: TENANT_QUOTA_EXCEEDED = 4028;
   */
  TENANT_QUOTA_EXCEEDED = 4028,

  /**
   * Slow down: the connection, the user or the document has had as many operations or bytes as may come at once, or the
   * connection as many requests (Hello, Open, SyncRequest, SnapshotOffer, Delete, List, History, SaveVersion,
   * ListVersions, DeleteVersion, Ping). The same is taken after `retry_after_ms`, unless others under the same rate use
   * it up before. A batch that is refused costs nothing, unless there is something wrong with its operations; a batch
   * that was applied before costs its bytes again. Later batches that were on their way are refused with CLOCK_GAP, and
   * are sent again after it. Presence is coalesced, never refused for coming too fast.
   *
   * @generated from enum value: RATE_LIMITED = 4029;
   */
  RATE_LIMITED = 4029,

  /**
   * The connection made no progress while the relay had something to send. Closes the connection.
   *
   * @generated from enum value: BACKPRESSURE = 4030;
   */
  BACKPRESSURE = 4030,

  /**
   * The presence is larger than it may be.
   *
   * @generated from enum value: PRESENCE_TOO_LARGE = 4031;
   */
  PRESENCE_TOO_LARGE = 4031,

  /**
   * The offered snapshot does not fit: another kind of document, a revision that is not durable or not newer, a piece
   * out of order, too large.
   *
   * @generated from enum value: SNAPSHOT_INVALID = 4032;
   */
  SNAPSHOT_INVALID = 4032,

  /**
   * The name of a version is empty, too long, or has control characters.
   *
   * @generated from enum value: VERSION_NAME_INVALID = 4033;
   */
  VERSION_NAME_INVALID = 4033,

  /**
   * The document has a version of that name.
   *
   * @generated from enum value: VERSION_EXISTS = 4034;
   */
  VERSION_EXISTS = 4034,

  /**
   * The document has no version of that name.
   *
   * @generated from enum value: VERSION_NOT_FOUND = 4035;
   */
  VERSION_NOT_FOUND = 4035,

  /**
   * The document has as many versions as it may.
   *
   * @generated from enum value: TOO_MANY_VERSIONS = 4036;
   */
  TOO_MANY_VERSIONS = 4036,

  /**
   * The document has never had that revision.
   *
   * @generated from enum value: REVISION_UNKNOWN = 4037;
   */
  REVISION_UNKNOWN = 4037,

  /**
   * Whoever runs the relay has closed the connection; the message says why. Retryable if the client may come back.
   *
   * @generated from enum value: CLOSED_BY_OPERATOR = 4038;
   */
  CLOSED_BY_OPERATOR = 4038,

  /**
   * The base revision is in the future, too old to transform from, or older than the client's own last
   * operation. Catch up, rebase, send again.
   *
   * @generated from enum value: SYNC_CONFLICT = 4100;
   */
  SYNC_CONFLICT = 4100,

  /**
   * The history that was asked for is no longer there, and the snapshot in its place was not wanted, or does not fit
   * into one message for a client of version 1 or 2. Ask again with snapshots, and make anew what was not acknowledged.
   *
   * @generated from enum value: SNAPSHOT_REQUIRED = 4101;
   */
  SNAPSHOT_REQUIRED = 4101,

  /**
   * The resume token is not one that the relay gave for this document, or is of another epoch or an earlier life of the
   * document. Ask without it.
   *
   * @generated from enum value: RESUME_TOKEN_INVALID = 4102;
   */
  RESUME_TOKEN_INVALID = 4102,

  /**
   * A fault of the relay: what is stored of the document cannot be understood. Trying again does not help before
   * whoever runs the relay, who is told in its log, has done something about it. Other documents are not affected.
   *
   * @generated from enum value: INTERNAL_ERROR = 5000;
   */
  INTERNAL_ERROR = 5000,

  /**
   * The relay cannot do this now: stopping, out of a limited resource, the store failed to read, or the
   * credential cannot be judged: its key is being asked for, or the operator's backend does not answer.
   *
   * @generated from enum value: SERVICE_UNAVAILABLE = 5003;
   */
  SERVICE_UNAVAILABLE = 5003,
}

/**
 * Describes the enum corelay.v1.ErrorCode.
 */
export const ErrorCodeSchema: GenEnum<ErrorCode> = /*@__PURE__*/
  enumDesc(file_corelay, 3);

