// The page at the admin address, with a load behind it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test as base, expect, type Locator, type Page } from "@playwright/test";
import { violations } from "./axe.ts";
import { BINARY, Relay } from "./relay.ts";

class Dashboard {
  /** What the page's own code threw or complained about. */
  readonly faults: string[] = [];

  constructor(
    readonly page: Page,
    readonly relay: Relay,
  ) {
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("dialog", (dialog) => this.faults.push(dialog.message()));
    page.on("console", (message) => {
      if (/Content Security Policy/.test(message.text())) this.faults.push(message.text());
    });
  }

  async open(): Promise<this> {
    await this.page.goto(this.relay.admin);
    await expect(this.state).toHaveText("Ready");
    return this;
  }

  get state(): Locator {
    return this.page.locator("#state-words");
  }

  tile(name: string): Locator {
    return this.page.locator(".tile", { has: this.page.getByText(name, { exact: true }) });
  }

  /** How many there were in all, by the page. */
  async counted(name: string): Promise<number> {
    const words = await this.tile(name).locator(".beside").innerText();
    return Number(words.replace(" in all", "").replaceAll(",", ""));
  }

  rate(name: string): Promise<number> {
    return this.tile(name)
      .locator(".value")
      .innerText()
      .then((words) => Number(words.replaceAll(",", "")));
  }
}

/** Of a shard. */
const NOT_SHOWN = ["bytes_in_per_second", "bytes_out_per_second", "ack", "fanout"];

const SHAPE = ["--documents", "8", "--clients", "6", "--writers", "2", "--operations-per-second", "900"];

/** `corelay load`, until it ends or is ended. */
function load(relay: Relay, ...shape: string[]): ChildProcess {
  const url = relay.origin.replace("http", "ws");
  return spawn(BINARY, ["load", "--url", url, "--warm-up", "0.2", ...shape], { stdio: "ignore" });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** The sum over all shards of a number in /metrics. */
async function metric(relay: Relay, name: string): Promise<number> {
  const text = await (await fetch(`${relay.admin}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`corelay_${name}{`) || line.startsWith(`corelay_${name} `));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const test = base.extend<{ relay: Relay; dashboard: Dashboard }>({
  relay: async ({}, use) => {
    const relay = await Relay.start("shards.cores=2");
    await use(relay);
    await relay.stop();
  },
  dashboard: async ({ page, relay }, use) => {
    const dashboard = new Dashboard(page, relay);
    await use(dashboard);
    expect(dashboard.faults).toEqual([]);
  },
});

test("figures move under load, and agree with /metrics", async ({ relay, dashboard }) => {
  const { headers } = await fetch(relay.admin);
  expect(headers.get("content-encoding")).toBe("gzip");
  expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
  await dashboard.open();
  await expect(dashboard.page.locator("#hottest-empty")).toBeVisible();
  const child = load(relay, ...SHAPE, "--duration", "4");
  const ended = once(child, "exit");
  await expect.poll(() => dashboard.rate("Operations/s")).toBeGreaterThan(100);
  const earlier = await dashboard.counted("Operations/s");
  await expect.poll(() => dashboard.counted("Operations/s")).toBeGreaterThan(earlier);
  await expect(dashboard.page.getByRole("article")).toHaveCount(2);
  await expect(dashboard.page.locator("#hottest tr")).toHaveCount(8);
  await expect(dashboard.page.getByRole("row", { name: /^Until acknowledged/ })).toHaveText(/(ms|µs|\ds)$/);
  await expect(dashboard.page.locator("#latency-plot path.p50")).toHaveAttribute("d", /L/);

  expect(await ended).toEqual([0, null]);
  for (const [name, counter] of [
    ["Operations/s", "operations_total"],
    ["Deliveries/s", "deliveries_total"],
  ] as const) {
    await expect(async () => {
      expect(await dashboard.counted(name)).toBe(await metric(relay, counter));
    }).toPass();
    expect(await metric(relay, counter)).toBeGreaterThan(500);
  }
  await expect(dashboard.tile("Documents in memory").locator(".value")).toHaveText(String(await metric(relay, "documents")));
  await expect(dashboard.tile("Connections").locator(".value")).toHaveText("0");
  await expect.poll(() => dashboard.rate("Operations/s")).toBe(0);
});

/** What Rust makes of two overviews: src/overview/vectors.rs writes it. */
type Vector = { name: string; older: unknown; newer: unknown; change?: { shards: Record<string, unknown>[] } };

test("its sums are those of corelay top", async ({ dashboard }) => {
  const { page } = await dashboard.open();
  const path = fileURLToPath(new URL("../data/overview_changes.json", import.meta.url));
  // What there is not is null in JSON, and undefined on the page.
  const vectors: Vector[] = JSON.parse(await readFile(path, "utf8"), (_, value) => value ?? undefined);
  const found = await page.evaluate(async (vectors) => {
    const { between } = await import("/change.js" as string);
    return vectors.map(({ older, newer }) => between(older, newer));
  }, vectors);
  expect(vectors.length).toBeGreaterThan(20);
  for (const [index, { name, change }] of vectors.entries()) {
    for (const shard of change?.shards ?? []) {
      for (const member of NOT_SHOWN) delete shard[member];
    }
    expect(found[index], name).toEqual(change);
  }
});

test("axe finds nothing: idle, under load, on a narrow screen, and where the relay is away", async ({ relay, dashboard }) => {
  const { page } = await dashboard.open();
  expect(await violations(page)).toEqual([]);
  const child = load(relay, ...SHAPE, "--duration", "30");
  await expect.poll(() => dashboard.rate("Operations/s")).toBeGreaterThan(100);
  expect(await violations(page)).toEqual([]);
  await page.setViewportSize({ width: 380, height: 800 });
  expect(await violations(page)).toEqual([]);
  await relay.kill();
  await expect(page.getByRole("alert")).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await end(child);
});

test("a relay that is killed and restarted", async ({ relay, dashboard }) => {
  const { page } = await dashboard.open();
  const first = load(relay, ...SHAPE, "--duration", "30");
  await expect.poll(() => dashboard.counted("Operations/s")).toBeGreaterThan(500);
  await relay.kill();
  await end(first);
  await expect(dashboard.state).toHaveText("Not answering");
  await expect(page.getByRole("alert")).toContainText("goes on by itself");

  await relay.up();
  await expect(dashboard.state).toHaveText("Ready");
  await expect(page.getByRole("alert")).toBeHidden();
  await expect.poll(() => dashboard.counted("Operations/s")).toBe(0);
  const second = load(relay, ...SHAPE, "--duration", "30");
  await expect.poll(() => dashboard.rate("Operations/s")).toBeGreaterThan(100);
  // The line has a hole where nothing was known.
  await expect(dashboard.tile("Operations/s").locator("path.edge")).toHaveAttribute("d", /M.*M/);
  await end(second);
});

test("names are shown, whatever is in them, and do nothing", async ({ relay, dashboard }) => {
  const hostile = "<img src=x onerror=alert(1)>\u202e\u0000\u001b[2J \u{1f980} مرحبا e\u0301\u0301\u0301\u0301\u0301\u0301 ";
  const { page } = dashboard;
  const real = load(relay, ...SHAPE, "--duration", "30", "--document-prefix", "<img/src=x>\u202e&amp;");
  await page.route("**/overview?*", async (route) => {
    const response = await route.fetch();
    const overview = await response.json();
    const connection = { id: "0-7", shard: 0, address: null, transport: "tcp", phase: "ready", client_id: 1, other_shards: 0 };
    overview.slowest = [
      { ...connection, user: hostile.repeat(20), tenant: "acme", documents: [hostile, hostile], documents_count: 2, lag_operations: 1234, queued_bytes: 98765, is_blocked: true, connected_at_ms: 1 },
      { ...connection, user: "", tenant: "", documents: [], documents_count: 0, lag_operations: 0, queued_bytes: 1, is_blocked: true, connected_at_ms: 1 },
    ];
    overview.hottest.push({ ...overview.hottest[0], shard: 0, tenant: "acme", id: "x".repeat(256), state: "open", kind: "log", operations_per_second: 1, revision: 2 ** 50, subscribers: 3, memory_bytes: 2 ** 40 });
    await route.fulfill({ response, json: overview });
  });
  await dashboard.open();
  await expect(page.locator("#hottest tr").first()).toContainText("<img/src=x>\ufffd&amp;");
  await expect(page.locator("#slowest tr").first()).toContainText("<img src=x onerror=alert(1)>\ufffd\ufffd\ufffd[2J");
  await expect(page.locator("#slowest tr").nth(1)).toContainText("0-7");
  await expect(page.locator("img")).toHaveCount(0);
  for (const width of [380, 700, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(over, `at ${width}`).toBeLessThanOrEqual(0);
    const heights = await page.locator("#slowest tr, #hottest tr").evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
    expect(Math.max(...heights), `at ${width}`).toBeLessThan(64);
  }
  await end(real);
});

test("a document is as hot as the relay is busy since the page was opened, whatever was before", async ({ dashboard }) => {
  const { page } = dashboard;
  let revision = 5000;
  const of = (id: string, revision: number) => ({ id, tenant: "", shard: 0, kind: "text", state: "open", operations_per_second: 804, revision, subscribers: 1, memory_bytes: 100 });
  await page.route("**/overview?*", async (route) => {
    const response = await route.fetch();
    const overview = await response.json();
    overview.hottest = [of("cooling", 5000), of("hot", (revision += 10))];
    await route.fulfill({ response, json: overview });
  });
  await dashboard.open();
  const rates = () => page.locator("#hottest tr").evaluateAll((rows) => rows.map((row) => [row.querySelector("th span")?.textContent, Number(row.querySelectorAll("td")[1]?.textContent)]));
  await expect.poll(rates).toEqual([
    ["hot", expect.closeTo(10, -1)],
    ["cooling", 0],
  ]);
});

test("a page that nobody sees asks nothing", async ({ dashboard }) => {
  const { page } = dashboard;
  await page.clock.install();
  let asked = 0;
  page.on("request", (request) => {
    if (request.url().includes("/overview")) asked += 1;
  });
  await dashboard.open();
  const see = (isHidden: boolean) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
  await see(true);
  // What was asked before is answered.
  await page.clock.runFor(1000);
  const before = asked;
  await page.clock.runFor(60_000);
  expect(asked).toBe(before);
  await see(false);
  await expect.poll(() => asked).toBeGreaterThan(before);
});

test("the pictures in docs/", async ({ relay, dashboard }) => {
  test.skip(process.env.CORELAY_PICTURES === undefined, "CORELAY_PICTURES is not set");
  test.setTimeout(200_000);
  const { page } = await dashboard.open();
  const steady = load(relay, ...SHAPE, "--duration", "140", "--document-prefix", "invoice");
  await page.waitForTimeout(20_000);
  const board = ["--documents", "3", "--clients", "20", "--writers", "4", "--operations-per-second", "500"];
  const busy = load(relay, ...board, "--payload-bytes", "500", "--duration", "100", "--document-prefix", "board");
  await page.waitForTimeout(50_000);
  const behind = ["--payload-bytes", "8000", "--stalled-percent", "20", "--duration", "60", "--document-prefix", "sketch"];
  const slow = load(relay, ...SHAPE, ...behind);
  await expect(page.locator("#slowest tr").nth(3)).toBeVisible();
  for (const [name, colorScheme, width] of [
    ["dashboard-light", "light", 1440],
    ["dashboard-dark", "dark", 1440],
    ["dashboard-phone", "light", 380],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(300);
    const path = fileURLToPath(new URL(`../../docs/${name}.png`, import.meta.url));
    await page.screenshot({ path, fullPage: width > 1000 });
  }
  for (const child of [slow, busy, steady]) await end(child);
});
