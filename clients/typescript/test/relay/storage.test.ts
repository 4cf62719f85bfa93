import { expect, onTestFinished, test, vi } from "vitest";

import { json } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { Memory } from "../support/memory.js";
import { Proxy } from "../support/proxy.js";
import { pause, until } from "../support/until.js";

test("what was typed offline is sent by the next page", async () => {
  const relay = await relayOf();
  const proxy = await Proxy.start(() => relay.url);
  const storage = new Memory();
  const first = clientOf(proxy, { storage });
  const codec = json<number>();
  const [poem, board] = [first.text("poem"), first.log("board", { codec })];
  await Promise.all([poem.loaded, board.loaded]);
  expect(first.isPersistent).toBe(true);
  poem.insert(0, "online ");
  board.append(1);
  await Promise.all([poem.whenSaved(), board.whenSaved()]);
  proxy.isGone = true;
  proxy.cut();
  await until(() => first.status.state === "reconnecting");
  poem.insert(7, "offline 👋");
  board.append(2);
  await pause(300);
  const { clientId } = first;
  await first.close();

  const second = clientOf(proxy, { storage });
  const [again, board2] = [second.text("poem"), second.log("board", { codec })];
  await again.loaded;
  expect(again.text).toBe("online offline 👋");
  expect(again.saved).toMatchObject({ pending: 1 });
  again.insert(0, "still ");
  await board2.loaded;
  expect(board2.pending).toEqual([2]);
  board2.append(3);
  const values: number[] = [];
  board2.on("operation", ({ value }) => values.push(value));
  proxy.isGone = false;
  await Promise.all([again.whenSaved(), board2.whenSaved()]);
  expect(second.clientId).toBe(clientId);
  expect(again.text).toBe("still online offline 👋");
  expect(values).toEqual([1, 2, 3]);
  const reader = clientOf(relay).text("poem");
  await reader.loaded;
  expect(reader.text).toBe(again.text);
});

test("what was sent but not heard of is applied once, whatever the page had stored", async () => {
  const relay = await relayOf();
  for (let round = 0; round < 12; round += 1) {
    const proxy = await Proxy.start(() => relay.url);
    const storage = new Memory();
    const first = clientOf(proxy, { storage });
    const [poem, board] = [first.text(`poem ${round}`), first.log(`board ${round}`, { codec: json<string>() })];
    await Promise.all([poem.loaded, board.loaded]);
    let stored = new Map<string, string>();
    for (let number = 0; number < 6; number += 1) {
      poem.insert(0, `<${number}>`);
      board.append(`${number}`);
      // The storage is behind what is sent, by some edits.
      if (number === round % 6) stored = new Map(storage.values);
      await pause(round % 3 === 0 ? 30 : 110);
    }
    // The page dies: what was sent is not heard of.
    proxy.isSilent = round % 2 === 0;
    poem.insert(0, "<6>");
    board.append("6");
    first.disconnect();
    storage.values.clear();
    for (const [key, value] of stored) storage.values.set(key, value);

    const second = clientOf(relay, { storage: Object.assign(new Memory(), { values: storage.values }) });
    const again = second.text(poem.id);
    const values: string[] = [];
    const board2 = second.log(board.id, { codec: json<string>() });
    board2.on("operation", ({ value }) => values.push(value));
    if (again.isEditable) again.insert(0, "<new>");
    await Promise.all([again.loaded, board2.loaded]);
    again.insert(0, "<new>");
    board2.append("new");
    await Promise.all([again.whenSaved(), board2.whenSaved()]);
    const reader = clientOf(relay).text(poem.id);
    await reader.loaded;
    expect(reader.text).toBe(again.text);
    expect(values).toContain("new");
    for (const word of ["<new>", "<0>", "<1>", "<2>"])
      expect(reader.text.split(word).length - 1).toBeLessThanOrEqual(1);
    expect(new Set(values).size).toBe(values.length);
  }
});

test("two pages with one identity: the older one is told, and can take the document back", async () => {
  const relay = await relayOf();
  const storage = new Memory();
  const first = clientOf(relay, { storage });
  const poem = first.text("poem");
  await poem.loaded;
  poem.insert(0, "first ");
  await poem.whenSaved();
  await pause(200);
  // There are no locks here: nobody can know.
  const second = clientOf(relay, { storage });
  const same = second.text("poem");
  await same.loaded;
  await until(() => poem.state.state === "closed");
  expect(poem.state.refusal).toMatchObject({ code: 4015, name: "REPLACED" });
  expect(poem.isEditable).toBe(false);
  expect(() => poem.insert(0, "x")).toThrow("closed");
  expect(poem.saved.state).toBe("saved");
  same.insert(0, "second ");
  await same.whenSaved();
  poem.reopen();
  await until(() => poem.state.state === "open");
  expect(poem.text).toBe("second first ");
  await until(() => same.state.refusal?.name === "REPLACED");
  poem.insert(0, "first again ");
  await poem.whenSaved();
});

/** Web Locks, as of one browser, which takes its time. */
function stubLocks(delay_ms = 0): void {
  const held = new Set<string>();
  const request = async (
    name: string,
    _: { ifAvailable: true },
    callback: (lock: object | null) => Promise<void>,
  ): Promise<void> => {
    await pause(delay_ms);
    if (held.has(name)) return callback(null);
    held.add(name);
    await callback({ name });
    held.delete(name);
  };
  vi.stubGlobal("navigator", { onLine: true, locks: { request } });
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
}

test("where there are locks, the second page has an identity of its own", async () => {
  stubLocks();
  const relay = await relayOf();
  const storage = new Memory();
  const [first, second] = [clientOf(relay, { storage }), clientOf(relay, { storage })];
  const [poem, same] = [first.text("poem"), second.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  expect(first.clientId).not.toBe(second.clientId);
  expect([first.isPersistent, second.isPersistent]).toEqual([true, false]);
  poem.insert(0, "a");
  same.insert(0, "b");
  await Promise.all([poem.whenSaved(), same.whenSaved()]);
  await until(() => poem.text === same.text);
  const { clientId } = first;
  await first.close();
  const third = clientOf(relay, { storage });
  await until(() => third.status.state === "connected");
  expect(third.clientId).toBe(clientId);
});

test("a browser that is slow to say whether another page has the identity is waited for", async () => {
  stubLocks(600);
  const relay = await relayOf();
  const storage = new Memory();
  const tabStorage = new Memory();
  const [first, second] = [clientOf(relay, { storage }), clientOf(relay, { storage, tabStorage })];
  await first.text("poem").loaded;
  await second.text("poem").loaded;
  expect([first.isPersistent, second.isPersistent]).toEqual([true, false]);
  expect(tabStorage.values.size).toBe(1);
});

test("the second page's edits outlive its reload, and a copy of its tab has none of them", async () => {
  stubLocks();
  const relay = await relayOf();
  const storage = new Memory();
  const first = clientOf(relay, { storage, tabStorage: new Memory() });
  const poem = first.text("poem");
  await poem.loaded;
  poem.insert(0, "first ");
  await poem.whenSaved();

  const tabStorage = new Memory();
  const second = clientOf(relay, { storage, tabStorage });
  const same = second.text("poem");
  await same.loaded;
  expect([first.isPersistent, second.isPersistent]).toEqual([true, false]);
  second.disconnect();
  same.insert(0, "away ");
  await pause(300);
  const { clientId } = second;
  // The tab is copied while it is open, with its storage.
  const copied = Object.assign(new Memory(), { values: new Map(tabStorage.values) });
  const copy = clientOf(relay, { storage, tabStorage: copied });
  const third = copy.text("poem");
  await third.loaded;
  expect(new Set([first, second, copy].map((client) => client.clientId)).size).toBe(3);
  expect([third.text, third.saved.pending]).toEqual(["first ", 0]);

  // The tab keeps its identity, whoever else has gone meanwhile.
  await second.close();
  await first.close();
  const again = clientOf(relay, { storage, tabStorage });
  const reloaded = again.text("poem");
  await reloaded.loaded;
  expect(reloaded.text).toBe("away first ");
  await reloaded.whenSaved();
  expect(again.clientId).toBe(clientId);
  await until(() => third.text === "away first ");
});

test("a page that is loaded again has the stored identity, however slowly the one before it goes", async () => {
  stubLocks();
  const relay = await relayOf();
  const [storage, tabStorage] = [new Memory(), new Memory()];
  const before = clientOf(relay, { storage, tabStorage });
  await until(() => before.status.state === "connected");
  setTimeout(() => void before.close(), 1200);
  const after = clientOf(relay, { storage, tabStorage });
  await until(() => after.status.state === "connected");
  expect([after.isPersistent, after.clientId]).toEqual([true, before.clientId]);
});

test("a storage that fails is left alone, and said", async () => {
  const relay = await relayOf();
  const storage = new Memory();
  const client = clientOf(relay, { storage });
  const problems: string[] = [];
  client.on("problem", ({ message }) => problems.push(message));
  const poem = client.text("poem");
  await poem.loaded;
  storage.hasFailed = true;
  poem.insert(0, "x");
  await poem.whenSaved();
  await until(() => !client.isPersistent);
  expect(problems).toEqual([expect.stringContaining("the storage has failed")]);
  poem.insert(0, "y");
  await poem.whenSaved();
});
