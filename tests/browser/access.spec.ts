// The page without a mouse, and without eyes.

import { violations } from "./axe.ts";
import { expect, test } from "./demo.ts";
import { Relay } from "./relay.ts";

test("axe finds nothing: fresh, in company, offline, and where the relay is away", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#axe");
  await ada.isSaved();
  expect(await violations(ada.page)).toEqual([]);

  const ben = await (await visitor()).open(relay, "#axe");
  await ada.type("a text with somebody in it");
  await ben.editor.press("Control+A");
  await ben.draw([0.2, 0.2], [0.6, 0.4]);
  await expect(ada.lines).toHaveCount(1);
  await expect(ada.people).toHaveCount(1);
  expect(await violations(ada.page)).toEqual([]);

  await ada.page.context().setOffline(true);
  await ada.type(" and more");
  await expect(ada.state).toHaveText(/waits? here$/);
  expect(await violations(ada.page)).toEqual([]);
});

test("axe finds nothing: with a card, and with the form for a token", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#axe");
  await ada.isSaved();
  const twin = await visitor({ storageState: await ada.page.context().storageState() });
  await twin.open(relay, "#axe");
  await expect(ada.notice).toBeVisible();
  expect(await violations(ada.page)).toEqual([]);

  const guarded = await Relay.guarded();
  const ben = await (await visitor()).open(guarded, "#axe");
  await expect(ben.page.getByRole("textbox", { name: "Token" })).toBeVisible();
  expect(await violations(ben.page)).toEqual([]);
  await guarded.stop();
});

test("axe finds nothing: in the history, wide and on a phone", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#axe");
  await ada.type("some words of some importance");
  await ada.isSaved();
  const { page } = ada;
  await page.getByRole("button", { name: "History" }).click();
  await expect(ada.past).toHaveText("some words of some importance");
  await page.getByLabel("Name what is shown").fill("a version with quite a long name, so that it has to be cut somewhere");
  await page.keyboard.press("Enter");
  await expect(ada.history.getByRole("radio", { name: /^a version/ })).toBeVisible();
  expect(await violations(ada.page)).toEqual([]);
  await page.keyboard.press("Escape");
  await ada.editor.press("Control+a");
  await ada.editor.press("Delete");
  await ada.isSaved();
  await page.setViewportSize({ width: 380, height: 740 });
  await page.getByRole("button", { name: "History" }).click();
  await ada.history.getByRole("radio", { name: /^a version/ }).check();
  await expect(ada.past).toHaveText("some words of some importance");
  expect(await violations(ada.page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(380);
});

test("the history with the keyboard alone", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#keys");
  const { keyboard } = ada.page;
  await ada.type("one");
  await ada.isSaved();
  await keyboard.press("Tab");
  await expect(ada.page.getByRole("button", { name: "History" })).toBeFocused();
  await keyboard.press("Enter");
  await expect(ada.history.getByRole("radio")).toBeFocused();
  await expect(ada.page.locator("#announcer")).toHaveText(/^Shown: today, .*, by you: 3 characters added$/);
  await keyboard.press("Tab");
  await expect(ada.page.getByLabel("Name what is shown")).toBeFocused();
  await keyboard.type("One");
  await keyboard.press("Enter");
  await expect(ada.page.locator("#announcer")).toHaveText("Saved the version “One”");
  await expect(ada.page.getByLabel("Name what is shown")).toBeFocused();
  await keyboard.press("Escape");
  await ada.type(" two");
  await ada.isSaved();
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await expect(ada.history.getByRole("radio", { name: /You/ }).first()).toBeFocused();
  await keyboard.press("ArrowUp");
  await expect(ada.history.getByRole("radio", { name: /^One/ })).toBeFocused();
  await expect(ada.past).toHaveText("one");
  await ada.page.getByRole("heading", { name: "History" }).focus();
  await keyboard.press("Tab");
  await expect(ada.page.getByRole("button", { name: "Restore this text" })).toBeFocused();
  await keyboard.press("Enter");
  await expect.poll(() => ada.text()).toBe("one");
  await keyboard.type("!");
  await expect.poll(() => ada.text()).toContain("!");
});

test("axe finds nothing on a phone, in each of the views, and nothing is wider than it", async ({ relay, visitor }) => {
  const ada = await visitor({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await ada.open(relay, "#a-document-with-quite-a-long-name");
  await ada.isSaved();
  for (const view of ["Text", "Whiteboard", "People and relay"]) {
    await ada.page.getByRole("navigation").getByRole("button", { name: view }).tap();
    expect(await violations(ada.page)).toEqual([]);
    expect(await ada.page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  }
});

test("a tour with the keyboard alone", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#keys");
  const { page } = ada;
  const { keyboard } = page;
  await ada.isSaved();

  await keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Skip to the text" })).toBeFocused();
  await keyboard.press("Enter");
  await keyboard.type("typed with keys");
  await expect.poll(() => ada.text()).toBe("typed with keys");

  // Tab leaves the text; the history, the ink, the pen, and the drawing area follow.
  await keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "History" })).toBeFocused();
  await keyboard.press("Tab");
  await expect(page.getByRole("radio", { name: "Blue" })).toBeFocused();
  await keyboard.press("ArrowRight");
  await expect(page.getByRole("radio", { name: "Green" })).toBeChecked();
  await keyboard.press("Tab");
  await expect(page.getByRole("radio", { name: "Medium" })).toBeFocused();
  await keyboard.press("Tab");
  await expect(ada.board).toBeFocused();
  await keyboard.press("Space");
  for (const key of ["ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "ArrowLeft"]) await keyboard.press(key);
  await keyboard.press("Space");
  await expect(page.locator("#announcer")).toHaveText("Pen lifted, the line is drawn");
  await expect(ada.lines).toHaveCount(1);
  await expect(page.locator("#board-text")).toHaveText("One line: 1 by you.");
  await keyboard.press("z");
  await expect(ada.lines).toHaveCount(0);

  await keyboard.press("Tab");
  await expect(page.getByLabel("Your name")).toBeFocused();
  await keyboard.press("Control+A");
  await keyboard.type("Keyboard Ada");
  await keyboard.press("Enter");
  await page.reload();
  await expect(page.getByLabel("Your name")).toHaveValue("Keyboard Ada");

  await page.getByRole("button", { name: "Copy link" }).focus();
  await keyboard.press("Enter");
  await expect(page.locator("#announcer")).toHaveText("The link is copied");
  await keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Use dark colours" })).toBeFocused();
  await keyboard.press("Enter");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});

test("a screen reader is told what lasts, not each step on the way", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#ear");
  await expect(ada.page.locator("#announcer")).toHaveText("Saved");
  await ada.page.evaluate(() => {
    const said = ((globalThis as { said?: string[] }).said = []) as string[];
    const region = document.getElementById("announcer") as HTMLElement;
    new MutationObserver(() => said.push(region.textContent ?? "")).observe(region, { childList: true, subtree: true });
  });
  await ada.type("many words, each of them saved soon after it was typed", 30);
  await ada.isSaved();
  await ada.page.context().setOffline(true);
  await ada.type("x");
  await expect(ada.page.locator("#announcer")).toHaveText(/^Offline/);
  expect(await ada.page.evaluate(() => (globalThis as { said?: string[] }).said)).toHaveLength(1);
});
