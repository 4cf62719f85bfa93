// What has happened in the document, as far as it has been asked for.

import type { Client, PastText, Version } from "@corelay/client";
import { type Change, changesOf, type Entry, PAUSE_MAX_MS, pauseOf } from "./changes";

/** So many changes are looked for at a time, in so many pages of the relay's at most. */
const CHANGES = 12;
const PAGES_MAX = 8;
/** Texts that are kept, to go on from. */
const TEXTS_MAX = 8;

export class Past {
  versions: readonly Version[] = [];
  changes: Change[] = [];
  private entries: Entry[] = [];
  /** What divides changes, from the first page on. */
  private pause_ms = PAUSE_MAX_MS;
  private next: number | undefined;
  private texts: PastText[] = [];

  constructor(
    private readonly client: Client,
    private readonly document: string,
  ) {}

  get hasEarlier(): boolean {
    return this.next !== undefined;
  }

  /** The newest revision that is listed. */
  get revision(): number {
    return this.changes[0]?.revision ?? 0;
  }

  /** From the newest on, anew. */
  async refresh(): Promise<void> {
    await this.refreshVersions();
    this.pause_ms = PAUSE_MAX_MS;
    await this.read(undefined, []);
    this.pause_ms = pauseOf(this.entries);
    this.changes = changesOf(this.entries, this.pause_ms);
  }

  async refreshVersions(): Promise<void> {
    this.versions = await this.client.versions(this.document);
  }

  async readEarlier(): Promise<void> {
    await this.read(this.next, this.entries);
  }

  private async read(from: number | undefined, before: readonly Entry[]): Promise<void> {
    const entries = [...before];
    const enough = changesOf(entries, this.pause_ms).length + CHANGES;
    let next = from;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = await this.client.history(this.document, {
        newestFirst: true,
        ...(next !== undefined && { fromRevision: next }),
      });
      entries.push(...page.entries);
      next = page.nextRevision;
      if (next === undefined || changesOf(entries, this.pause_ms).length >= enough) break;
    }
    this.entries = entries;
    this.next = next;
    this.changes = changesOf(entries, this.pause_ms);
  }

  /** What was written at a revision. What was read before is gone on from. */
  async textAt(revision: number, signal: AbortSignal): Promise<string> {
    const earlier = this.texts.filter((text) => text.revision <= revision);
    const from = earlier.sort((one, other) => other.revision - one.revision)[0];
    const past = await this.client.textAt(this.document, { revision }, { signal, ...(from && { from }) });
    this.texts = [past, ...this.texts.filter((text) => text.revision !== revision)].slice(0, TEXTS_MAX);
    return past.text;
  }
}
