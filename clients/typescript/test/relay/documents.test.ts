import { expect, test } from "vitest";

import { type DirectoryChange, json, type LogOperation, NotEditableError, RefusedError } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { until } from "../support/until.js";

interface Shape {
  kind: string;
  at: number;
}

test.each(["websocket", "events"] as const)("a log is the same for everybody, over %s", async (transport) => {
  const relay = await relayOf();
  const [ada, bob] = [clientOf(relay, { transports: [transport] }), clientOf(relay)];
  const codec = json<Shape>();
  const [board, same] = [ada.log("board", { codec }), bob.log("board", { codec })];
  const [here, there]: [LogOperation<Shape>[], LogOperation<Shape>[]] = [[], []];
  board.on("operation", (operation) => here.push(operation));
  same.on("operation", (operation) => there.push(operation));
  await Promise.all([board.loaded, same.loaded]);
  const pending: number[] = [];
  board.on("pending", (operations) => pending.push(operations.length));
  for (let at = 0; at < 120; at += 1) (at % 3 === 0 ? same : board).append({ kind: "dot ✨", at });
  await Promise.all([board.whenSaved(), same.whenSaved()]);
  await until(() => here.length === 120 && there.length === 120);
  expect(here.map(({ value }) => value)).toEqual(there.map(({ value }) => value));
  expect(here.map(({ revision }) => revision)).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
  expect(here.filter(({ isOwn }) => isOwn).length).toBe(80);
  expect(here.filter(({ isOwn }) => isOwn).map(({ clock }) => clock)).toEqual(
    Array.from({ length: 80 }, (_, it) => it),
  );
  expect(pending.at(-1)).toBe(0);
  expect(board.pending).toEqual([]);
});

test("bytes stay as they are over every way", async () => {
  const relay = await relayOf();
  const writer = clientOf(relay, { transports: ["events"] }).log("bytes");
  const reader = clientOf(relay, { transports: ["events"] }).log("bytes");
  const witness = clientOf(relay).log("bytes");
  const payloads = [
    '{ "a" : 1.0, "a":2 }',
    '[1e3 , "\\u00e9]"]',
    '{"base64":"x"}',
    " true",
    "not json",
    "\u0000é👋",
  ].map((it) => new TextEncoder().encode(it));
  payloads.push(Uint8Array.of(0xff, 0xfe, 0), new Uint8Array());
  const [read, seen]: [Uint8Array[], Uint8Array[]] = [[], []];
  reader.on("operation", ({ value }) => read.push(value));
  witness.on("operation", ({ value }) => seen.push(value));
  await Promise.all([writer.loaded, reader.loaded, witness.loaded]);
  for (const payload of payloads) writer.append(payload);
  await until(() => read.length === payloads.length && seen.length === payloads.length);
  expect(seen.map((it) => [...it])).toEqual(payloads.map((it) => [...it]));
  expect(read.map((it) => [...it])).toEqual(payloads.map((it) => [...it]));
});

test.each(["websocket", "events"] as const)(
  "a snapshot of a log stands for what it sums up, over %s",
  async (transport) => {
    const relay = await relayOf();
    const writer = clientOf(relay, { transports: [transport] }).log("board");
    await writer.loaded;
    for (let number = 0; number < 30; number += 1) writer.append(Uint8Array.of(number));
    await writer.whenSaved();
    // Longer than a message.
    const summary = new Uint8Array(1_500_000).fill(7);
    await writer.offerSnapshot(writer.revision, summary);
    await expect(writer.offerSnapshot(1, summary)).rejects.toMatchObject({ refusal: { name: "SNAPSHOT_INVALID" } });
    writer.append(Uint8Array.of(99));
    await writer.whenSaved();
    const reader = clientOf(relay, { transports: [transport] }).log("board");
    const told: unknown[] = [];
    reader.on("snapshot", ({ revision, data }) => told.push([revision, data.length, data.every((it) => it === 7)]));
    reader.on("operation", ({ revision, value }) => told.push([revision, ...value]));
    await reader.loaded;
    expect(told).toEqual([
      [30, 1_500_000, true],
      [31, 99],
    ]);
  },
);

test("an edit longer than a message is made in pieces", async () => {
  const relay = await relayOf();
  const [poem, same] = [clientOf(relay).text("poem"), clientOf(relay, { transports: ["events"] }).text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  poem.insert(0, "👋é\u0001x".repeat(300_000));
  await poem.whenSaved();
  await until(() => same.text === poem.text, "the other has it");
  const late = clientOf(relay).text("poem");
  await late.loaded;
  expect(late.text === poem.text).toBe(true);
});

test("an operation of a log that is longer than a message is refused at once", async () => {
  const relay = await relayOf();
  const board = clientOf(relay).log("board");
  await board.loaded;
  expect(() => board.append(new Uint8Array(1_100_000))).toThrow(RangeError);
  expect(board.pending).toEqual([]);
});

test("what cannot be an operation is refused before it is one", async () => {
  const client = clientOf(await relayOf());
  const [bytes, values] = [client.log("bytes"), client.log("values", { codec: json() })];
  await Promise.all([bytes.loaded, values.loaded]);
  expect(() => bytes.append("no bytes" as never)).toThrow(TypeError);
  expect(() => values.append(undefined)).toThrow(TypeError);
  expect([bytes.saved.state, values.saved.state]).toEqual(["saved", "saved"]);
});

test("a closed client takes nothing, and nobody waits for it", async () => {
  const relay = await relayOf();
  const client = clientOf(relay);
  const poem = client.text("poem");
  await poem.loaded;
  client.disconnect();
  poem.insert(0, "never sent");
  const late = client.text("late");
  const [saved, loaded] = [poem.whenSaved(), late.loaded];
  await client.close();
  await expect(saved).rejects.toThrow(RefusedError);
  await expect(loaded).rejects.toThrow(RefusedError);
  expect(() => poem.insert(0, "more")).toThrow(NotEditableError);
  expect([poem.state.state, poem.saved.state]).toEqual(["closed", "refused"]);
});

test("documents are listed, watched, deleted and brought back", async () => {
  const relay = await relayOf();
  const [client, other] = [clientOf(relay), clientOf(relay)];
  const changes: DirectoryChange[] = [];
  client.watch("poem", (change) => changes.push(change));
  const poem = other.text("poem 1");
  await poem.loaded;
  poem.insert(0, "x");
  await poem.whenSaved();
  await until(() => changes.some(({ created }) => created.some(({ id }) => id === "poem 1")));
  expect(await client.list({ prefix: "poem" })).toEqual({
    documents: [{ id: "poem 1", kind: "text" }],
    hasMore: false,
  });
  await client.delete("poem 1");
  await until(() => poem.state.state === "closed");
  expect(poem.state.refusal).toMatchObject({ name: "DOCUMENT_DELETED" });
  expect(poem.saved.state).toBe("saved");
  await expect(client.delete("poem 1")).rejects.toMatchObject({ refusal: { isPermanent: true } });
  await client.restore("poem 1");
  poem.reopen();
  await until(() => poem.state.state === "open");
  expect(poem.text).toBe("x");
});

test("a document that is not there, or is of another kind, is refused", async () => {
  const relay = await relayOf();
  const [client, other] = [clientOf(relay), clientOf(relay)];
  await expect(client.text("nowhere", { create: false }).loaded).rejects.toMatchObject({ refusal: { code: 4004 } });
  const board = client.log("board");
  await board.loaded;
  board.append(Uint8Array.of(1));
  await board.whenSaved();
  await expect(other.text("board").loaded).rejects.toMatchObject({ refusal: { name: "KIND_MISMATCH" } });
  expect(() => client.text("board")).toThrow(TypeError);
  for (const id of ["", "x".repeat(257), "a\nb"]) expect(() => client.text(id)).toThrow(RangeError);
});

test("edits that the relay refuses are given back", async () => {
  const relay = await relayOf(["document.bytes_max=1MiB", "connection.message_bytes_max=1MiB"]);
  const poem = clientOf(relay).text("poem");
  await poem.loaded;
  poem.insert(0, "short");
  await poem.whenSaved();
  const refused: string[] = [];
  poem.on("refused", ({ refusal, inserted }) => refused.push(refusal.name, String(inserted.length)));
  poem.insert(5, "y".repeat(1_200_000));
  await expect(poem.whenSaved()).rejects.toMatchObject({ refusal: { name: "DOCUMENT_TOO_LARGE" } });
  expect(poem.saved).toMatchObject({ state: "refused", refusal: { name: "DOCUMENT_TOO_LARGE" } });
  expect(refused[0]).toBe("DOCUMENT_TOO_LARGE");
  await until(() => poem.saved.pending === 0);
  poem.insert(0, "again ");
  await until(() => poem.saved.state === "saved");
  const reader = clientOf(relay).text("poem");
  await reader.loaded;
  expect(reader.text).toBe(poem.text);
});

test("presence comes, changes and goes", async () => {
  const relay = await relayOf();
  const [ada, bob] = [clientOf(relay, { userName: "Ada", userId: "ada" }), clientOf(relay, { userName: "Bob" })];
  const [poem, same] = [ada.text("poem"), bob.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  expect(poem.color).toMatch(/^#[0-9a-f]{6}$/);
  for (let offset = 0; offset <= 50; offset += 1)
    poem.announce({ selection: { anchor: 0, focus: offset }, isTyping: true });
  await until(() => [...same.peers.values()][0]?.selection?.focus.offset === 50);
  expect([...same.peers.values()]).toMatchObject([
    { clientId: ada.clientId, name: "Ada", userId: "ada", color: poem.color, isTyping: true },
  ]);
  expect(poem.peers.size).toBe(0);
  poem.leave();
  await until(() => same.peers.size === 0);
  poem.announce({ cursor: { block: "title", offset: 1 } });
  await until(() => [...same.peers.values()][0]?.cursor?.block === "title");
  await ada.close();
  await until(() => same.peers.size === 0);
});
