import { describe, expect, test } from "vitest";

import { json, type HistoryOptions, type HistoryPage } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { pause, until } from "../support/until.js";

const refused = (name: string): object => ({ refusal: { name, isPermanent: true } });

describe.each(["websocket", "events"] as const)("over %s", (transport) => {
  const transports = [transport] as const;

  test("it is told who wrote what when, page by page and from either end", async () => {
    const relay = await relayOf();
    const ada = clientOf(relay, { transports, userId: "ada" });
    const ben = clientOf(relay, { transports, userId: "ben" });
    const [poem, same] = [ada.text("poem"), ben.text("poem")];
    await Promise.all([poem.loaded, same.loaded]);
    const begun = Date.now();
    for (const word of ["one ", "two 👋 ", "three "]) {
      poem.insert(poem.text.length, word);
      await poem.whenSaved();
    }
    await until(() => same.text === poem.text);
    same.delete(0, 4);
    await same.whenSaved();

    const newest = await ada.history("poem", { newestFirst: true, limit: 3 });
    expect(newest).toMatchObject({ kind: "text", revision: 4, epoch: 1, firstRevision: 1, nextRevision: 1 });
    expect(newest.entries.map(({ revision, count, author }) => [revision, count, author])).toEqual([
      [4, 1, "ben"],
      [3, 1, "ada"],
      [2, 1, "ada"],
    ]);
    expect(newest.entries[0]).toMatchObject({ origin: ben.clientId });
    expect(newest.entries[0]).not.toHaveProperty("operations");
    for (const { time } of newest.entries) expect(time).toBeGreaterThanOrEqual(begun - 1000);
    const rest = await ada.history("poem", { newestFirst: true, fromRevision: newest.nextRevision! });
    expect(rest.entries.map(({ revision }) => revision)).toEqual([1]);
    expect(rest.nextRevision).toBeUndefined();

    const all = await ada.history("poem", { withOperations: true });
    if (all.kind !== "text") throw new Error("it is a text");
    const replayed = all.entries.flatMap(({ operations }) => operations!).reduce((text, it) => it.apply(text), "");
    expect(replayed).toBe("two 👋 three ");
  });

  test("a text is read as it was at a revision and at a time, and made that again", async () => {
    const relay = await relayOf();
    const ada = clientOf(relay, { transports, settings: { batchOperationsMax: 1 } });
    const ben = clientOf(relay);
    const [poem, same] = [ada.text("poem"), ben.text("poem")];
    await Promise.all([poem.loaded, same.loaded]);
    const states = [""];
    for (let word = 0; word < 12; word += 1) {
      poem.splice(0, word % 3, `${word} 𝄞 `);
      await poem.whenSaved();
      states[poem.revision] = poem.text;
    }
    const between = (await ada.history("poem", { newestFirst: true, limit: 1 })).entries[0]!.time;
    await pause(30);
    poem.insert(0, "late ");
    await poem.whenSaved();

    for (const [revision, text] of states.entries()) {
      expect(await ada.textAt("poem", { revision })).toEqual({ text, revision, epoch: 1 });
      const from = await ada.textAt("poem", { revision: revision >> 1 });
      expect(await ada.textAt("poem", { revision }, { from })).toMatchObject({ text });
    }
    const now = await ada.textAt("poem");
    expect(now).toEqual({ text: poem.text, revision: poem.revision, epoch: 1 });
    expect(await ada.textAt("poem", undefined, { from: now })).toEqual(now);
    expect(await ada.textAt("poem", { time: between })).toMatchObject({ text: states.at(-1) });
    expect(await ada.textAt("poem", { time: Date.now() + 60_000 })).toEqual(now);
    expect(await ada.textAt("poem", { time: 1000 })).toMatchObject({ text: "", revision: 0 });
    await expect(ada.textAt("poem", { revision: 99 })).rejects.toMatchObject(refused("REVISION_UNKNOWN"));
    await expect(ada.textAt("nothing")).rejects.toMatchObject(refused("DOCUMENT_NOT_FOUND"));
    const over = AbortSignal.abort();
    await expect(ada.textAt("poem", { revision: 3 }, { signal: over })).rejects.toMatchObject({ name: "AbortError" });

    await poem.revertTo({ revision: 5 });
    expect(poem.text).toBe(states[5]);
    await poem.whenSaved();
    await until(() => same.text === states[5]);
    // History has gone on.
    expect(await ada.textAt("poem", { revision: now.revision })).toEqual(now);
    expect(poem.revision).toBeGreaterThan(now.revision);
    await poem.revertTo({ time: between });
    expect(poem.text).toBe(states.at(-1));
  });

  test("what others type meanwhile is kept when a text is made what it was", async () => {
    const relay = await relayOf();
    const [ada, ben] = [clientOf(relay, { transports }), clientOf(relay)];
    const [poem, same] = [ada.text("poem"), ben.text("poem")];
    await Promise.all([poem.loaded, same.loaded]);
    poem.insert(0, "first words");
    await poem.whenSaved();
    poem.insert(11, " and more");
    await poem.whenSaved();
    await until(() => same.text === poem.text);
    same.insert(0, "> ");
    const reverted = poem.revertTo({ revision: 1 });
    await reverted;
    await Promise.all([poem.whenSaved(), same.whenSaved()]);
    await until(() => same.text === poem.text && same.revision === poem.revision);
    expect(["first words", "> first words"]).toContain(poem.text);
  });

  test("revisions have names", async () => {
    const relay = await relayOf(["document.versions_max=2"]);
    const client = clientOf(relay, { transports, userId: "ada" });
    await expect(client.versions("poem")).rejects.toMatchObject(refused("DOCUMENT_NOT_FOUND"));
    const poem = client.text("poem");
    await poem.loaded;
    poem.insert(0, "one ");
    await poem.whenSaved();
    poem.insert(0, "two ");
    await poem.whenSaved();
    expect(await client.versions("poem")).toEqual([]);
    const final = await client.saveVersion("poem", "final 👋");
    expect(final).toMatchObject({ name: "final 👋", revision: 2, author: "ada" });
    expect(final.time).toBeGreaterThan(1_600_000_000_000);
    const draft = await client.saveVersion("poem", "draft", 1);
    expect(await client.versions("poem")).toEqual([draft, final]);
    await expect(client.saveVersion("poem", "draft")).rejects.toMatchObject(refused("VERSION_EXISTS"));
    await expect(client.saveVersion("poem", "third")).rejects.toMatchObject(refused("TOO_MANY_VERSIONS"));
    await expect(client.saveVersion("poem", "")).rejects.toMatchObject(refused("VERSION_NAME_INVALID"));
    await client.deleteVersion("poem", "draft");
    await expect(client.saveVersion("poem", "third", 9)).rejects.toMatchObject(refused("REVISION_UNKNOWN"));
    await expect(client.deleteVersion("poem", "draft")).rejects.toMatchObject(refused("VERSION_NOT_FOUND"));
    expect(await client.versions("poem")).toEqual([final]);
  });

  test("a log tells its operations, as they were written", async () => {
    const relay = await relayOf();
    const client = clientOf(relay, { transports });
    const [board, raw] = [client.log("board", { codec: json<unknown>() }), client.log("raw")];
    await Promise.all([board.loaded, raw.loaded]);
    for (const value of [1, "two", { three: [3.5, null] }]) board.append(value);
    raw.append(Uint8Array.of(0xff, 0, 1));
    await Promise.all([board.whenSaved(), raw.whenSaved()]);
    const operations = (page: HistoryPage): Uint8Array[] => {
      if (page.kind !== "log") throw new Error("it is a log");
      return page.entries.flatMap((entry) => entry.operations!);
    };
    const options: HistoryOptions = { withOperations: true };
    const values = operations(await client.history("board", options)).map((it) => json().decode(it));
    expect(values).toEqual([1, "two", { three: [3.5, null] }]);
    expect(operations(await client.history("raw", options))).toEqual([Uint8Array.of(0xff, 0, 1)]);
    await expect(client.textAt("board")).rejects.toMatchObject(refused("KIND_MISMATCH"));
  });
});

test("what is asked while the relay is away is answered when it is back", async () => {
  const relay = await relayOf();
  const client = clientOf(relay);
  const poem = client.text("poem");
  await poem.loaded;
  poem.insert(0, "kept");
  await poem.whenSaved();
  await relay.kill();
  await until(() => client.status.state === "reconnecting");
  const [text, version] = [client.textAt("poem"), client.saveVersion("poem", "first")];
  await relay.restart();
  expect((await text).text).toBe("kept");
  expect((await version).revision).toBe(1);
});

test("a client that was closed answers nothing", async () => {
  const relay = await relayOf();
  const client = clientOf(relay, { autoConnect: false });
  const asked = client.history("poem");
  await client.close();
  await expect(asked).rejects.toMatchObject(refused("CLOSED"));
  await expect(client.versions("poem")).rejects.toMatchObject(refused("CLOSED"));
});
