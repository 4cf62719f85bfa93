// Several people in one document.

import { converge, expect, test } from "./demo.ts";

test("two pages write at once, see each other's names and cursors, and end equal", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#poem");
  const ben = await (await visitor()).open(relay, "#poem");
  await ada.callMyself("Ada");
  await ben.callMyself("Ben");
  await ada.isSaved();
  await ben.isSaved();
  await expect(ada.people).toHaveText(["Ben"]);
  await expect(ben.people).toHaveText(["Ada"]);

  await Promise.all([ada.type("one two three four five ", 5), ben.type("EINS ZWEI DREI VIER FUENF ", 5)]);
  const text = await converge(ada, ben);
  expect([...text.replace(/[^a-z]/g, "")].sort()).toEqual([..."onetwothreefourfive"].sort());
  expect(text.replace(/[^A-Z]/g, "")).toHaveLength("EINSZWEIDREIVIERFUENF".length);

  await ada.editor.press("Control+Home");
  await expect(ben.cursorOf("Ada")).toBeAttached();
  await ben.editor.press("Control+Home");
  await expect(ada.cursorOf("Ben")).toBeAttached();

  await ben.callMyself("Benedict");
  await expect(ada.people).toHaveText(["Benedict"]);
  await ben.editor.press("End");
  await expect(ada.cursorOf("Benedict")).toBeAttached();
  await ben.page.close();
  await expect(ada.page.locator("#people-count")).toHaveText("only you");
});

test("somebody's cursor stays where it is, whoever writes there", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#cursors");
  const ben = await (await visitor()).open(relay, "#cursors");
  await ada.callMyself("Ada");
  await ada.type("aaaa");
  await converge(ada, ben);
  await ben.type(" bbbb");
  expect(await converge(ada, ben)).toBe("aaaa bbbb");
  const before = () =>
    ben.cursorOf("Ada").evaluate((cursor) => {
      let text = "";
      for (let node = cursor.previousSibling; node; node = node.previousSibling) text = node.textContent + text;
      return text;
    });
  await expect.poll(before).toBe("aaaa");
  await ada.page.keyboard.type("X");
  expect(await converge(ada, ben)).toBe("aaaaX bbbb");
  await expect.poll(before).toBe("aaaaX");
});

test("what is written offline is counted, and not lost", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#trip");
  const ben = await (await visitor()).open(relay, "#trip");
  await ada.type("together ");
  await converge(ada, ben);

  await ada.page.context().setOffline(true);
  await ada.type("away");
  await expect(ada.state).toHaveText(/^(Offline|Reconnecting.*): \d+ edits? waits? here$/);
  await ben.type("meanwhile ");
  await ben.isSaved();
  await ada.page.context().setOffline(false);

  const text = await converge(ada, ben);
  expect(text).toContain("together ");
  expect(text).toContain("away");
  expect(text).toContain("meanwhile ");
});

test("an undo takes back own edits only", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#undo");
  const ben = await (await visitor()).open(relay, "#undo");
  await ada.type("mine ");
  await converge(ada, ben);
  await ben.type("yours ");
  await converge(ada, ben);
  await ada.editor.press("Control+z");
  expect(await converge(ada, ben)).toBe("yours ");
});

test("keys that delete take whole characters, words, lines and selections", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#keys");
  await ada.type("one two three 👩‍👩‍👧é");
  const { keyboard } = ada.page;
  const press = async (keys: string[], text: string) => {
    for (const key of keys) await keyboard.press(key);
    await expect.poll(() => ada.text()).toBe(text);
  };
  await press(["Backspace"], "one two three 👩‍👩‍👧");
  await press(["Backspace"], "one two three ");
  await press(["Control+Backspace"], "one two ");
  await press(["Enter", "Space", "Space", "x", "Enter"], "one two \n  x\n  ");
  await press(["Home", "Backspace"], "one two \n  x  ");
  await press(["Control+Home", "Delete"], "ne two \n  x  ");
  await press(["End", "Delete"], "ne two   x  ");
  await press(["Shift+Home", "Backspace"], "  x  ");
  await press(["Control+Home", "Backspace", "Control+End", "Delete"], "  x  ");
  await press(["Control+a", "Delete"], "");
  await ada.isSaved();
});

test("a fresh visitor gets a name and a document, and the link leads there", async ({ relay, visitor }) => {
  const ada = await visitor({ permissions: ["clipboard-read", "clipboard-write"] });
  await ada.open(relay, "");
  await expect(ada.page.getByRole("link", { name: "Open a second window" })).toBeVisible();
  await expect(ada.page).toHaveURL(/\/#[a-z]+-[a-z]+-[0-9a-f]{4}$/);
  await expect(ada.page.getByLabel("Your name")).toHaveValue(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
  await ada.type("hello");
  await ada.isSaved();
  await ada.page.getByRole("button", { name: "Copy link" }).click();
  await expect(ada.page.locator("#copy")).toHaveText(/Copied/);
  const link = await ada.page.evaluate(() => navigator.clipboard.readText());
  expect(link).toBe(ada.page.url());

  const ben = await visitor();
  await ben.page.goto(link);
  await expect.poll(() => ben.text()).toBe("hello");
  await ada.page.reload();
  await expect.poll(() => ada.text()).toBe("hello");
});

test("the document can be named in the query, and moves on with the fragment", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "?document=from%20query");
  await expect(ada.page.getByRole("heading", { level: 1 })).toHaveText("from query");
  await expect(ada.page).toHaveURL(`${relay.origin}/#from%20query`);
  await ada.page.evaluate(() => {
    location.hash = "elsewhere";
  });
  await expect(ada.page.getByRole("heading", { level: 1 })).toHaveText("elsewhere");
  await ada.page.getByRole("link", { name: "corelay: start a new document" }).click();
  await expect(ada.page).toHaveURL(/\/#[a-z]+-[a-z]+-[0-9a-f]{4}$/);
});
