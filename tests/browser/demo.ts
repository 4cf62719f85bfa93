// What the tests do with the page: open it, type, read, look at its state.

import { type Browser, type BrowserContext, expect, type Locator, type Page, test as base } from "@playwright/test";
import { Relay } from "./relay.ts";

export class Demo {
  /** What the page's own code threw or complained about. */
  readonly faults: string[] = [];

  constructor(readonly page: Page) {
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("console", (message) => {
      if (/Content Security Policy/.test(message.text())) this.faults.push(message.text());
    });
  }

  get editor(): Locator {
    return this.page.getByRole("textbox", { name: "Text of the document" });
  }

  get state(): Locator {
    return this.page.locator("#state-words");
  }

  get board(): Locator {
    return this.page.locator("#board");
  }

  get lines(): Locator {
    return this.page.locator("#board-picture path");
  }

  get history(): Locator {
    return this.page.locator("#history");
  }

  /** The text as it was, in the history. */
  get past(): Locator {
    return this.page.getByRole("region", { name: "The text as it was" });
  }

  get notice(): Locator {
    return this.page.locator("#notice");
  }

  /** The names of the others. */
  get people(): Locator {
    return this.page.locator("#people .person-name");
  }

  cursorOf(name: string): Locator {
    return this.page.locator("#editor .cm-corelay-cursor", { hasText: name });
  }

  figure(name: string): Locator {
    return this.page.locator("#figures .figure", { hasText: name }).locator("dd");
  }

  async open(relay: Relay, path: string): Promise<this> {
    await this.page.goto(`${relay.origin}/${path}`);
    return this;
  }

  async isSaved(): Promise<void> {
    await expect(this.state).toHaveText("Saved");
  }

  /** Types at the end of the text. */
  async type(text: string, delay_ms = 0): Promise<void> {
    await expect(this.editor).not.toHaveAttribute("aria-readonly");
    await this.editor.press("Control+End");
    await this.editor.pressSequentially(text, { delay: delay_ms });
  }

  /** The whole text, however much of it is rendered. */
  text(): Promise<string> {
    return this.editor.evaluate((content) =>
      String((content as unknown as { cmTile: { root: { view: { state: { doc: object } } } } }).cmTile.root.view.state.doc),
    );
  }

  async callMyself(name: string): Promise<void> {
    const field = this.page.getByLabel("Your name");
    await field.fill(name);
    await field.press("Enter");
  }

  /** Another page of the same browser. */
  async another(relay: Relay, path: string): Promise<Demo> {
    return new Demo(await this.page.context().newPage()).open(relay, path);
  }

  async draw(...points: [number, number][]): Promise<void> {
    await expect(this.board).toHaveAttribute("aria-disabled", "false");
    const box = await this.board.boundingBox();
    if (!box) throw new Error("the board is not to be seen");
    const [first, ...rest] = points.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height] as const);
    await this.page.mouse.move(...(first as [number, number]));
    await this.page.mouse.down();
    for (const point of rest) await this.page.mouse.move(point[0], point[1], { steps: 8 });
    await this.page.mouse.up();
  }

  /** The picture, as it is drawn. */
  async picture(): Promise<string[]> {
    return this.lines.evaluateAll((paths) => paths.map((path) => `${path.getAttribute("class")} ${path.getAttribute("d")}`));
  }
}

interface Fixtures {
  relay: Relay;
  /** Another browser's page: with its own storage. */
  visitor: (options?: Parameters<Browser["newContext"]>[0]) => Promise<Demo>;
}

export const test = base.extend<Fixtures>({
  relay: async ({}, use) => {
    const relay = await Relay.start();
    await use(relay);
    await relay.stop();
  },
  visitor: async ({ browser }, use) => {
    const contexts: BrowserContext[] = [];
    const demos: Demo[] = [];
    await use(async (options) => {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
      contexts.push(context);
      const demo = new Demo(await context.newPage());
      demos.push(demo);
      return demo;
    });
    for (const context of contexts) await context.close();
    expect(demos.flatMap((demo) => demo.faults)).toEqual([]);
  },
});

export { expect };

/** Both show the same text, and it is not on its way any more. */
export async function converge(one: Demo, other: Demo): Promise<string> {
  await one.isSaved();
  await other.isSaved();
  await expect(async () => expect(await one.text()).toBe(await other.text())).toPass({ timeout: 20_000 });
  return one.text();
}
