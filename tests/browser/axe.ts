// What axe-core says of a page.

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import type { Page } from "@playwright/test";

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Violation {
  id: string;
  nodes: { target: unknown; failureSummary?: string }[];
}

/** What axe finds, in light and in dark. */
export async function violations(page: Page): Promise<string[]> {
  const found: string[] = [];
  await page.evaluate(axeSource);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const result = await page.evaluate(async () => {
      // The colours change with the next frame, and some of them glide.
      for (let frame = 0; frame < 3; frame++) await new Promise((done) => requestAnimationFrame(done));
      await new Promise((done) => setTimeout(done, 100));
      await Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})));
      return (globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe.run();
    });
    for (const { id, nodes } of result.violations) {
      for (const { target, failureSummary } of nodes) found.push(`${colorScheme} ${id} ${target}: ${failureSummary}`);
    }
  }
  return found;
}
