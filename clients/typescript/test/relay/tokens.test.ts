import { expect, test } from "vitest";

import { NotEditableError } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { Issuer } from "../support/tokens.js";
import { until } from "../support/until.js";

test("a forged token stops the client for good, and it says why", async () => {
  const relay = await relayOf(new Issuer().settings);
  const client = clientOf(relay, { token: new Issuer().token("mallory", 60) });
  const poem = client.text("poem");
  await until(() => client.status.state === "stopped");
  expect(client.status.refusal).toMatchObject({ code: 4001, name: "UNAUTHORIZED", isPermanent: true });
  expect(poem.isEditable).toBe(false);
  expect(() => poem.insert(0, "x")).toThrow(NotEditableError);
});

test("a forged token from a function is asked for once more, and then stops the client", async () => {
  const relay = await relayOf(new Issuer().settings);
  const forger = new Issuer();
  const asked: string[] = [];
  let life = 60;
  const client = clientOf(relay, {
    token: (reason) => {
      asked.push(reason);
      life += 1;
      return forger.token("mallory", life);
    },
  });
  await until(() => client.status.state === "stopped");
  expect(asked).toEqual(["connect", "refused"]);
});

test("a token is renewed before it expires, and the connection stays", async () => {
  const issuer = new Issuer();
  const relay = await relayOf(issuer.settings);
  const asked: string[] = [];
  const states: string[] = [];
  const client = clientOf(relay, {
    settings: { tokenRenewalMs: 1500 },
    token: (reason) => {
      asked.push(reason);
      return Promise.resolve(issuer.token("ada", asked.length === 1 ? 3 : 60));
    },
  });
  client.on("status", ({ state }) => states.push(state));
  const poem = client.text("poem");
  await poem.loaded;
  const until4s = Date.now() + 4000;
  await until(() => Date.now() > until4s);
  expect(asked).toEqual(["connect", "expiring"]);
  poem.insert(0, "still here");
  await poem.whenSaved();
  expect(states).toEqual(["connected"]);
});

test("a token that has expired is replaced by another, and nothing is lost", async () => {
  const issuer = new Issuer();
  const relay = await relayOf(issuer.settings);
  const asked: string[] = [];
  const expired = issuer.token("ada", -3600);
  const client = clientOf(relay, {
    token: (reason) => {
      asked.push(reason);
      return reason === "connect" ? expired : issuer.token("ada", 60);
    },
  });
  const poem = client.text("poem");
  await poem.loaded;
  expect(asked).toEqual(["connect", "refused"]);
  poem.insert(0, "back");
  await poem.whenSaved();
});

test("without a token nobody is signed in, and the client stops", async () => {
  const relay = await relayOf(new Issuer().settings);
  const client = clientOf(relay, { token: () => null });
  await until(() => client.status.state === "stopped");
  expect(client.status.refusal).toMatchObject({ code: 0, name: "SIGNED_OUT" });
});

test("a token that cannot be had is asked for again", async () => {
  const issuer = new Issuer();
  const relay = await relayOf(issuer.settings);
  let failures = 0;
  const client = clientOf(relay, {
    token: () => {
      failures += 1;
      if (failures < 3) throw new Error("the backend does not answer");
      return issuer.token("ada", 60);
    },
  });
  const reasons: (string | undefined)[] = [];
  client.on("status", ({ reason }) => reasons.push(reason));
  await until(() => client.status.state === "connected");
  expect(reasons[0]).toContain("the backend does not answer");
});

test("who may not write reads, and what may not be read is refused", async () => {
  const issuer = new Issuer();
  const relay = await relayOf(issuer.settings);
  const writer = clientOf(relay, { token: issuer.token("ada", 60) }).text("poem");
  await writer.loaded;
  writer.insert(0, "read me");
  await writer.whenSaved();
  const token = issuer.token("bob", 60, { permissions: ["read"], documents: ["poem"] });
  const client = clientOf(relay, { token });
  const poem = client.text("poem");
  await poem.loaded;
  expect(poem.text).toBe("read me");
  expect(poem.permissions).toEqual({ read: true, write: false });
  expect(() => poem.insert(0, "x")).toThrow("does not permit writing");
  const secret = client.text("secret");
  await expect(secret.loaded).rejects.toMatchObject({ refusal: { code: 4003, name: "FORBIDDEN" } });
  expect(secret.state).toMatchObject({ state: "closed", refusal: { name: "FORBIDDEN" } });
});
