// What was written when, to be read, named, and brought back.

import { converge, type Demo, expect, test } from "./demo.ts";
import { Relay, tokenFor } from "./relay.ts";

async function openHistory(demo: Demo): Promise<void> {
  await demo.page.getByRole("button", { name: "History" }).click();
  await expect(demo.history).toBeVisible();
}

test("a text is read as it was, named, brought back, and that is undone", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#novel");
  const ben = await (await visitor()).open(relay, "#novel");
  await ada.callMyself("Ada");
  await ben.callMyself("Ben");
  await ada.type("It was a dark night. ");
  await converge(ada, ben);
  await ben.type("And a stormy one. ");
  await converge(ada, ben);

  await openHistory(ada);
  await expect(ada.editor).toBeHidden();
  await expect(ada.past).toHaveText("It was a dark night. And a stormy one. ");
  await expect(ada.past.locator("ins")).toContainText("And a stormy one. ");
  // One change, or two where the machine took its time.
  const today = ada.history.getByRole("group", { name: "Today" });
  await expect(today.getByRole("radio").first()).toBeChecked();
  await expect(today.locator(".point-more").first()).toContainText("Ben");
  await expect(today.locator(".point-more").last()).toContainText("You");
  await ada.history.getByLabel("Name what is shown").fill("First draft");
  await ada.page.keyboard.press("Enter");
  const version = ada.history.getByRole("radio", { name: /^First draft/ });
  await expect(version).toBeVisible();
  await expect(ada.page.locator("#announcer")).toHaveText("Saved the version “First draft”");
  await ada.history.getByLabel("Name what is shown").fill("First draft");
  await ada.history.getByRole("button", { name: "Save" }).click();
  await expect(ada.history.locator("#history-problem")).toHaveText("There is a version of that name already.");

  // What others write meanwhile waits until it is asked for.
  await ben.type("A shot rang out.");
  await ada.history.getByRole("button", { name: "Show newer changes" }).click();
  await expect(ada.past).toContainText("A shot rang out.");
  await expect(ada.history.locator("input:checked")).toBeFocused();
  await ada.page.keyboard.press("Escape");
  await expect(ada.history).toBeHidden();
  await expect(ada.page.getByRole("button", { name: "History" })).toBeFocused();
  expect(await converge(ada, ben)).toBe("It was a dark night. And a stormy one. A shot rang out.");

  await openHistory(ada);
  await version.check();
  await expect(ada.past).toHaveText("It was a dark night. And a stormy one. ");
  await expect(ada.past.locator("ins, del")).toHaveCount(0);
  await ada.history.getByRole("button", { name: "Restore this text" }).click();
  await expect(ada.history).toBeHidden();
  await expect(ada.editor).toBeFocused();
  expect(await converge(ada, ben)).toBe("It was a dark night. And a stormy one. ");
  await expect(ada.page.locator("#hint")).toHaveText("Restored. Undo takes it back.");
  await ada.page.keyboard.press("Control+z");
  expect(await converge(ada, ben)).toBe("It was a dark night. And a stormy one. A shot rang out.");

  await openHistory(ada);
  await ada.history.getByRole("button", { name: "Delete the version “First draft”" }).click();
  await expect(version).toHaveCount(0);
  await expect(ada.page.locator("#announcer")).toHaveText("Deleted the version “First draft”");
});

test("who has left is still named, to whoever comes later", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#diary");
  await ada.callMyself("Ada");
  await ada.type("I was here.");
  await ada.isSaved();
  await ada.callMyself("Ada Byron");
  await ada.isSaved();
  await ada.page.close();
  const carl = await (await visitor()).open(relay, "#diary");
  await carl.isSaved();
  await openHistory(carl);
  await expect(carl.history.locator(".point-more").first()).toHaveText("Ada Byron");
});

test("without a connection it says so, and comes when there is one", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#cellar");
  await ada.type("before");
  await ada.isSaved();
  // The part of the page itself is there.
  await openHistory(ada);
  await expect(ada.past).toHaveText("before");
  await ada.page.keyboard.press("Escape");
  await ada.page.context().setOffline(true);
  await openHistory(ada);
  await expect(ada.history.locator("#history-note")).toContainText("comes when there is a connection");
  await expect(ada.history.getByRole("button", { name: "Save" })).toBeDisabled();
  await ada.page.context().setOffline(false);
  await expect(ada.past).toHaveText("before");
  await expect(ada.history.locator("#history-note")).toBeHidden();
});

test("before the first word there is none, and without the permission to write nothing is brought back", async ({
  relay,
  visitor,
}) => {
  const ada = await (await visitor()).open(relay, "#blank");
  await ada.isSaved();
  await openHistory(ada);
  await expect(ada.history.locator("#history-note")).toHaveText(/^Nothing is written yet/);
  await expect(ada.history.getByRole("button", { name: "Restore this text" })).toBeDisabled();

  const guarded = await Relay.guarded();
  const writer = await (await visitor()).open(guarded, `#vault?token=${tokenFor("wendy")}`);
  await writer.type("words");
  await writer.isSaved();
  const reader = await (await visitor()).open(guarded, `#vault?token=${tokenFor("rita", { permissions: ["read"] })}`);
  await expect.poll(() => reader.text()).toBe("words");
  await openHistory(reader);
  await expect(reader.past).toHaveText("words");
  await expect(reader.history.locator(".point-more")).toHaveText("wendy");
  await expect(reader.history.getByRole("button", { name: "Restore this text" })).toBeDisabled();
  await expect(reader.history.getByLabel("Name what is shown")).toBeDisabled();
  await guarded.stop();
});
