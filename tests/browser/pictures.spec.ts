// The pictures in docs/. Taken where CORELAY_PICTURES is set: an ordinary run leaves the tree as it is.

import { fileURLToPath } from "node:url";
import { type Demo, expect, test } from "./demo.ts";

const PICTURES = process.env.CORELAY_PICTURES !== undefined;

const TEXT = `Summer trip

We leave on Friday at eight, from the north platform. Bring something warm: the hut is at two thousand metres, and the evenings are cold even in July.

To bring
  - the big map, and the small one
  - bread, cheese, apples, coffee
  - a rope (Ben has one)

The way up takes five hours if nobody stops to swim in the lake. Somebody always stops to swim in the lake.

`;

test.skip(!PICTURES, "CORELAY_PICTURES is not set");

test("the page in use, in light and dark, offline, and on a phone", async ({ relay, visitor }) => {
  test.setTimeout(300_000);
  const ada = await (await visitor({ colorScheme: "light" })).open(relay, "#summer-trip");
  const ben = await (await visitor()).open(relay, "#summer-trip");
  const mia = await (await visitor()).open(relay, "#summer-trip");
  await ada.callMyself("Ada");
  await ben.callMyself("Ben");
  await mia.callMyself("Mia Chen");
  await ada.editor.focus();
  await ada.page.keyboard.insertText(TEXT);
  await ada.isSaved();

  await mountains(ada, ben, mia);
  await ben.editor.press("Control+Home");
  for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "End"]) await ben.page.keyboard.press(key);
  await mia.editor.press("Control+End");
  for (let line = 0; line < 6; line++) await mia.page.keyboard.press("ArrowUp");
  for (let word = 0; word < 3; word++) await mia.page.keyboard.press("Control+Shift+ArrowRight");
  const box = await mia.board.boundingBox();
  if (box) await mia.page.mouse.move(box.x + box.width * 0.62, box.y + box.height * 0.32);
  await ada.type("I can drive back on Sunday.", 30);
  await ben.page.keyboard.type(" Ask Carl.", { delay: 30 });
  await ada.isSaved();
  await expect(ada.people).toHaveCount(2);
  await ada.page.waitForTimeout(700);
  await picture(ada, "light");
  await ada.page.emulateMedia({ colorScheme: "dark" });
  await picture(ada, "dark");

  await ada.page.emulateMedia({ colorScheme: "light" });
  await ada.page.getByRole("button", { name: "History" }).click();
  await name(ada, "As agreed on Friday");
  await ada.history.getByRole("radio", { name: /Ada|You/ }).first().focus();
  await picture(ada, "history");
  await ada.page.setViewportSize({ width: 390, height: 780 });
  await picture(ada, "phone-history");
  await ada.history.getByRole("button", { name: "Close" }).click();
  await picture(ada, "phone");
  await ada.page.getByRole("navigation").getByRole("button", { name: "Whiteboard" }).click();
  await picture(ada, "phone-whiteboard");
  await ada.page.getByRole("navigation").getByRole("button", { name: "People and relay" }).click();
  await picture(ada, "phone-people");
  await ada.page.setViewportSize({ width: 1440, height: 900 });

  await relay.kill();
  await ada.type(" Or Monday, if it is warm.");
  await expect(ada.notice).toBeVisible({ timeout: 40_000 });
  await picture(ada, "offline");
});

async function mountains(ada: Demo, ben: Demo, mia: Demo): Promise<void> {
  await ink(ada, "Blue", "Medium");
  await ada.draw([0.06, 0.74], [0.2, 0.5], [0.3, 0.34], [0.38, 0.46], [0.46, 0.3], [0.56, 0.2], [0.66, 0.4], [0.74, 0.5], [0.94, 0.76]);
  await ink(ben, "Green", "Broad");
  await ben.draw([0.08, 0.86], [0.3, 0.82], [0.5, 0.86], [0.72, 0.82], [0.92, 0.86]);
  await ink(mia, "Orange", "Medium");
  const sun = Array.from({ length: 25 }, (_, step) => (step / 24) * 2 * Math.PI);
  await mia.draw(...sun.map((turn): [number, number] => [0.82 + 0.06 * Math.cos(turn), 0.2 + 0.08 * Math.sin(turn)]));
  for (let ray = 0; ray < 8; ray++) {
    const turn = (ray / 8) * 2 * Math.PI;
    const at = (far: number): [number, number] => [0.82 + far * 0.75 * Math.cos(turn), 0.2 + far * Math.sin(turn)];
    await mia.draw(at(0.11), at(0.15));
  }
  await ink(ada, "Pink", "Fine");
  await ada.draw([0.12, 0.8], [0.24, 0.66], [0.34, 0.6], [0.42, 0.62], [0.5, 0.46], [0.56, 0.24]);
  await ada.draw([0.56, 0.2], [0.56, 0.1], [0.63, 0.13], [0.56, 0.16]);
}

/** Gives what the history shows a name. */
async function name(demo: Demo, version: string): Promise<void> {
  await demo.history.getByLabel("Name what is shown").fill(version);
  await demo.page.keyboard.press("Enter");
  await expect(demo.history.getByRole("radio", { name: version })).toBeVisible();
}

async function ink(demo: Demo, name: string, nib: string): Promise<void> {
  await demo.page.getByRole("radio", { name }).check();
  await demo.page.getByRole("radio", { name: nib }).check();
}

async function picture(demo: Demo, name: string): Promise<void> {
  await demo.page.waitForTimeout(300);
  await demo.page.screenshot({ path: fileURLToPath(new URL(`../../docs/demo-${name}.png`, import.meta.url)) });
}
