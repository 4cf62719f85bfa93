// The whiteboard.

import { expect, test } from "./demo.ts";

test("two people draw at once, and both see the same", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#sketch");
  const ben = await (await visitor()).open(relay, "#sketch");
  await ada.callMyself("Ada");
  await ben.callMyself("Ben");
  await ada.page.getByRole("radio", { name: "Orange" }).check();
  await Promise.all([
    ada.draw([0.1, 0.1], [0.5, 0.4], [0.3, 0.8]),
    ben.draw([0.9, 0.1], [0.5, 0.5], [0.8, 0.9]),
  ]);
  await expect(ada.lines).toHaveCount(2);
  await expect(ben.lines).toHaveCount(2);
  await expect(async () => expect(await ada.picture()).toEqual(await ben.picture())).toPass();
  await expect(ada.page.locator("#board-text")).toHaveText(/^2 lines: (1 by you, 1 by Ben|1 by Ben, 1 by you)\.$/);
  await expect(ben.page.locator(".pointer-name")).toHaveText("Ada");

  await ada.page.getByRole("button", { name: "Clear" }).click();
  await expect(ben.lines).toHaveCount(0);
  await ada.page.getByRole("button", { name: "Undo" }).click();
  await expect(ben.lines).toHaveCount(2);
  await ada.page.getByRole("button", { name: "Undo" }).click();
  await expect(ben.lines).toHaveCount(1);

  const carl = await (await visitor()).open(relay, "#sketch");
  await expect(carl.lines).toHaveCount(1);
  expect(await carl.picture()).toEqual(await ben.picture());
  await expect(carl.page.locator("#board-text")).toHaveText("One line: 1 by Ben.");
});

test("lines that are drawn offline are seen at once here, and later by the others", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#cave");
  const ben = await (await visitor()).open(relay, "#cave");
  await ada.isSaved();
  await ada.page.context().setOffline(true);
  await ada.draw([0.1, 0.5], [0.9, 0.5]);
  await ada.draw([0.5, 0.1], [0.5, 0.9]);
  await expect(ada.lines).toHaveCount(2);
  await expect(ada.state).toHaveText(/edits wait here$/);
  await ada.page.context().setOffline(false);
  await expect(ben.lines).toHaveCount(2);
  await ada.isSaved();
  expect(await ada.picture()).toEqual(await ben.picture());
});
