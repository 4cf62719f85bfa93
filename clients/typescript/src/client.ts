/** The client: documents on a session, a session on a connection. */

import type {
  Client as Face,
  ClientEvents,
  ClientOptions,
  Codec,
  DirectoryChange,
  DirectoryPage,
  DocumentOptions,
  HistoryOptions,
  HistoryPage,
  ListOptions,
  LogDocument,
  Moment,
  PastText,
  Problem,
  Refusal,
  Status,
  TextAtOptions,
  TextDocument,
  Version,
} from "./api.js";
import { bytes } from "./document/codec.js";
import type { Guest, Host } from "./document/host.js";
import { Log } from "./document/log.js";
import { Text } from "./document/text.js";
import { Emitter } from "./emitter.js";
import { ClientIdentity } from "./identity.js";
import { Driver, type Passenger } from "./io/driver.js";
import { Keeper } from "./keeper.js";
import { directoryOf, entryOf, historyOf, versionOf } from "./session/answer.js";
import { earliest } from "./session/document.js";
import type { ConnectionEvent, Event } from "./session/event.js";
import { ownRefusal, RefusedError } from "./session/refusal.js";
import type { Answer, Answers, Question } from "./session/requests.js";
import type { Session } from "./session/session.js";
import { DEFAULTS } from "./session/settings.js";
import { atTime, Past, revisionAt } from "./text/past.js";

interface Asked {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export class Client implements Face, Host, Passenger {
  readonly #driver: Driver;
  readonly #identity: ClientIdentity;
  readonly #keeper: Keeper;
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #documents = new Set<Guest>();
  readonly #asked = new Map<number, Asked>();
  #watch: { key: number; listener: (change: DirectoryChange) => void } | undefined;
  readonly #ready: Promise<void>;
  #isClosed = false;

  constructor(options: ClientOptions) {
    const { storage, tabStorage, storageScope = "", userId = "", userName = "" } = options;
    this.#identity = new ClientIdentity(storage, tabStorage, storageScope);
    this.#keeper = new Keeper(this.#identity, (error) => {
      this.problem({ message: `the storage has failed: ${String(error)}` });
    });
    const identity = { uuid: this.#identity.uuid, userId, userName };
    this.#driver = new Driver(options, { ...DEFAULTS, ...options.settings }, identity, this);
    this.#ready = this.#identity.take().catch((error: unknown) => {
      this.problem({ message: `the storage has failed: ${String(error)}` });
    });
    if (storage === undefined) this.#driver.ready();
    else void this.#ready.then(() => this.#driver.ready());
  }

  // ---- for the application

  get status(): Status {
    return this.#driver.status;
  }

  get clientId(): number | undefined {
    const { clientId } = this.session;
    return clientId === 0 ? undefined : clientId;
  }

  get isPersistent(): boolean {
    return this.#identity.isStored && !this.#keeper.hasFailed;
  }

  connect(): void {
    this.#driver.connect();
  }

  disconnect(): void {
    this.#driver.disconnect();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const document of this.#documents) document.flush();
    this.#driver.close();
    await this.#keeper.flush();
    this.#keeper.close();
    this.#identity.release();
    for (const document of [...this.#documents]) document.close();
    for (const { reject } of this.#asked.values()) reject(new RefusedError(CLOSED));
    this.#asked.clear();
  }

  text(documentId: string, { create = true }: DocumentOptions = {}): TextDocument {
    return this.#open(documentId, "text", () => new Text(this, documentId, create));
  }

  log(documentId: string, options?: DocumentOptions): LogDocument<Uint8Array>;
  log<T>(documentId: string, options: DocumentOptions & { codec: Codec<T> }): LogDocument<T>;
  log(documentId: string, options: DocumentOptions & { codec?: Codec<unknown> } = {}): LogDocument<unknown> {
    const { create = true, codec = bytes } = options;
    return this.#open(documentId, "log", () => new Log(this, documentId, create, codec));
  }

  #open<T extends Guest>(documentId: string, kind: string, make: () => T): T {
    const length = new TextEncoder().encode(documentId).length;
    if (length === 0 || length > 256 || /\p{Cc}/u.test(documentId)) {
      throw new RangeError("a document id has 1 to 256 bytes and no control characters");
    }
    for (const document of this.#documents) {
      if (document.id !== documentId) continue;
      if (document.kind !== kind) throw new TypeError(`${documentId} is open as a ${document.kind}`);
      return document as T;
    }
    const document = make();
    this.#documents.add(document);
    void this.#start(document);
    return document;
  }

  async #start(document: Guest): Promise<void> {
    await this.#ready;
    const stored = await this.#keeper.read(document);
    if (!this.#documents.has(document)) return;
    document.start(stored);
    this.#driver.wake();
  }

  async list(options: ListOptions = {}): Promise<DirectoryPage> {
    return directoryOf(await this.#ask({ type: "list", watch: false, ...options }));
  }

  watch(prefix: string, listener: (change: DirectoryChange) => void): () => void {
    const key = this.session.ask({ type: "list", watch: true, prefix });
    if (key === undefined) throw new RefusedError(REQUESTS_FULL);
    this.#watch = { key, listener };
    this.#driver.wake();
    return () => {
      this.session.requests.unwatch(key);
      if (this.#watch?.key === key) this.#watch = undefined;
    };
  }

  async delete(documentId: string): Promise<void> {
    await this.#ask({ type: "delete", documentId, undo: false });
  }

  async restore(documentId: string): Promise<void> {
    await this.#ask({ type: "delete", documentId, undo: true });
  }

  async history(documentId: string, options: HistoryOptions = {}): Promise<HistoryPage> {
    return historyOf(await this.#ask({ type: "history", documentId, ...options }));
  }

  async textAt(documentId: string, moment?: Moment, { from, signal }: TextAtOptions = {}): Promise<PastText> {
    let revision: number | undefined;
    if (moment !== undefined) {
      const isTime = "time" in moment;
      revision = isTime ? revisionAt(await this.history(documentId, atTime(moment.time))) : moment.revision;
    }
    const past = new Past(revision, from);
    for (let page = past.next(); page !== undefined; page = past.next()) {
      signal?.throwIfAborted();
      past.take(await this.history(documentId, page));
    }
    return past.text;
  }

  async saveVersion(documentId: string, name: string, revision = 0): Promise<Version> {
    const { version } = await this.#ask({ type: "save_version", documentId, name, revision });
    return versionOf(version!);
  }

  async versions(documentId: string): Promise<readonly Version[]> {
    const { versions } = await this.#ask({ type: "list_versions", documentId });
    return versions.map(versionOf);
  }

  async deleteVersion(documentId: string, name: string): Promise<void> {
    await this.#ask({ type: "delete_version", documentId, name });
  }

  #ask<Q extends Question>(question: Q): Promise<Answers[Q["type"]]> {
    if (this.#isClosed) return Promise.reject(new RefusedError(CLOSED));
    const key = this.session.ask(question);
    if (key === undefined) return Promise.reject(new RefusedError(REQUESTS_FULL));
    this.#driver.wake();
    return new Promise((resolve, reject) => {
      this.#asked.set(key, { resolve: resolve as Asked["resolve"], reject });
    });
  }

  on<K extends keyof ClientEvents>(event: K, listener: (value: ClientEvents[K]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  // ---- for the documents

  get session(): Session {
    return this.#driver.session;
  }

  get isConnected(): boolean {
    return this.#driver.status.state === "connected";
  }

  get stopped(): Refusal | undefined {
    const { state, refusal } = this.#driver.status;
    return state === "stopped" ? (refusal ?? CLOSED) : undefined;
  }

  now(): number {
    return this.#driver.now();
  }

  wake(document: Guest): void {
    this.#keeper.note(document);
    this.#driver.wake();
  }

  reconnect(): void {
    this.#driver.reconnect();
  }

  problem(problem: Problem): void {
    this.#emitter.emit("problem", problem);
  }

  closed(document: Guest): void {
    this.#documents.delete(document);
  }

  // ---- for the driver

  handleEvent(event: Event): void {
    if (!("document" in event)) return this.#handleConnectionEvent(event);
    for (const document of this.#documents) {
      if (document.at !== event.document) continue;
      document.handleEvent(event);
      this.#keeper.note(document);
    }
  }

  #handleConnectionEvent(event: ConnectionEvent): void {
    switch (event.type) {
      case "answered": {
        const { request, answer } = event;
        if (request === this.#watch?.key) {
          const all = directoryOf(answer as Answers["list"]);
          return this.#watch.listener({ all, created: [], deleted: [], isIncomplete: false });
        }
        return this.#settled(request)?.resolve(answer);
      }
      case "directory_update": {
        const { created, deleted, isIncomplete } = event.update;
        if (event.request === this.#watch?.key) {
          this.#watch.listener({ created: created.map(entryOf), deleted, isIncomplete });
        }
        return;
      }
      case "request_refused":
        if (event.request === this.#watch?.key) {
          this.#watch = undefined;
          this.problem({ refusal: event.refusal, message: `the watch was refused: ${event.refusal.message}` });
        }
        return this.#settled(event.request)?.reject(new RefusedError(event.refusal));
      case "violation":
        return this.problem({ message: event.message });
      case "error":
        return this.problem({ refusal: event.refusal, message: event.refusal.message });
      case "connected":
      case "disconnected":
      case "stopped":
      case "goaway":
        return;
    }
  }

  #settled(request: number): Asked | undefined {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    return asked;
  }

  poll(now: number): void {
    for (const document of this.#documents) document.poll(now);
  }

  pollTimeout(): number | undefined {
    return earliest([...this.#documents].map((document) => document.pollTimeout()));
  }

  statusChanged(): void {
    for (const document of this.#documents) document.connectionChanged(this.isConnected);
    this.#emitter.emit("status", this.status);
  }
}

const REQUESTS_FULL = ownRefusal("REQUESTS_FULL", "`requestsMax` questions wait for the relay");
const CLOSED = ownRefusal("CLOSED", "the client was closed");
