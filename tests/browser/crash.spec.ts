// The relay goes, and comes back.

import { converge, type Demo, expect, test } from "./demo.ts";

/** Collects, in the page, every text that stood there while the page said "Saved". */
async function watchSaved(demo: Demo): Promise<() => Promise<string[]>> {
  await demo.editor.evaluate((content) => {
    const words = document.getElementById("state-words") as HTMLElement;
    const shown = ((globalThis as { shownAsSaved?: string[] }).shownAsSaved = []) as string[];
    const look = () => {
      const { view } = (content as unknown as { cmTile: { root: { view: { state: { doc: object } } } } }).cmTile.root;
      if (words.textContent === "Saved") shown.push(String(view.state.doc));
    };
    new MutationObserver(look).observe(words, { childList: true, characterData: true, subtree: true });
  });
  return () => demo.page.evaluate(() => (globalThis as { shownAsSaved?: string[] }).shownAsSaved ?? []);
}

test("killed and restarted while two people type: both end equal, with all that was shown as saved", async ({
  relay,
  visitor,
}) => {
  const ada = await (await visitor()).open(relay, "#storm");
  const ben = await (await visitor()).open(relay, "#storm");
  await ada.isSaved();
  await ben.isSaved();
  const savedOfAda = await watchSaved(ada);
  const savedOfBen = await watchSaved(ben);

  const write = async (demo: Demo, letter: string) => {
    for (let word = 0; word < 24; word++) {
      await demo.type(`${letter}${word}. `, 4);
      await demo.page.waitForTimeout(word % 4 === 3 ? 350 : 20);
    }
  };
  const disturb = async () => {
    for (let kill = 0; kill < 2; kill++) {
      await ada.page.waitForTimeout(900);
      await relay.kill();
      await ada.page.waitForTimeout(400);
      await relay.up();
    }
  };
  await Promise.all([write(ada, "a"), write(ben, "b"), disturb()]);

  const text = await converge(ada, ben);
  const letters = (from: string, letter: string) => from.split(letter).length - 1;
  expect(letters(text, "a")).toBe(24);
  expect(letters(text, "b")).toBe(24);
  const shown = [...(await savedOfAda()), ...(await savedOfBen())];
  expect(shown.length).toBeGreaterThan(0);
  for (const earlier of shown) expect(isWithin(earlier, text), `${earlier} in ${text}`).toBe(true);

  const carl = await (await visitor()).open(relay, "#storm");
  await expect.poll(() => carl.text()).toBe(text);
});

/** Nobody deletes: what was there once is there in the end, in its order, with more between. */
function isWithin(earlier: string, text: string): boolean {
  let at = -1;
  return [...earlier].every((letter) => (at = text.indexOf(letter, at + 1)) >= 0);
}

test("gone for long: the page says so, takes what is written, and sends it", async ({ relay, visitor }) => {
  const ada = await visitor();
  await ada.page.clock.install();
  await ada.open(relay, "#night");
  await ada.type("before ");
  await ada.isSaved();

  await relay.kill();
  await expect(ada.state).toHaveText(/^Reconnecting/);
  await ada.type("during ");
  await expect(ada.state).toHaveText(/^Reconnecting.*: \d+ edits? waits? here$/);
  for (let minute = 0; minute < 60 && !(await ada.notice.isVisible()); minute++) {
    await ada.page.clock.fastForward("01:00");
    await ada.page.waitForTimeout(50);
  }
  await expect(ada.notice).toContainText("The relay does not answer");
  await expect(ada.notice).toContainText("kept in this browser");
  await ada.page.clock.fastForward("01:00:00");
  await ada.type("still ");

  await relay.up();
  await ada.notice.getByRole("button", { name: "Try now" }).click();
  await ada.page.clock.resume();
  await ada.isSaved();
  await expect(ada.notice).toBeHidden();
  const ben = await (await visitor()).open(relay, "#night");
  await expect.poll(() => ben.text()).toBe("before during still ");
});

test("a second tab has its unsaved edits after it is loaded again, whatever the first one does", async ({ relay, visitor }) => {
  const first = await (await visitor()).open(relay, "#tabs");
  await first.type("first ");
  await first.isSaved();
  const second = await first.another(relay, "#tabs");
  await second.isSaved();
  await first.page.context().setOffline(true);
  await second.type("second ");
  await second.draw([0.2, 0.2], [0.7, 0.6]);
  await expect(second.state).toHaveText(/edits wait here$/);
  await second.page.goto("about:blank");
  await first.page.close();
  await second.page.context().setOffline(false);
  await second.open(relay, "#tabs");
  await second.isSaved();
  await expect.poll(() => second.text()).toBe("first second ");
  await expect(second.lines).toHaveCount(1);
  const ben = await (await visitor()).open(relay, "#tabs");
  await expect.poll(() => ben.text()).toBe("first second ");
});

test("a page that is left with unsaved edits has them when it is opened again", async ({ relay, visitor }) => {
  const ada = await (await visitor()).open(relay, "#left");
  await ada.type("saved ");
  await ada.isSaved();
  await ada.page.context().setOffline(true);
  await ada.type("unsaved ");
  await ada.draw([0.2, 0.2], [0.7, 0.6]);
  await expect(ada.state).toHaveText(/edits wait here$/);
  await ada.page.goto("about:blank");
  await ada.page.context().setOffline(false);
  await ada.open(relay, "#left");
  await ada.isSaved();
  await expect.poll(() => ada.text()).toBe("saved unsaved ");
  await expect(ada.lines).toHaveCount(1);
  const ben = await (await visitor()).open(relay, "#left");
  await expect.poll(() => ben.text()).toBe("saved unsaved ");
  await expect(ben.lines).toHaveCount(1);
});
