import { describe, expect, test } from "vitest";

import { ErrorCode } from "../../src/index.js";
import type { Document } from "../../src/session/document.js";
import { Durability, ResyncReason, SyncMode } from "../../src/wire/corelay_pb.js";
import { type Said, Scripted } from "../support/scripted.js";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** A document that is open and caught up, with nothing in it. */
function opened(relay: Scripted, kind: "log" | "text" = "log", nextClock = 0n): Document {
  const document = relay.session.open({ id: "board", kind, create: true });
  relay.connect();
  relay.sent();
  relay.say({
    case: "opened",
    value: { requestId: 1n, document: 7n, kind, position: { epoch: 1n, revision: 0n }, nextClock },
  });
  relay.events();
  return document;
}

function types(relay: Scripted): string[] {
  return relay.events().map(({ type }) => type);
}

describe("the connection", () => {
  test("begins with Hello, and documents are opened when it is answered", () => {
    const relay = new Scripted();
    relay.session.open({ id: "board", kind: "log", create: true });
    const [hello, ...rest] = relay.connect();
    expect(hello!.body).toMatchObject({
      case: "hello",
      value: { protocolVersion: 3, clientUuid: new Uint8Array(16).fill(1), userId: "ada", userName: "Ada" },
    });
    expect(rest).toEqual([]);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([
      { case: "open", value: { requestId: 1n, document: "board", kind: "log", create: true } },
    ]);
    expect(relay.events()).toMatchObject([{ type: "connected", clientId: 42, isRenewal: false }]);
  });

  test("comes back after delays that grow to the longest, and stay within their jitter", () => {
    for (const random of [0, 0.5, 0.999]) {
      const relay = new Scripted({}, () => random);
      let nominal = 1000;
      for (let attempt = 0; attempt < 20; attempt += 1) {
        expect(relay.session.pollConnection(relay.now)).toBe("connect");
        relay.session.handleDisconnected(relay.now);
        const delay = relay.session.pollTimeout()! - relay.now;
        expect(delay).toBeCloseTo(nominal * (0.7 + 0.6 * random), 5);
        expect(relay.session.pollConnection(relay.now + delay - 1)).toBeUndefined();
        relay.now += delay;
        nominal = Math.min(nominal * 1.5, 30_000);
      }
      relay.connect();
      relay.session.handleDisconnected(relay.now);
      expect(relay.session.pollTimeout()! - relay.now).toBeLessThanOrEqual(1300);
    }
  });

  test("comes back when Goaway says", () => {
    const relay = new Scripted();
    relay.connect();
    relay.say({ case: "goaway", value: { reason: "a new version", reconnectAfterMs: 500, jitterMs: 1000 } });
    relay.say({ case: "close", value: { document: 0n, code: ErrorCode.SERVICE_UNAVAILABLE, retryable: true } });
    expect(relay.session.pollConnection(relay.now)).toBe("disconnect");
    expect(relay.session.pollTimeout()).toBe(1000);
  });

  test("whoever is told to wait comes later, and not with the others", () => {
    const waits = (retryAfterMs: number, goaway?: { reconnectAfterMs: number; jitterMs: number }): number[] =>
      Array.from({ length: 100 }, (_, client) => {
        const relay = new Scripted({}, () => client / 100);
        relay.connect();
        if (goaway !== undefined) relay.say({ case: "goaway", value: goaway });
        const code = ErrorCode.SERVICE_UNAVAILABLE;
        relay.say({ case: "close", value: { document: 0n, code, retryable: true, retryAfterMs } });
        expect(relay.session.pollConnection(relay.now)).toBe("disconnect");
        return Math.round(relay.session.pollTimeout()! - relay.now);
      });
    const spread = (from: number, to: number): number[] =>
      Array.from({ length: 100 }, (_, client) => Math.round(from + ((to - from) * client) / 100));
    expect(waits(5000)).toEqual(spread(5000, 6500));
    // Their own delays are longer.
    expect(waits(100)).toEqual(spread(700, 1300));
    // Goaway has spread them already, but not those whose time is too early.
    const goaway = { reconnectAfterMs: 500, jitterMs: 5000 };
    expect(waits(500, goaway)).toEqual(spread(500, 5500));
    expect(waits(3000, goaway)).toEqual([...spread(3000, 3900).slice(0, 50), ...spread(500, 5500).slice(50)]);
  });

  test("does not come back after a refusal for good, until it is told to", () => {
    const relay = new Scripted();
    relay.session.pollConnection(0);
    relay.session.handleDisconnected(0);
    relay.now = 1000;
    relay.connect();
    relay.say({ case: "error", value: { code: ErrorCode.FORBIDDEN, message: "of nothing in particular" } });
    relay.say({ case: "close", value: { document: 0n, code: ErrorCode.UNAUTHORIZED, message: "expired" } });
    expect(types(relay)).toEqual(["disconnected", "connected", "error", "stopped"]);
    expect(relay.session.pollConnection(relay.now)).toBe("disconnect");
    expect(relay.session.pollTimeout()).toBeUndefined();
    relay.session.retry(relay.now);
    expect(relay.session.pollConnection(relay.now)).toBe("connect");
  });

  test("is given up when nothing answers a ping", () => {
    const relay = new Scripted();
    relay.connect();
    relay.pass(54_000);
    expect(relay.sent().map(({ body }) => body.case)).toEqual(["ping"]);
    relay.pass(9_999);
    relay.say({ case: "pong", value: { nonce: 1n } });
    relay.pass(54_000);
    relay.pass(10_000);
    expect(relay.events().slice(1)).toMatchObject([
      { type: "violation", message: "the relay did not answer a ping" },
      { type: "disconnected" },
    ]);
  });

  test("is asked about sooner while something is not acknowledged", () => {
    const relay = new Scripted();
    const document = opened(relay);
    relay.session.submit(document, bytes(1), relay.now);
    relay.pass(100);
    expect(relay.sent().map(({ body }) => body.case)).toEqual(["operations"]);
    relay.pass(4_900);
    expect(relay.sent().map(({ body }) => body.case)).toEqual(["ping"]);
  });

  test("takes frames in any pieces, and gives up on what is none", () => {
    const relay = new Scripted();
    relay.session.pollConnection(0);
    const whole = new Scripted();
    whole.connect();
    const frame = Uint8Array.of(0, 0, 0, 4, 0x0a, 2, 8, 42);
    relay.session.handleDisconnected(0);
    relay.now = 1000;
    relay.connect();
    for (const byte of frame) relay.session.handleData(Uint8Array.of(byte), relay.now);
    expect(relay.events().at(-1)).toMatchObject({ type: "connected", isRenewal: true });
    relay.session.handleData(Uint8Array.of(0xff, 0xff, 0xff, 0xff), relay.now);
    expect(types(relay)).toEqual(["violation", "disconnected"]);
  });

  test("brings a fresh token by a second Hello", () => {
    const relay = new Scripted();
    relay.connect();
    relay.session.renewToken("fresh", relay.now);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "hello", value: { token: "fresh" } }]);
    relay.say({ case: "connected", value: { clientId: 42n } });
    expect(relay.events().at(-1)).toMatchObject({ type: "connected", isRenewal: true });
  });
});

describe("operations of a log", () => {
  test("are gathered for 50 ms of quiet or 100 ms at most, or until a batch is full", () => {
    const relay = new Scripted();
    const document = opened(relay);
    const batches = (): number[] =>
      relay.sent().flatMap(({ body }) => (body.case === "operations" ? [body.value.operations.length] : []));
    relay.session.submit(document, bytes(1), relay.now);
    expect(relay.session.pollTimeout()).toBe(50);
    relay.now = 40;
    relay.session.submit(document, bytes(2), relay.now);
    relay.now = 80;
    relay.session.submit(document, bytes(3), relay.now);
    expect(relay.session.pollTimeout()).toBe(100);
    relay.now = 99;
    expect(batches()).toEqual([]);
    relay.now = 100;
    expect(batches()).toEqual([3]);
    for (let number = 0; number < 130; number += 1) relay.session.submit(document, bytes(number), relay.now);
    expect(batches()).toEqual([50, 50]);
    document.pending.flush();
    expect(batches(), "three batches are on their way and no more").toEqual([]);
  });

  test("are sent again in their batches, from the clock that the relay expects", () => {
    const relay = new Scripted();
    const document = opened(relay);
    for (let number = 0; number < 100; number += 1) relay.session.submit(document, bytes(number), relay.now);
    relay.sent();
    relay.session.handleDisconnected(relay.now);
    relay.now += 1000;
    relay.connect();
    expect(relay.sent().map(({ body }) => body)).toMatchObject([
      { case: "open", value: { have: { epoch: 1n, revision: 0n } } },
    ]);
    relay.say({
      case: "opened",
      value: {
        requestId: 1n,
        document: 9n,
        kind: "log",
        position: { epoch: 1n, revision: 50n },
        sync: SyncMode.DELTA,
        nextClock: 50n,
      },
    });
    expect(relay.sent(), "nothing before it is caught up").toEqual([]);
    const own = Array.from({ length: 50 }, (_, number) => bytes(number));
    relay.say({
      case: "syncResponse",
      value: { document: 9n, operations: [{ revision: 1n, origin: 42n, firstClock: 0n, operations: own }] },
    });
    expect(relay.events().slice(-2)).toMatchObject([
      { type: "acknowledged", firstRevision: 1, firstClock: 0, count: 50 },
      { type: "synced", revision: 50 },
    ]);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([
      { case: "operations", value: { document: 9n, firstClock: 50n, clientSeq: 3n } },
    ]);
  });

  test("wait as long as a refusal says", () => {
    const relay = new Scripted();
    const document = opened(relay);
    relay.session.submit(document, bytes(1), relay.now);
    relay.pass(50);
    relay.sent();
    relay.say({
      case: "nack",
      value: { document: 7n, clientSeq: 1n, code: ErrorCode.RATE_LIMITED, retryable: true, retryAfterMs: 300 },
    });
    expect(relay.events()).toMatchObject([
      { type: "document_error", refusal: { name: "RATE_LIMITED", isPermanent: false } },
    ]);
    relay.pass(299);
    expect(relay.sent()).toEqual([]);
    relay.pass(1);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "operations", value: { firstClock: 0n } }]);
  });

  test("that are refused for good are given back, and what follows takes their clocks", () => {
    const relay = new Scripted();
    const document = opened(relay);
    for (let number = 0; number < 100; number += 1) relay.session.submit(document, bytes(number), relay.now);
    relay.sent();
    relay.say({ case: "nack", value: { document: 7n, clientSeq: 1n, code: ErrorCode.OPERATION_INVALID } });
    relay.say({
      case: "nack",
      value: { document: 7n, clientSeq: 2n, code: ErrorCode.CLOCK_GAP, retryable: true, nextClock: 0n },
    });
    expect(relay.events()).toMatchObject([
      { type: "refused", refusal: { name: "OPERATION_INVALID", isPermanent: true } },
    ]);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "operations", value: { firstClock: 0n } }]);
  });

  test("are acknowledged as durable as the relay says, and not in another order", () => {
    const relay = new Scripted();
    const document = opened(relay);
    relay.session.submit(document, bytes(1), relay.now);
    relay.pass(50);
    relay.sent();
    const value = { document: 7n, clientSeq: 1n, firstRevision: 1n, count: 1, durability: Durability.INTERVAL };
    relay.say({ case: "ack", value });
    expect(relay.events()).toMatchObject([{ type: "acknowledged", firstRevision: 1, durability: "interval" }]);
    expect(document.pending.isEmpty).toBe(true);
    relay.say({ case: "remoteOps", value: { document: 7n, revision: 4n, origin: 3n, operations: [bytes(1)] } });
    expect(relay.events()).toMatchObject([
      { type: "violation", message: "document board: revision 4 came where 2 was due" },
      { type: "disconnected" },
    ]);
  });

  test("that another client with this identity has made are not taken for these", () => {
    const relay = new Scripted();
    const document = opened(relay);
    relay.session.submit(document, bytes(1), relay.now);
    relay.pass(50);
    relay.sent();
    relay.say({ case: "close", value: { document: 7n, code: ErrorCode.REPLACED } });
    expect(types(relay)).toEqual(["acknowledged", "closed"].slice(1));
    expect(document.pending.count).toBe(1);
    relay.session.reopen(document);
    relay.sent();
    relay.say({
      case: "opened",
      value: {
        requestId: 1n,
        document: 7n,
        kind: "log",
        position: { epoch: 1n, revision: 2n },
        sync: SyncMode.DELTA,
        nextClock: 2n,
      },
    });
    const operations = [{ revision: 1n, origin: 42n, firstClock: 0n, operations: [bytes(8), bytes(9)] }];
    relay.say({ case: "syncResponse", value: { document: 7n, operations } });
    expect(types(relay)).toEqual(["opened", "presence", "remote", "synced"]);
    expect(relay.sent().map(({ body }) => body)).toMatchObject([
      { case: "operations", value: { firstClock: 2n, operations: [bytes(1)] } },
    ]);
  });
});

describe("catching up", () => {
  const page = (offset: bigint, data: Uint8Array, resumeToken: Uint8Array) => ({
    case: "syncResponse" as const,
    value: {
      document: 7n,
      snapshot: { revision: 9n, bytesTotal: 4n, offset, data, nextClock: 0n },
      hasMore: true,
      resumeToken,
    },
  });
  const snapshot = {
    requestId: 1n,
    document: 7n,
    kind: "log",
    position: { epoch: 1n, revision: 9n },
    fromRevision: 9n,
    sync: SyncMode.SNAPSHOT,
  };

  test("a snapshot comes in pieces, and goes on where it was cut off", () => {
    const relay = new Scripted();
    relay.session.open({ id: "board", kind: "log", create: true });
    relay.connect();
    relay.sent();
    relay.say({ case: "opened", value: snapshot });
    relay.say(page(0n, bytes(1, 2), bytes(5)));
    relay.session.handleDisconnected(relay.now);
    relay.now += 1000;
    relay.connect();
    expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "open", value: { resumeToken: bytes(5) } }]);
    relay.say({ case: "opened", value: snapshot });
    relay.say(page(2n, bytes(3, 4), bytes(6)));
    relay.say({ case: "syncResponse", value: { document: 7n } });
    expect(relay.events().slice(-2)).toMatchObject([
      { type: "snapshot", revision: 9, data: bytes(1, 2, 3, 4) },
      { type: "synced", revision: 9 },
    ]);
  });

  test("a resume token that is refused is left out", () => {
    const relay = new Scripted();
    relay.session.open({ id: "board", kind: "log", create: true });
    relay.connect();
    relay.sent();
    relay.say({ case: "opened", value: snapshot });
    relay.say(page(0n, bytes(1, 2), bytes(5)));
    relay.session.handleDisconnected(relay.now);
    relay.now += 1000;
    relay.connect();
    relay.sent();
    relay.say({ case: "error", value: { requestId: 1n, code: ErrorCode.RESUME_TOKEN_INVALID } });
    const [open] = relay.sent();
    expect(open!.body).toMatchObject({ case: "open", value: { resumeToken: bytes() } });
  });

  test("a piece that does not follow is a violation", () => {
    const relay = new Scripted();
    relay.session.open({ id: "board", kind: "log", create: true });
    relay.connect();
    relay.sent();
    relay.say({ case: "opened", value: snapshot });
    relay.events();
    relay.say(page(1n, bytes(1, 2), bytes(5)));
    expect(types(relay)).toEqual(["violation", "disconnected"]);
  });

  test("a snapshot that is too long closes the document", () => {
    const relay = new Scripted({ snapshotBytesMax: 3 });
    const document = relay.session.open({ id: "board", kind: "log", create: true });
    relay.connect();
    relay.sent();
    relay.say({ case: "opened", value: snapshot });
    relay.say(page(0n, bytes(1, 2), bytes(5)));
    expect(relay.events().at(-1)).toMatchObject({ type: "closed", refusal: { name: "MESSAGE_TOO_LARGE" } });
    expect(document.isClosed).toBe(true);
    expect(relay.sent().map(({ body }) => body.case)).toEqual(["close"]);
  });

  test("another epoch voids what was seen", () => {
    const relay = new Scripted();
    const document = opened(relay);
    relay.say({ case: "remoteOps", value: { document: 7n, revision: 1n, origin: 3n, operations: [bytes(1)] } });
    expect(document.have).toEqual({ epoch: 1, revision: 1 });
    const from = { epoch: 2n, revision: 0n };
    relay.say({ case: "resync", value: { document: 7n, reason: ResyncReason.VOID, from, sync: SyncMode.DELTA } });
    relay.say({ case: "syncResponse", value: { document: 7n } });
    expect(types(relay)).toEqual(["remote", "resync", "reset", "synced"]);
    expect(document.have).toEqual({ epoch: 2, revision: 0 });
  });

  test("what was overtaken goes on from where the relay says", () => {
    const relay = new Scripted();
    const document = opened(relay);
    const operations = [bytes(1), bytes(2)];
    relay.say({ case: "remoteOps", value: { document: 7n, revision: 1n, origin: 3n, operations } });
    const from = { epoch: 1n, revision: 1n };
    relay.say({ case: "resync", value: { document: 7n, reason: ResyncReason.LAPPED, from, sync: SyncMode.DELTA } });
    const again = [{ revision: 2n, origin: 3n, firstClock: 1n, operations: [bytes(2), bytes(3)] }];
    relay.say({ case: "syncResponse", value: { document: 7n, operations: again } });
    expect(relay.events().slice(-2)).toMatchObject([
      { type: "remote", revision: 3, firstClock: 2, operations: [bytes(3)] },
      { type: "synced", revision: 3 },
    ]);
    expect(document.have).toEqual({ epoch: 1, revision: 3 });
  });
});

describe("presence", () => {
  test("is sent ten times a second at most, the newest, and kept alive", () => {
    const relay = new Scripted();
    const document = opened(relay);
    const sent = (): unknown[] =>
      relay.sent().map(({ body }) => (body.case === "presence" ? body.value.cursor?.offset : body.case));
    for (let offset = 0n; offset < 5n; offset += 1n) document.announce({ cursor: { offset } });
    expect(sent()).toEqual([4n]);
    document.announce({ cursor: { offset: 5n } });
    document.announce({ cursor: { offset: 6n } });
    relay.pass(99);
    expect(sent()).toEqual([]);
    relay.pass(1);
    expect(sent()).toEqual([6n]);
    relay.pass(10_000);
    expect(sent()).toEqual(["heartbeat"]);
    document.announce({ leave: true });
    relay.pass(100);
    expect(sent()).toEqual([undefined]);
    relay.pass(20_000);
    expect(sent()).toEqual([]);
  });

  test("is told again on the next connection", () => {
    const relay = new Scripted();
    const document = opened(relay);
    document.announce({ isTyping: true });
    relay.sent();
    relay.session.handleDisconnected(relay.now);
    relay.now += 1000;
    relay.connect();
    relay.sent();
    relay.say({
      case: "opened",
      value: { requestId: 1n, document: 8n, kind: "log", position: { epoch: 1n, revision: 0n } },
    });
    expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "presence", value: { isTyping: true } }]);
  });
});

test("lists and deletions are asked one after the other, and again on the next connection", () => {
  const relay = new Scripted({ requestsMax: 2 });
  relay.connect();
  relay.events();
  const list = relay.session.ask({ type: "list", watch: true, prefix: "a" });
  const deletion = relay.session.ask({ type: "delete", documentId: "b", undo: false });
  expect(relay.session.ask({ type: "delete", documentId: "c", undo: false })).toBeUndefined();
  const [asked, ...others] = relay.sent();
  expect([asked!.body.case, others.length]).toEqual(["list", 0]);
  const requestId = 2n ** 32n;
  relay.say({
    case: "directory",
    value: { requestId, documents: [{ documentId: "a1", kind: "log" }], hasMore: false },
  });
  relay.say({ case: "directoryUpdate", value: { deleted: ["a1"] } });
  expect(relay.sent().map(({ body }) => body.case)).toEqual(["delete"]);
  relay.say({ case: "error", value: { requestId: requestId + 1n, code: ErrorCode.RATE_LIMITED, retryable: true } });
  relay.pass(100);
  expect(relay.sent().map(({ body }) => body.case)).toEqual(["delete"]);
  relay.say({ case: "error", value: { requestId: requestId + 1n, code: ErrorCode.FORBIDDEN } });
  expect(relay.events()).toMatchObject([
    { type: "answered", request: list, answer: { documents: [{ documentId: "a1", kind: "log" }] } },
    { type: "directory_update", request: list, update: { deleted: ["a1"] } },
    { type: "request_refused", request: deletion, refusal: { name: "FORBIDDEN" } },
  ]);
  relay.session.handleDisconnected(relay.now);
  relay.now += 1000;
  relay.connect();
  expect(relay.sent().map(({ body }) => body)).toMatchObject([{ case: "list", value: { prefix: "a", watch: true } }]);
});

test("a document's past is asked for, and what is saved of it, one after the other", () => {
  const relay = new Scripted();
  relay.connect();
  relay.events();
  const asks = [
    relay.session.ask({ type: "history", documentId: "a", newestFirst: true, fromTime: 5, limit: 2 }),
    relay.session.ask({ type: "save_version", documentId: "a", name: "draft", revision: 3 }),
    relay.session.ask({ type: "list_versions", documentId: "a" }),
    relay.session.ask({ type: "delete_version", documentId: "a", name: "draft" }),
  ];
  const bodies = [];
  const version = { name: "draft", revision: 3n, author: "ada", timeMs: 7n };
  const answers: Said[] = [
    { case: "historyPage", value: { kind: "text", entries: [{ revision: 1n, count: 2 }], nextRevision: 3n } },
    { case: "versionSaved", value: { version } },
    { case: "versions", value: { versions: [version] } },
    { case: "versionDeleted", value: { name: "draft" } },
  ];
  for (const [index, answer] of answers.entries()) {
    const [asked, ...others] = relay.sent();
    expect(others).toEqual([]);
    bodies.push(asked!.body);
    (answer.value as { requestId: bigint }).requestId = 2n ** 32n + BigInt(index);
    relay.say(answer);
  }
  expect(bodies).toMatchObject([
    { case: "history", value: { documentId: "a", newestFirst: true, fromRevision: 0n, fromTimeMs: 5n, limit: 2 } },
    { case: "saveVersion", value: { documentId: "a", name: "draft", revision: 3n } },
    { case: "listVersions", value: { documentId: "a" } },
    { case: "deleteVersion", value: { documentId: "a", name: "draft" } },
  ]);
  expect(relay.events()).toMatchObject([
    { type: "answered", request: asks[0], answer: { kind: "text", nextRevision: 3n } },
    { type: "answered", request: asks[1], answer: { version } },
    { type: "answered", request: asks[2], answer: { versions: [version] } },
    { type: "answered", request: asks[3], answer: { name: "draft" } },
  ]);
});
