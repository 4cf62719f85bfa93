/** Waiting for what must happen at some time. */

const PATIENCE_MS = 25_000;

/** Resolves as soon as it is so. */
export async function until(isSo: () => boolean, what = isSo.toString()): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`this has not happened: ${what}`);
    await pause(5);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
