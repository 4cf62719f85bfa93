// Each refusal has an outcome that can be seen, and loses nothing that was shown as saved.

import { converge, expect, test } from "./demo.ts";
import { Relay, tokenFor } from "./relay.ts";

test.describe("with tokens", () => {
  let guarded: Relay;
  test.beforeEach(async () => {
    guarded = await Relay.guarded();
  });
  test.afterEach(() => guarded.stop());

  test("without one, the page asks for it, and goes on with it", async ({ visitor }) => {
    const ada = await (await visitor()).open(guarded, "#vault");
    await expect(ada.notice).toContainText("This relay asks for a token");
    await expect(ada.state).toHaveText(/^The relay refused/);
    await ada.page.getByRole("textbox", { name: "Token" }).fill(tokenFor("ada", { name: "Ada of the token" }));
    await ada.page.getByRole("button", { name: "Use this token" }).click();
    await ada.isSaved();
    await expect(ada.notice).toBeHidden();
    await ada.type("inside");
    await ada.isSaved();
    await ada.page.reload(); // The tab keeps it.
    await ada.isSaved();

    const ben = await (await visitor()).open(guarded, `#vault?token=${tokenFor("ben")}`);
    await expect.poll(() => ben.text()).toBe("inside");
    await expect(ben.people).toHaveText(["Ada of the token"]);
  });

  test("the token of a link is in no address", async ({ visitor }) => {
    const ada = await visitor();
    const token = tokenFor("ada");
    const asked: string[] = [];
    ada.page.on("request", (request) => asked.push(request.url()));
    ada.page.on("websocket", (socket) => asked.push(socket.url()));
    await ada.open(guarded, `#vault?token=${token}`);
    await ada.isSaved();
    await expect(ada.page).toHaveURL(`${guarded.origin}/#vault`);
    expect(asked.some((url) => url.startsWith("ws:"))).toBe(true);
    expect(asked.filter((url) => new URL(url).href.split("#")[0]?.includes(token))).toEqual([]);
  });

  test("a forged one is refused", async ({ visitor }) => {
    const mallory = await visitor();
    await mallory.open(guarded, `#vault?token=${tokenFor("ada", { secret: "a secret that somebody has made up, 01234567" })}`);
    await expect(mallory.notice).toContainText("Your token is not accepted");
    await expect(mallory.page.getByRole("textbox", { name: "Token" })).toBeVisible();
    await expect(mallory.editor).toHaveAttribute("aria-readonly", "true");
  });

  test("one that expires stops the page, and a fresh one sends what was written meanwhile", async ({ visitor }) => {
    const ada = await (await visitor()).open(guarded, `#vault?token=${tokenFor("ada", { lifetime_s: 4 })}`);
    await ada.type("early ");
    await ada.isSaved();
    await expect(ada.notice).toContainText("Your token is not accepted", { timeout: 30_000 });
    await ada.type("late ");
    await expect(ada.notice).toContainText("none of them is lost");
    await ada.page.getByRole("textbox", { name: "Token" }).fill(tokenFor("ada"));
    await ada.page.getByRole("button", { name: "Use this token" }).click();
    await ada.isSaved();
    const ben = await (await visitor()).open(guarded, `#vault?token=${tokenFor("ben")}`);
    await expect.poll(() => ben.text()).toBe("early late ");
  });

  test("one for another document opens nothing here", async ({ visitor }) => {
    const ada = await visitor();
    await ada.open(guarded, `#vault?token=${tokenFor("ada", { documents: ["garden*"] })}`);
    await expect(ada.notice).toContainText("Your token does not open this document");
    await expect(ada.page.getByRole("textbox", { name: "Token" })).toBeVisible();
  });

  test("one for the text alone leaves the whiteboard out", async ({ visitor }) => {
    const ada = await visitor();
    await ada.open(guarded, `#vault?token=${tokenFor("ada", { documents: ["vault"] })}`);
    await expect(ada.page.locator("#board-state")).toContainText("Refused");
    await ada.type("words");
    await ada.isSaved();
    await expect(ada.notice).toBeHidden();
  });
});

test("two tabs of one browser are two people, and the second says what is different", async ({ relay, visitor }) => {
  const first = await (await visitor()).open(relay, "#tabs");
  await first.isSaved();
  const second = await first.another(relay, "#tabs");
  await second.isSaved();
  await expect(second.page.locator("#memory-only")).toBeVisible();
  await expect(first.page.locator("#memory-only")).toBeHidden();
  await Promise.all([first.type("first "), second.type("SECOND ")]);
  const text = await converge(first, second);
  expect(text).toHaveLength("first SECOND ".length);
});

test("a copied identity replaces the page that had it, which can take it back", async ({ relay, visitor }) => {
  const first = await (await visitor()).open(relay, "#twins");
  await first.type("mine ");
  await first.isSaved();
  const storageState = await first.page.context().storageState();
  const second = await (await visitor({ storageState })).open(relay, "#twins");
  await second.isSaved();
  await expect(first.notice).toContainText("This document is open in another page");
  await expect(first.state).toHaveText("The relay refused: another page has taken over");
  await second.type("theirs ");
  await second.isSaved();
  await first.notice.getByRole("button", { name: "Use it here" }).click();
  await first.isSaved();
  await expect(first.notice).toBeHidden();
  await expect(second.notice).toContainText("This document is open in another page");
  await expect.poll(() => first.text()).toBe("mine theirs ");
});

test("a full queue stops the typing, keeps what is there, and goes on when there is room", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#flood");
  await ada.type("saved ");
  await ada.isSaved();
  await ada.page.context().setOffline(true);
  await ada.editor.focus();
  for (let part = 0; part < 10; part++) await ada.page.keyboard.insertText("flood ".repeat(10_000));
  await expect(ada.notice).toContainText("There is no more room for edits here");
  const shown = await ada.text();
  expect(shown.length).toBeGreaterThan(2 * 60_000);
  expect(shown.length).toBeLessThan(10 * 60_000);
  await ada.page.context().setOffline(false);
  await ada.isSaved();
  await expect(ada.notice).toBeHidden();
  expect(await ada.text()).toBe(shown);
  const ben = await (await visitor()).open(relay, "#flood");
  await expect.poll(() => ben.text()).toBe(shown);
});

test("a document of another kind is refused in words", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#shapes");
  await ada.draw([0.2, 0.2], [0.4, 0.4]);
  await ada.isSaved();
  const ben = await (await visitor()).open(relay, "#shapes-board");
  await expect(ben.notice).toContainText("The relay refused");
  await expect(ben.state).toHaveText("The relay refused: the document is not a text");
  await ben.notice.getByRole("button", { name: "Start a new document" }).click();
  await ben.isSaved();
});
