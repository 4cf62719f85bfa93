/** What outlives the page, as text. */

import type { StoredText } from "../text/client.js";
import { type Component, Operation } from "../text/operation.js";
import type { StoredPending } from "../session/pending.js";

/** Of records: one of another version is passed over. */
const VERSION = 1;

export interface TextRecord {
  readonly epoch: number;
  readonly canWrite: boolean;
  readonly text: StoredText;
}

export function writeText({ epoch, canWrite, text }: TextRecord): string {
  const pending = text.pending.map(({ components }) => components);
  return JSON.stringify({ version: VERSION, epoch, canWrite, ...text, pending });
}

export function readText(stored: string): TextRecord | undefined {
  const record = parse(stored) as
    (Omit<StoredText, "pending"> & { pending: Component[][]; epoch: number; canWrite: boolean }) | undefined;
  if (record === undefined) return undefined;
  const { epoch, canWrite, pending, ...text } = record;
  return { epoch, canWrite, text: { ...text, pending: pending.map((components) => Operation.from(components)) } };
}

export interface LogRecord {
  readonly clientId: number;
  readonly canWrite: boolean;
  readonly pending: StoredPending;
}

export function writeLog({ clientId, canWrite, pending }: LogRecord): string {
  const batches = pending.batches.map((operations) => operations.map(toBase64));
  return JSON.stringify({ version: VERSION, clientId, canWrite, clock: pending.clock, batches });
}

export function readLog(stored: string): LogRecord | undefined {
  const record = parse(stored) as
    { clientId: number; canWrite: boolean; clock?: number; batches: string[][] } | undefined;
  if (record === undefined) return undefined;
  const batches = record.batches.map((operations) => operations.map(fromBase64));
  return { clientId: record.clientId, canWrite: record.canWrite, pending: { clock: record.clock, batches } };
}

/** A record as it was written, or nothing. */
function parse(stored: string): unknown {
  try {
    const record = JSON.parse(stored) as { version?: number };
    return record.version === VERSION ? record : undefined;
  } catch {
    return undefined;
  }
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return btoa(text);
}

/** Either alphabet, padded or not. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
}
