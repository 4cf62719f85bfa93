/** Keeps what is not acknowledged in the storage, a moment after it has changed. */

import type { Guest } from "./document/host.js";
import type { ClientIdentity } from "./identity.js";

/** How long changes are gathered. */
const DELAY_MS = 100;
const CHARACTERS_PER_MS = 1000;

export class Keeper {
  readonly #written = new Map<string, string>();
  readonly #changed = new Set<Guest>();
  /** Longer for what is long. */
  #delayMs = DELAY_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #hidden = (): void => void this.flush();
  /** The storage has failed: it is left alone. */
  hasFailed = false;
  /** Somebody else may have the identity from here on. */
  #isClosed = false;

  constructor(
    readonly identity: ClientIdentity,
    readonly failed: (error: unknown) => void,
  ) {
    (globalThis as Partial<Pick<Window, "addEventListener">>).addEventListener?.("pagehide", this.#hidden);
  }

  async read(guest: Guest): Promise<string | undefined> {
    if (!this.#isUsed) return undefined;
    try {
      const stored = await this.identity.place!.read(this.#key(guest));
      if (stored !== undefined) this.#written.set(this.#key(guest), stored);
      return stored;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  /** Something of it has changed. */
  note(guest: Guest): void {
    if (!this.#isUsed) return;
    this.#changed.add(guest);
    this.#timer ??= setTimeout(() => void this.flush(), this.#delayMs);
  }

  /** Writes what has changed. Settled when it is written. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#delayMs = DELAY_MS;
    for (const guest of this.#changed) {
      const key = this.#key(guest);
      const value = guest.store();
      this.#delayMs = Math.max(this.#delayMs, (value?.length ?? 0) / CHARACTERS_PER_MS);
      if (value === this.#written.get(key)) continue;
      if (value === undefined) this.#written.delete(key);
      else this.#written.set(key, value);
      this.#write(key, value);
    }
    this.#changed.clear();
    return this.#writing;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    (globalThis as Partial<Pick<Window, "removeEventListener">>).removeEventListener?.("pagehide", this.#hidden);
  }

  get #isUsed(): boolean {
    return this.identity.place !== undefined && !this.hasFailed && !this.#isClosed;
  }

  #key({ kind, id }: Guest): string {
    return this.identity.key(`${kind}/${encodeURIComponent(id)}`);
  }

  /** At once where the storage is, so that a page that goes away has written. */
  #write(key: string, value: string | undefined): void {
    const storage = this.identity.place!;
    try {
      const written = value === undefined ? storage.remove(key) : storage.write(key, value);
      this.#writing = Promise.all([this.#writing, written]).then(
        () => {},
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.failed(error);
  }
}
