/** Who this client is across connections, and across pages where there is a storage. */

import type { Storage } from "./api.js";

/** How long another page may take to let the identity go: a page that is loaded again is still there for a moment. */
const LOCK_WAIT_MS = 500;

interface Locks {
  request(name: string, options: { signal: AbortSignal }, callback: (lock: unknown) => Promise<void>): Promise<unknown>;
}

export class ClientIdentity {
  readonly uuid = randomUuid();
  /** The storage has it, and no other page uses it. */
  isStored = false;
  #release: (() => void) | undefined;

  constructor(
    readonly storage: Storage | undefined,
    readonly scope: string,
  ) {}

  /** The key of something that is stored. */
  key(name: string): string {
    return `corelay/${encodeURIComponent(this.scope)}/${name}`;
  }

  /** Takes the stored identity, unless another page has it: then this page keeps one of its own, which is not stored. */
  async take(): Promise<void> {
    const { storage } = this;
    if (storage === undefined || !(await this.#lock())) return;
    const key = this.key("client");
    const stored = await storage.read(key);
    const uuid = stored === undefined ? undefined : uuidOf(stored);
    if (uuid === undefined) await storage.write(key, textOf(this.uuid));
    else this.uuid.set(uuid);
    this.isStored = true;
  }

  /** Another page may take it. */
  release(): void {
    this.#release?.();
    this.isStored = false;
  }

  /** False: another page has it. Where there are no locks nobody can know. */
  async #lock(): Promise<boolean> {
    const locks = (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
    if (locks === undefined) return true;
    return new Promise((resolve) => {
      const held = (): Promise<void> => {
        resolve(true);
        return new Promise((release) => (this.#release = release));
      };
      const options = { signal: AbortSignal.timeout(LOCK_WAIT_MS) };
      locks.request(this.key("client"), options, held).catch(() => resolve(false));
    });
  }
}

function randomUuid(): Uint8Array<ArrayBuffer> {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

/** The bytes of a UUID's text. */
export function uuidOf(text: string): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16));
}

export function textOf(uuid: Uint8Array): string {
  const digits = Array.from(uuid, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
