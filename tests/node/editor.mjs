// Somebody who edits a text in JSON over a WebSocket, with nothing but what Node brings along.
//
//     node editor.mjs PORT DOCUMENT EDITS
//
// Makes so many edits, says "done" when all are acknowledged, and when the text ends with "THE END", prints it as JSON.

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { connect } from "node:net";

const [port, documentId, edits] = process.argv.slice(2);

// ---- a WebSocket

const key = randomBytes(16).toString("base64");
const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
const TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;
let received = Buffer.alloc(0);
let isOpen = false;

const socket = connect(Number(port), "127.0.0.1", () => {
  socket.setNoDelay(true);
  socket.write([
    `GET /ws/documents/${encodeURIComponent(documentId)} HTTP/1.1`,
    "Host: relay", "Connection: Upgrade", "Upgrade: websocket",
    "Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${key}`,
    `X-Client-ID: ${randomUUID()}`, "X-Protocol-Version: 1", "", "",
  ].join("\r\n"));
});
socket.on("error", fail);
socket.on("close", () => process.exit(isOpen ? fail("the relay has closed the connection") : 0));
socket.on("data", (bytes) => {
  received = Buffer.concat([received, bytes]);
  if (!isOpen && !readHead()) return;
  while (readFrame());
});

function readHead() {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const head = received.subarray(0, end).toString();
  if (!head.startsWith("HTTP/1.1 101 ") || !head.includes(accept)) fail(head);
  received = received.subarray(end + 4);
  isOpen = true;
  return true;
}

function readFrame() {
  if (received.length < 2) return false;
  let length = received[1], start = 2;
  if (length === 126 && received.length >= 4) [length, start] = [received.readUInt16BE(2), 4];
  else if (length === 127 && received.length >= 10) [length, start] = [Number(received.readBigUInt64BE(2)), 10];
  else if (length >= 126) return false;
  if (received.length < start + length) return false;
  const opcode = received[0] & 15;
  const payload = Buffer.from(received.subarray(start, start + length));
  received = received.subarray(start + length);
  if (opcode === TEXT) handle(JSON.parse(payload.toString()));
  else if (opcode === PING) write(PONG, payload);
  else if (opcode === CLOSE && isOpen) fail(`closed: ${payload.subarray(2)}`);
  else if (opcode !== CLOSE && opcode !== PONG) fail(`opcode ${opcode}`);
  return true;
}

function write(opcode, payload) {
  const mask = randomBytes(4);
  const length = Buffer.alloc(payload.length < 126 ? 1 : 3, 0x80 | Math.min(payload.length, 126));
  if (payload.length >= 126) length.writeUInt16BE(payload.length, 1);
  const masked = payload.map((byte, index) => byte ^ mask[index % 4]);
  socket.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]));
}

function say(type, payload, id) {
  write(TEXT, Buffer.from(JSON.stringify({ type, id, timestamp: Date.now(), payload })));
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

// ---- a text

let me, text = "", revision = 0, count = 0;
let pending = null; // the edit that is on its way: where it stands after all that has come since, and what it inserts

function apply(components) {
  let at = 0;
  for (const { retain, insert, delete: deleted } of components) {
    if (retain) at += retain;
    if (insert) {
      text = text.slice(0, at) + insert + text.slice(at);
      at += insert.length;
    }
    if (deleted) text = text.slice(0, at) + text.slice(at + deleted);
  }
}

// Where an insert stands after an operation of another client: of two at one place, the lower client id's is left.
function move(position, components, origin) {
  let at = 0;
  for (const { retain, insert, delete: deleted } of components) {
    if (retain) at += retain;
    if (insert && (at < position || (at === position && origin < me))) position += insert.length;
    if (insert) at += insert.length;
    if (deleted && at < position) position = Math.max(at, position - deleted);
  }
  return position;
}

function receive(operations, origin) {
  for (const components of operations) {
    if (pending) pending.position = move(pending.position, components, origin);
    apply(components);
    revision += 1;
  }
}

function edit() {
  if (pending || count === Number(edits)) return;
  let position = (count * 17) % (text.length + 1);
  if (/[\udc00-\udfff]/.test(text.charAt(position))) position += 1;
  pending = { position, insert: `(${count} é👋)`, id: `edit ${count}` };
  const components = [{ insert: pending.insert }];
  if (position > 0) components.unshift({ retain: position });
  say("operations", {
    documentId, ops: [components], clientSeq: count, firstClock: count, baseRevision: revision,
  }, pending.id);
}

function handle({ type, id, payload }) {
  if (type === "connected") {
    me = payload.clientId;
    say("sync_request", { documentId, kind: "text" }, "sync");
  } else if (type === "sync_response") {
    if (id !== "sync") fail(`the page answers ${id}`);
    if (payload.snapshot) [text, revision] = [payload.snapshot.data, payload.snapshot.revision];
    receive(payload.operations, 0);
    if (!payload.hasMore) edit();
  } else if (type === "remote_ops") {
    receive(payload.operations, payload.origin);
  } else if (type === "ack") {
    if (id !== pending.id || payload.serverVector[me] !== count) fail(JSON.stringify(payload));
    apply([{ retain: pending.position }, { insert: pending.insert }]);
    revision += 1;
    if (payload.firstRevision !== revision) fail(`revision ${payload.firstRevision}, not ${revision}`);
    pending = null;
    count += 1;
    if (count === Number(edits)) console.log("done");
    edit();
  } else if (type !== "presence_update") {
    fail(`${type}: ${JSON.stringify(payload)}`);
  }
  if (text.endsWith("THE END") && !pending) {
    console.log(JSON.stringify(text));
    isOpen = false;
    say("disconnect");
  }
}
