import { EventSource } from "eventsource";
import { expect, onTestFinished, test, vi } from "vitest";

import { QueueFullError } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { Proxy } from "../support/proxy.js";
import { pause, until } from "../support/until.js";

test("where WebSocket is blocked the same goes over events and posts", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  proxy.admits = (beginning) => !/upgrade: websocket/i.test(beginning);
  const blocked = clientOf(proxy, { userName: "Ada 👩‍🚀" });
  const free = clientOf(relay, { userName: "Bob" });
  const [poem, same] = [blocked.text("poem"), free.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  expect(blocked.status).toMatchObject({ state: "connected", transport: "events" });
  poem.insert(0, 'through the 𝄞 keyhole\n\u0001"');
  await poem.whenSaved();
  expect(poem.saved.durability).toBe("always");
  await until(() => same.text === poem.text);
  same.insert(0, "👋 ");
  await until(() => poem.text.startsWith("👋 "));
  poem.announce({ cursor: 3, fields: { mood: "calm", at: [1, 2.5] } });
  await until(() => same.peers.size === 1);
  const [ada] = [...same.peers.values()];
  expect(ada).toMatchObject({
    name: "Ada 👩‍🚀",
    cursor: { block: "", offset: 3 },
    fields: { mood: "calm", at: [1, 2.5] },
  });
  same.announce({ isTyping: true, fields: { nested: { a: null } } });
  await until(() => [...poem.peers.values()].some(({ isTyping }) => isTyping));
  expect([...poem.peers.values()][0]).toMatchObject({ name: "Bob", fields: { nested: { a: null } } });
  // The stream breaks, and what is typed meanwhile is there afterwards.
  proxy.cut();
  poem.insert(poem.text.length, " again");
  await poem.whenSaved();
  await until(() => same.text === poem.text);
  expect(await blocked.list()).toEqual({ documents: [{ id: "poem", kind: "text" }], hasMore: false });
});

test("in a browser the events come by EventSource", async () => {
  vi.stubGlobal("EventSource", EventSource);
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
  const relay = await relayOf();
  const client = clientOf(relay, { transports: ["events"] });
  const poem = client.text("poem");
  await poem.loaded;
  poem.insert(0, "one 👋");
  await poem.whenSaved();
  await relay.kill();
  await until(() => client.status.state === "reconnecting");
  poem.insert(0, "two ");
  await relay.restart();
  await poem.whenSaved();
  expect([poem.text, poem.revision]).toEqual(["two one 👋", 2]);
});

test("a WebSocket that opens and is dead is passed by", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  const dead = await Proxy.start(() => proxy.url);
  // What comes after the upgrade is lost, as behind a proxy that does not know it.
  let isUpgrade = false;
  dead.admits = (beginning) => {
    isUpgrade = /upgrade: websocket/i.test(beginning);
    dead.isSilent = isUpgrade;
    return true;
  };
  const client = clientOf(dead, { settings: { connectTimeoutMs: 300 } });
  const poem = client.text("poem");
  await poem.loaded;
  expect(client.status.transport).toBe("events");
});

test("a client that went by events goes back to WebSocket where that works", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  let isBlocked = true;
  proxy.admits = (beginning) => !isBlocked || !/upgrade: websocket/i.test(beginning);
  const client = clientOf(proxy);
  const poem = client.text("poem");
  await poem.loaded;
  expect(client.status.transport).toBe("events");
  isBlocked = false;
  poem.insert(0, "kept");
  await until(() => client.status.transport === "websocket");
  await poem.whenSaved();
  expect(poem.text).toBe("kept");
});

test("what is typed offline is sent when the relay is there again", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  const client = clientOf(proxy);
  const [poem, board] = [client.text("poem"), client.log("board")];
  await Promise.all([poem.loaded, board.loaded]);
  poem.insert(0, "the middle");
  await poem.whenSaved();
  proxy.isGone = true;
  proxy.cut();
  await until(() => client.status.state === "reconnecting" && client.status.attempts > 1);
  expect(client.status.retryAt).toBeGreaterThan(Date.now() - 1000);
  for (let number = 0; number < 500; number += 1) {
    // At the start and at the end in turn, or they would be one.
    poem.insert(number % 2 === 0 ? 0 : poem.text.length, `${number} `);
    board.append(Uint8Array.of(number & 0xff));
  }
  expect(poem.saved).toMatchObject({ state: "offline", pending: 500 });
  expect(poem.state.state).toBe("offline");
  expect(board.saved).toMatchObject({ state: "offline", pending: 500 });
  proxy.isGone = false;
  await Promise.all([poem.whenSaved(), board.whenSaved()]);
  expect([poem.revision, board.revision]).toEqual([501, 500]);
});

test("a queue that is full refuses what comes then, and keeps what it has", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  const settings = { waitingOperationsMax: 10, waitingBytesMax: 2000 };
  const client = clientOf(proxy, { settings });
  const [poem, board] = [client.text("poem"), client.log("board")];
  await Promise.all([poem.loaded, board.loaded]);
  proxy.isGone = true;
  proxy.cut();
  await until(() => client.status.state === "reconnecting");
  // A text makes one edit of many, as long as their bytes fit.
  for (let number = 0; number < 40; number += 1) poem.insert(number % 2 === 0 ? 0 : poem.text.length, "x");
  expect(poem.saved.isFull).toBe(false);
  const before = poem.text;
  expect(() => poem.insert(0, "y".repeat(700))).toThrow(QueueFullError);
  expect(poem.text).toBe(before);
  expect(poem.saved).toMatchObject({ state: "offline", isFull: true });
  for (let number = 0; number < 10; number += 1) board.append(Uint8Array.of(number));
  expect(() => board.append(Uint8Array.of(10))).toThrow(expect.objectContaining({ limit: "waitingOperationsMax" }));
  expect(board.saved).toMatchObject({ pending: 10, isFull: true });
  expect(board.pending.length).toBe(10);
  proxy.isGone = false;
  await Promise.all([poem.whenSaved(), board.whenSaved()]);
  expect(poem.saved.isFull || board.saved.isFull).toBe(false);
  poem.insert(0, "room again ");
  board.append(Uint8Array.of(11));
  await Promise.all([poem.whenSaved(), board.whenSaved()]);
  expect(board.revision).toBe(11);
});

test("a relay that vanishes without a word is noticed, and come back to", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  const client = clientOf(proxy, { settings: { stallPeriodMs: 200, pongTimeoutMs: 200, connectTimeoutMs: 200 } });
  const poem = client.text("poem");
  await poem.loaded;
  proxy.isSilent = true;
  poem.insert(0, "is anybody there? ");
  expect(poem.saved.state).toBe("saving");
  await until(() => poem.saved.state === "offline");
  expect(client.status.state).toBe("reconnecting");
  poem.insert(0, "hello, ");
  await until(() => client.status.attempts > 2);
  proxy.isSilent = false;
  await poem.whenSaved();
  expect(poem.text).toBe("hello, is anybody there? ");
});

test("a relay that stops says when to come back", async () => {
  const relay = await relayOf();
  const client = clientOf(relay);
  const poem = client.text("poem");
  await poem.loaded;
  poem.insert(0, "kept");
  await poem.whenSaved();
  await relay.kill("SIGTERM");
  await until(() => client.status.state === "reconnecting");
  await relay.restart();
  await until(() => client.status.state === "connected");
  poem.insert(4, " and more");
  await poem.whenSaved();
});

test("what was shown as saved is there after every kill of the relay", async () => {
  const relay = await relayOf();
  const [ada, bob] = [clientOf(relay), clientOf(relay)];
  const [poem, same] = [ada.text("poem"), bob.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  const saved: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const words = Array.from({ length: 30 }, (_, number) => `<${round}.${number}>`);
    for (const [index, word] of words.entries()) {
      poem.insert(0, word);
      if (poem.saved.state === "saved") saved.push(...words.slice(0, index));
      await pause(1);
    }
    await relay.kill();
    const isSaved = poem.saved.pending;
    saved.push(...words.slice(0, words.length - isSaved));
    await relay.restart();
    await poem.whenSaved();
  }
  await until(() => same.text === poem.text);
  const reader = clientOf(relay).text("poem");
  await reader.loaded;
  expect(reader.text).toBe(poem.text);
  for (const word of saved) expect(reader.text.split(word).length).toBe(2);
});

test("disconnect keeps what is typed, and connect sends it", async () => {
  const relay = await relayOf();
  const client = clientOf(relay);
  const poem = client.text("poem");
  await poem.loaded;
  client.disconnect();
  expect(client.status.state).toBe("offline");
  poem.insert(0, "later");
  await pause(50);
  expect(poem.saved).toMatchObject({ state: "offline", pending: 1 });
  client.connect();
  await poem.whenSaved();
  expect(client.status.state).toBe("connected");
});

test("a client with one document names it in its URL", async () => {
  const relay = await relayOf();
  const client = clientOf(relay, { document: "a poem/1 ü" });
  const poem = client.text("a poem/1 ü");
  await poem.loaded;
  poem.insert(0, "x");
  await poem.whenSaved();
  expect((await client.list()).documents).toEqual([{ id: "a poem/1 ü", kind: "text" }]);
});
