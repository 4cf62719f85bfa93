import { expect, test } from "vitest";

import type { Guest } from "../../src/document/host.js";
import { clientOf, relayOf } from "../support/clients.js";
import { until } from "../support/until.js";

test("two clients edit one text", async () => {
  const relay = await relayOf();
  const [ada, bob] = [clientOf(relay, { userName: "Ada" }), clientOf(relay, { userName: "Bob" })];
  const [poem, same] = [ada.text("poem"), bob.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  expect(poem.isEditable).toBe(true);
  poem.insert(0, "Roses are 👋");
  expect(poem.saved.state).toBe("saving");
  await poem.whenSaved();
  expect(poem.saved).toMatchObject({ state: "saved", pending: 0, durability: "always" });
  await until(() => same.text === "Roses are 👋");
  same.insert(12, " red");
  poem.delete(0, 6);
  await until(() => poem.text === same.text && poem.saved.state === "saved" && same.saved.state === "saved");
  expect(poem.text).toBe("are 👋 red");
  expect(ada.status).toMatchObject({ state: "connected", transport: "websocket" });
});

test("what is typed and deleted at once is not sent, and not waited for", async () => {
  const relay = await relayOf();
  const poem = clientOf(relay).text("poem");
  await poem.loaded;
  poem.insert(0, "a");
  await poem.whenSaved();
  poem.insert(1, "b");
  poem.delete(1, 1);
  expect(poem.saved).toMatchObject({ state: "saved", pending: 0 });
  expect((poem as unknown as Guest).pollTimeout()).toBeUndefined();
  poem.insert(1, "c");
  await poem.whenSaved();
  expect([poem.text, poem.revision]).toEqual(["ac", 2]);
});

test("what is typed while the relay is killed is there when it is back", async () => {
  const relay = await relayOf();
  const [ada, bob] = [clientOf(relay), clientOf(relay)];
  const [poem, same] = [ada.text("poem"), bob.text("poem")];
  await Promise.all([poem.loaded, same.loaded]);
  poem.insert(0, "one ");
  await poem.whenSaved();
  poem.insert(4, "two ");
  await relay.kill();
  await until(() => ada.status.state === "reconnecting" && bob.status.state === "reconnecting");
  poem.insert(poem.text.length, "three ");
  same.insert(0, "zero ");
  expect(poem.saved).toMatchObject({ state: "offline" });
  await relay.restart();
  await Promise.all([poem.whenSaved(), same.whenSaved()]);
  await until(() => poem.text === same.text);
  expect(poem.text).toBe("zero one two three ");
});
