/** A log on a session: operations that the relay orders and does not read. */

import type { Codec, LogDocument, LogEvents } from "../api.js";
import type { DocumentEvent } from "../session/event.js";
import { ownRefusal, QueueFullError, RefusedError } from "../session/refusal.js";
import { BaseDocument } from "./base.js";
import type { Host } from "./host.js";
import { readLog, writeLog } from "./stored.js";

/** What a message has besides an operation, at most, and base64's part of what is left. */
const OVERHEAD_BYTES = 16 * 1024;
const BASE64_PART = 3 / 4;

export class Log<T> extends BaseDocument<LogEvents<T>> implements LogDocument<T> {
  readonly kind = "log";
  #revision = 0;
  #pending: readonly T[] = [];
  /** Whose the operations are that wait. */
  #clientId: number | undefined;
  #offer: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(
    host: Host,
    id: string,
    create: boolean,
    readonly codec: Codec<T>,
  ) {
    super(host, id, create);
  }

  get revision(): number {
    return this.#revision;
  }

  get pending(): readonly T[] {
    return this.#pending;
  }

  protected get pendingCount(): number {
    return this.place?.pending.count ?? 0;
  }

  append(operation: T): void {
    this.checkEditable();
    const bytes = this.codec.encode(operation);
    const { session } = this.host;
    const bytesMax = Math.floor((session.messageBytesMax - OVERHEAD_BYTES) * BASE64_PART);
    if (bytes.length > bytesMax) throw new RangeError(`an operation of ${bytes.length} bytes, more than ${bytesMax}`);
    this.full = session.submit(this.place!, bytes, this.host.now());
    if (this.full === undefined) {
      this.#pending = [...this.#pending, operation];
      this.emitter.emit("pending", this.#pending);
    }
    this.refresh();
    if (this.full !== undefined) throw new QueueFullError(this.full);
    this.host.wake(this);
  }

  offerSnapshot(revision: number, data: Uint8Array): Promise<void> {
    const { settings } = this.host.session;
    if (this.place === undefined || this.place.isClosed) {
      return Promise.reject(new RefusedError(ownRefusal("CLOSED", "the document is not open")));
    }
    if (data.length > settings.snapshotBytesMax) {
      return Promise.reject(new RangeError(`a snapshot of ${data.length} bytes, more than snapshotBytesMax`));
    }
    if (!this.place.offers.begin(revision, data)) {
      return Promise.reject(
        new RefusedError(ownRefusal("BUSY", "the snapshot that was offered before is not answered")),
      );
    }
    this.host.wake(this);
    return new Promise((resolve, reject) => (this.#offer = { resolve, reject }));
  }

  flush(): void {
    this.place?.pending.flush();
    this.host.wake(this);
  }

  override close(): void {
    this.#answerOffer(new RefusedError(ownRefusal("CLOSED", "the application has closed the document")));
    super.close();
  }

  // ---- the session

  start(stored: string | undefined): void {
    this.open();
    const record = stored === undefined ? undefined : readLog(stored);
    if (record !== undefined) {
      this.#clientId = record.clientId;
      this.place!.pending.restore(record.pending);
      this.permissions = { read: true, write: record.canWrite };
      this.#showPending();
      this.nowLoaded();
    }
    this.refresh();
  }

  store(): string | undefined {
    if (this.place === undefined || this.#clientId === undefined || this.place.pending.isEmpty) return undefined;
    const pending = this.place.pending.store(this.host.session.settings);
    return writeLog({ clientId: this.#clientId, canWrite: this.permissions.write, pending });
  }

  protected handleContent(event: DocumentEvent): void {
    switch (event.type) {
      case "opened":
        this.#identify();
        break;
      case "reset":
        this.#revision = 0;
        this.emitter.emit("snapshot", { revision: 0, data: new Uint8Array() });
        break;
      case "snapshot":
        this.#revision = event.revision;
        this.emitter.emit("snapshot", { revision: event.revision, data: event.data });
        break;
      case "remote":
        this.#take(event.revision, event.origin, event.firstClock, event.operations);
        break;
      case "acknowledged":
        // Part of a snapshot, or a repeated answer about what is in the history.
        if (event.firstRevision === this.#revision + 1) {
          this.#take(event.firstRevision, this.host.session.clientId, event.firstClock, event.operations);
        }
        break;
      case "refused": {
        this.noteRefusal(event.refusal);
        this.emitter.emit("refused", { refusal: event.refusal, operations: this.#decodeAll(event.operations) });
        break;
      }
      case "snapshot_accepted":
        this.#answerOffer();
        break;
      case "snapshot_refused":
        this.#answerOffer(new RefusedError(event.refusal));
        break;
      default:
        break;
    }
    if (this.pendingCount !== this.#pending.length) this.#showPending();
  }

  #identify(): void {
    const { clientId } = this.host.session;
    if (this.#clientId !== undefined && this.#clientId !== clientId && !this.place!.pending.isEmpty) {
      const operations = this.place!.pending.takeAll();
      const refusal = ownRefusal("IDENTITY_CHANGED", "the operations are another user's, or another client's");
      this.handleEvent({ type: "refused", operations, refusal });
    }
    this.#clientId = clientId;
  }

  #take(firstRevision: number, origin: number, firstClock: number, operations: readonly Uint8Array[]): void {
    const isOwn = origin === this.host.session.clientId;
    for (const [offset, bytes] of operations.entries()) {
      this.#revision = firstRevision + offset;
      const value = this.#decode(bytes);
      if (value === undefined) continue;
      const clock = firstClock + offset;
      this.emitter.emit("operation", { value: value.value, revision: this.#revision, origin, clock, isOwn });
    }
    if (this.full !== undefined) this.full = this.place!.pending.isFull(0, this.host.session.settings);
  }

  #decode(bytes: Uint8Array): { value: T } | undefined {
    try {
      return { value: this.codec.decode(bytes) };
    } catch (error) {
      const message = `an operation is not what the codec understands: ${String(error)}`;
      this.host.problem({ documentId: this.id, message });
      return undefined;
    }
  }

  #showPending(): void {
    this.#pending = this.#decodeAll(this.place!.pending.operations);
    this.emitter.emit("pending", this.#pending);
  }

  #decodeAll(operations: readonly Uint8Array[]): T[] {
    const decoded = operations.map((bytes) => this.#decode(bytes));
    return decoded.flatMap((it) => (it === undefined ? [] : [it.value]));
  }

  #answerOffer(error?: Error): void {
    if (error === undefined) this.#offer?.resolve();
    else this.#offer?.reject(error);
    this.#offer = undefined;
  }

  protected peersChanged(): void {}

  poll(): void {}

  pollTimeout(): number | undefined {
    return undefined;
  }
}
