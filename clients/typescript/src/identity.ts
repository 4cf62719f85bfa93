/** Who this client is across connections, and across pages where there is a storage. */

import type { Storage } from "./api.js";

/** How long another page may take to let the identity go: a page that is loaded again is still there for a moment. */
const LOCK_WAIT_MS = 500;
/** The same, where it was this tab that had it: whoever holds it then is most likely on the way out. */
const OWN_LOCK_WAIT_MS = 3000;
const LOCK_RETRY_MS = 50;
/** What a tab remembers that had the stored identity, in place of one of its own. */
const SHARED = "shared";

interface Locks {
  request(name: string, options: { ifAvailable: true }, callback: (lock: unknown) => Promise<void>): Promise<unknown>;
}

export class ClientIdentity {
  readonly uuid = randomUuid();
  /** What has it, where no other page uses it: the storage, or that of the tab. */
  place: Storage | undefined;
  #release: (() => void) | undefined;

  constructor(
    readonly storage: Storage | undefined,
    readonly tabStorage: Storage | undefined,
    readonly scope: string,
  ) {}

  /** It outlives the tab. */
  get isStored(): boolean {
    return this.storage !== undefined && this.place === this.storage;
  }

  /** The key of something that is stored with the identity. A tab may be a copy of another, with all that it has stored. */
  key(name: string): string {
    return this.#key(this.isStored ? name : `${textOf(this.uuid)}/${name}`);
  }

  #key(name: string): string {
    return `corelay/${encodeURIComponent(this.scope)}/${name}`;
  }

  /** Takes the identity that this tab had, or the stored one; where other pages have them, it makes one for this tab. */
  async take(): Promise<void> {
    const { storage, tabStorage } = this;
    if (storage === undefined) return;
    const key = this.#key("client");
    const had = await tabStorage?.read(key);
    const own = uuidOf(had);
    if (own !== undefined && (await this.#lock(`${key}/${textOf(own)}`, OWN_LOCK_WAIT_MS))) {
      this.uuid.set(own);
      this.place = tabStorage;
    } else if (await this.#lock(key, had === SHARED ? OWN_LOCK_WAIT_MS : LOCK_WAIT_MS)) {
      const stored = uuidOf(await storage.read(key));
      if (stored === undefined) await storage.write(key, textOf(this.uuid));
      else this.uuid.set(stored);
      await tabStorage?.write(key, SHARED);
      this.place = storage;
    } else if (tabStorage !== undefined && (await this.#lock(`${key}/${textOf(this.uuid)}`, LOCK_WAIT_MS))) {
      await tabStorage.write(key, textOf(this.uuid));
      this.place = tabStorage;
    }
  }

  /** Another page may take it. */
  release(): void {
    this.#release?.();
    this.place = undefined;
  }

  /** False: another page has it. Where there are no locks nobody can know. */
  async #lock(name: string, waitMs: number): Promise<boolean> {
    const locks = (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
    if (locks === undefined) return true;
    const ask = (): Promise<boolean> =>
      new Promise((resolve) => {
        const answered = async (lock: unknown): Promise<void> => {
          resolve(lock !== null);
          if (lock !== null) await new Promise<void>((release) => (this.#release = release));
        };
        locks.request(name, { ifAvailable: true }, answered).catch(() => resolve(false));
      });
    // Asked again and again, and each answer waited for. A request that is aborted after a time is no answer: where the
    // page is busy, the time has passed before it sees that it has the lock, and nobody has it then.
    const untilMs = performance.now() + waitMs;
    while (!(await ask())) {
      if (performance.now() >= untilMs) return false;
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
    }
    return true;
  }
}

function randomUuid(): Uint8Array<ArrayBuffer> {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

/** The bytes of a UUID's text, if it is one. */
export function uuidOf(text = ""): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16));
}

export function textOf(uuid: Uint8Array): string {
  const digits = Array.from(uuid, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
