import type { Refusal, Status } from "@corelay/client";
import { expect, describe as group, test } from "vitest";
import { linkTo, readAddress } from "../src/address";
import { documentName, initials, personName } from "../src/names";
import { noticeFor, type Outlook } from "../src/outcome";
import { describe, type Situation } from "../src/status";
import { userOf } from "../src/token";

const connected: Status = { state: "connected", attempts: 0, transport: "websocket" };
const calm: Situation = {
  status: connected,
  document: { state: "open" },
  saved: { state: "saved", pending: 0, durability: "always" },
  now_ms: 1_000,
};

function refusal(name: string): Refusal {
  return { code: 4000, name, message: `the words for ${name}`, isPermanent: true, retryAfterMs: 0 };
}

group("the state in words", () => {
  const offline = (pending: number): Situation => ({
    ...calm,
    status: { state: "offline", attempts: 0 },
    document: { state: "offline" },
    saved: { state: pending > 0 ? "offline" : "saved", pending, durability: "always" },
  });

  test.each<[string, Situation, string]>([
    ["all is on disk", calm, "Saved"],
    ["nothing was acknowledged yet", { ...calm, saved: { ...calm.saved, durability: undefined } }, "Saved"],
    ["written, and not synced", { ...calm, saved: { ...calm.saved, durability: "interval" } }, "Received"],
    ["on its way", { ...calm, saved: { state: "saving", pending: 2, durability: "always" } }, "Saving…"],
    ["refused", { ...calm, saved: { state: "refused", pending: 0, durability: "always" } }, "Some edits were refused"],
    ["opening", { ...calm, document: { state: "opening" } }, "Opening…"],
    ["catching up", { ...calm, document: { state: "catching_up" } }, "Catching up…"],
    ["no network", offline(0), "Offline"],
    ["no network, one edit", offline(1), "Offline: 1 edit waits here"],
    ["no network, many edits", offline(12_000), "Offline: 12,000 edits wait here"],
    [
      "the next attempt is near",
      { ...offline(3), status: { state: "reconnecting", attempts: 1, retryAt: 3_400 } },
      "Reconnecting in 3 s: 3 edits wait here",
    ],
    [
      "the attempt is being made",
      { ...offline(0), status: { state: "reconnecting", attempts: 1, retryAt: 1_000 } },
      "Reconnecting…",
    ],
    [
      "a wrong token",
      { ...offline(0), status: { state: "stopped", attempts: 0, refusal: refusal("UNAUTHORIZED") } },
      "The relay refused: it does not accept the token",
    ],
    [
      "replaced",
      { ...calm, document: { state: "closed", refusal: refusal("REPLACED") } },
      "The relay refused: another page has taken over",
    ],
    [
      "anything else",
      { ...calm, document: { state: "closed", refusal: refusal("TOO_MANY_DOCUMENTS") } },
      "The relay refused: the words for TOO_MANY_DOCUMENTS",
    ],
  ])("%s", (_, situation, words) => expect(describe(situation).text).toBe(words));

  test("what is spoken stays the same while the seconds are counted down", () => {
    const at = (now_ms: number) =>
      describe({ ...offline(3), status: { state: "reconnecting", attempts: 1, retryAt: 9_000 }, now_ms });
    expect(at(1_000).text).not.toBe(at(3_000).text);
    expect(at(1_000).spoken).toBe(at(3_000).spoken);
  });
});

group("the card", () => {
  const nothing = () => {};
  const choices = {
    connect: nothing,
    reopen: nothing,
    startAnew: nothing,
    copyText: nothing,
    copyLost: nothing,
    forgetLost: nothing,
  };
  const outlook: Outlook = {
    status: connected,
    document: { state: "open" },
    pending: 0,
    isFull: false,
    isPersistent: true,
    hasToken: false,
    lost: null,
  };
  const card = (change: Partial<Outlook>) => noticeFor({ ...outlook, ...change }, choices);
  const stopped = (name: string): Status => ({ state: "stopped", attempts: 0, refusal: refusal(name) });

  test("is not there when all is well, nor at the first failures", () => {
    expect(card({})).toBeNull();
    expect(card({ status: { state: "reconnecting", attempts: 3 } })).toBeNull();
  });

  test("asks for a token where one is wanted, and says what waits", () => {
    expect(card({ status: stopped("UNAUTHORIZED") })).toMatchObject({
      title: "This relay asks for a token",
      asksForToken: true,
    });
    const expired = card({ status: stopped("UNAUTHORIZED"), hasToken: true, pending: 2 });
    expect(expired?.title).toBe("Your token is not accepted");
    expect(expired?.body).toContain("2 edits wait here, and none of them is lost.");
  });

  test.each(["REPLACED", "DOCUMENT_DELETED", "KIND_MISMATCH", "FORBIDDEN"])("says what to do after %s", (name) => {
    const shown = card({ document: { state: "closed", refusal: refusal(name) } });
    expect(shown?.actions?.length).toBeGreaterThan(0);
  });

  test("offers what was not taken", () => {
    const shown = card({ lost: { text: "mine", refusal: refusal("DOCUMENT_TOO_LARGE") } });
    expect(shown?.body).toContain("the words for DOCUMENT_TOO_LARGE");
  });

  test("says where edits are kept when the relay is gone for long", () => {
    const away: Status = { state: "reconnecting", attempts: 5 };
    expect(card({ status: away })?.body).toContain("kept in this browser");
    expect(card({ status: away, isPersistent: false })?.body).toContain("kept in this page");
  });
});

group("addresses", () => {
  test.each([
    ["http://relay/#notes-7f3a", "notes-7f3a", ""],
    ["http://relay/?document=notes", "notes", ""],
    ["http://relay/#two%20words?token=a.b.c", "two words", "a.b.c"],
    ["http://relay/#100%", "100%", ""],
  ])("%s", (url, document, token) => expect(readAddress(new URL(url))).toEqual({ document, token }));

  test("a link leads back, and has no token", () => {
    const link = linkTo("a/b ?#%", new URL("http://relay/demo/?document=x#y?token=z"));
    expect(link.startsWith("http://relay/demo/#")).toBe(true);
    expect(readAddress(new URL(link))).toEqual({ document: "a/b ?#%", token: "" });
  });

  test("without a name there is a fresh one", () => {
    expect(readAddress(new URL("http://relay/")).document).toMatch(/^[a-z]+-[a-z]+-[0-9a-f]{4}$/);
  });
});

test("names", () => {
  expect(documentName()).not.toBe(documentName());
  expect(personName()).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
  expect(["Ada Lovelace", "ada", "  ", "Éa 👋"].map(initials)).toEqual(["AL", "A", "?", "É👋"]);
});

test("the user of a token, where it is one", () => {
  const claims = btoa(JSON.stringify({ sub: "ada", tenant: "acme" }));
  expect(userOf(`x.${claims}.y`)).toBe("acme/ada");
  expect(userOf("nonsense")).toBe("");
  expect(userOf("")).toBe("");
});
