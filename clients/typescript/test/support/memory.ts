import type { Storage } from "../../src/index.js";

/** A storage of several pages, which end without a word. */
export class Memory implements Storage {
  readonly values = new Map<string, string>();
  hasFailed = false;

  read(key: string): string | undefined {
    this.#check();
    return this.values.get(key);
  }

  async write(key: string, value: string): Promise<void> {
    await Promise.resolve();
    this.#check();
    this.values.set(key, value);
  }

  remove(key: string): void {
    this.#check();
    this.values.delete(key);
  }

  #check(): void {
    if (this.hasFailed) throw new Error("there is no room");
  }
}
