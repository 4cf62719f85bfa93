/**
 * What an application sees of the client: all of it, and nothing else.
 *
 * ```ts
 * import { createClient } from "@corelay/client";
 *
 * const client = createClient({ url: "ws://127.0.0.1:7400", userName: "Ada" });
 * const poem = client.text("poem");
 * await poem.loaded;
 * poem.insert(0, "Hello ");
 * poem.on("change", () => console.log(poem.text));
 * poem.on("saved", (saved) => console.log(saved.state));
 * client.on("status", (status) => console.log(status.state));
 * ```
 *
 * Positions and lengths in texts are UTF-16 code units, as in JavaScript's strings. Times are milliseconds; points in
 * time are Unix times, as of `Date.now()`.
 */

import type { Operation } from "./text/operation.js";

// ---------------------------------------------------------------------------------------------- client

/** How a client is made. Everything has a default. */
export interface ClientOptions {
  /**
   * Where the relay is: `ws(s)://HOST[:PORT][/PREFIX]`, or the same with `http(s)`. In a browser it is the page's own
   * origin where it is left out. A URL will do, and anything else that has its `href`.
   */
  url?: string | { readonly href: string };
  /**
   * Names a document in the URL, so that the relay serves the connection on that document's core. Worth it for a client
   * with one document; others can be opened all the same.
   */
  document?: string;
  /**
   * The credential, for relays that ask for one. A function is asked before every connection, before the token expires
   * (where it is a JSON Web Token that says when), and once more when the relay refuses the token. What it throws is
   * reported in the status and tried again; where it gives `null` nobody is signed in, and the client stops.
   */
  token?: string | ((reason: TokenReason) => string | null | Promise<string | null>);
  /**
   * Who is at the keyboard, at most 128 bytes each. Where a token names the user, the token wins. History keeps the id as
   * the author of each edit; the name is for those who are here at the same time.
   */
  userId?: string;
  userName?: string;
  /**
   * Where edits that are not acknowledged outlive the page, together with the client's identity. Without it they live
   * as long as the client object.
   */
  storage?: Storage;
  /**
   * A storage of this tab alone, `localStorageOf(sessionStorage)`. It keeps the edits of a page that was opened while another
   * one has the stored identity, over a reload; with the tab they are gone.
   */
  tabStorage?: Storage;
  /** Whose the stored edits are: use the signed-in user's id, so that nobody sends another's. Default `""`. */
  storageScope?: string;
  /** Which ways to the relay are tried. Default: `"websocket"`, and `"events"` where that is blocked. */
  transports?: readonly Transport[];
  /** The constructor of WebSockets, where there is no global one: in Node 20, that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  /** Limits and patience. */
  settings?: Partial<Settings>;
  /** False: connects with the first {@link Client.connect}. Default true. */
  autoConnect?: boolean;
}

/** Why the application is asked for a token. */
export type TokenReason = "connect" | "expiring" | "refused";

/** `websocket`: protobuf over a WebSocket. `events`: JSON over server-sent events and POSTs. */
export type Transport = "websocket" | "events";

/** What is used of a WebSocket. */
export type WebSocketConstructor = new (url: string) => WebSocketLike;

export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  // Browsers and packages have types of their own for events, and none that all of them share.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  addEventListener(type: "open" | "close" | "error" | "message", listener: (event: any) => void): void;
}

export interface Client {
  readonly status: Status;
  /** What the relay calls this client: 53 bits, the same on every connection. `undefined` before the first one. */
  readonly clientId: number | undefined;
  /**
   * Whether edits that are not acknowledged outlive the page and its tab. False without a storage, where the storage has
   * failed, and on a page that was opened while another one has the stored identity.
   */
  readonly isPersistent: boolean;

  /** Connects now: after `autoConnect: false`, in place of waiting for the next attempt, or after `stopped`. */
  connect(): void;
  /** Drops the connection and makes no other before {@link connect}. Edits are kept. The state is then `offline`. */
  disconnect(): void;
  /** Ends the client for good: what waits is sent if there is a connection, then the connection is closed. */
  close(): Promise<void>;

  /**
   * A text. The same object for the same id until it is closed. Throws TypeError where this client has the document open as
   * a log, and RangeError for what is no id (1 to 256 bytes, no control characters): mistakes of the program. All that the
   * relay says of it is a state of the document.
   */
  text(documentId: string, options?: DocumentOptions): TextDocument;
  /** A log whose operations are bytes. Throws like {@link text}. */
  log(documentId: string, options?: DocumentOptions): LogDocument<Uint8Array>;
  /** A log whose operations are what the codec makes of the bytes: {@link json}, say. */
  log<T>(documentId: string, options: DocumentOptions & { codec: Codec<T> }): LogDocument<T>;

  /** Documents that this client may read, in the order of their ids' bytes. */
  list(options?: ListOptions): Promise<DirectoryPage>;
  /** The same, and from then on what comes and goes. A client has one watch: another, or a list, ends it. */
  watch(prefix: string, listener: (change: DirectoryChange) => void): () => void;
  /** Deletes a document for everybody. Rejects with {@link RefusedError}. */
  delete(documentId: string): Promise<void>;
  /** Takes a deletion back, within the time that the relay grants. Open the document again after it. */
  restore(documentId: string): Promise<void>;

  // What is asked about a document's past needs no open document, waits for a connection, and rejects with RefusedError.

  /** Who changed what and when, page by page, from either end. Only what is acknowledged. */
  history(documentId: string, options?: HistoryOptions): Promise<HistoryPage>;
  /**
   * A text as it was; without a moment, the newest. It is put together here from all that led there (an old document of
   * many edits takes a while), or from what came after `from`, which an earlier call has given.
   */
  textAt(documentId: string, moment?: Moment, options?: TextAtOptions): Promise<PastText>;
  /** Gives a revision a name, 1 to 128 bytes; without a revision, the newest that the relay has. */
  saveVersion(documentId: string, name: string, revision?: number): Promise<Version>;
  /** All of a document's versions, in the order of their revisions. */
  versions(documentId: string): Promise<readonly Version[]>;
  /** Takes a name from its revision. The text stays. */
  deleteVersion(documentId: string, name: string): Promise<void>;

  on<K extends keyof ClientEvents>(event: K, listener: (value: ClientEvents[K]) => void): () => void;
}

export interface ClientEvents {
  status: Status;
  /** Something was refused that no other event names, or the relay broke the protocol. Nothing is to be done. */
  problem: Problem;
}

/** A connection's state, and what led to it. */
export interface Status {
  /**
   * - `connecting`: an attempt is under way: the first one, or the one after `offline`.
   * - `connected`: the relay has greeted this client.
   * - `reconnecting`: the connection was lost, or could not be made; the next attempt is at `retryAt`.
   * - `offline`: not connected, and the browser says that there is no network, or {@link Client.disconnect} was called.
   * - `stopped`: the relay has refused this client for good, or the client was closed. `refusal` says why.
   */
  readonly state: "connecting" | "connected" | "reconnecting" | "offline" | "stopped";
  /** How it is connected. */
  readonly transport?: Transport;
  /** When the next attempt is made. */
  readonly retryAt?: number;
  /** Attempts that have failed since the last connection. */
  readonly attempts: number;
  /** What the relay said, if it said something. */
  readonly refusal?: Refusal;
  /** In words, for a log: why the connection ended or could not be made. */
  readonly reason?: string;
}

/** The relay's no. The package's README says what each code means for the user. */
export interface Refusal {
  /** An error code of the protocol, 4000 to 5003. 0: a refusal of this client's own, see `name`. */
  readonly code: number;
  /** The code's name: `"FORBIDDEN"`. */
  readonly name: string;
  readonly message: string;
  /** True: trying again will not help. */
  readonly isPermanent: boolean;
  readonly retryAfterMs: number;
}

export interface Problem {
  readonly documentId?: string;
  readonly refusal?: Refusal;
  readonly message: string;
}

/** What a promise rejects with when the relay, or this client, says no. */
export interface RefusedError extends Error {
  readonly refusal: Refusal;
}

// ------------------------------------------------------------------------------------------- documents

export interface DocumentOptions {
  /** Make it if it does not exist. Default true; false: an unknown one is refused with DOCUMENT_NOT_FOUND. */
  create?: boolean;
}

/** What texts and logs have in common. */
export interface Document<Events extends DocumentEvents = DocumentEvents> {
  readonly id: string;
  readonly state: DocumentState;
  /**
   * Settled when the document is there for the first time: caught up with the relay, or read from the storage. Rejects
   * with {@link RefusedError} if it is closed before.
   */
  readonly loaded: Promise<void>;
  /** Up to where the application has been given the document's history. */
  readonly revision: number;
  /** What the token permits. Before the first opening: nothing. */
  readonly permissions: { readonly read: boolean; readonly write: boolean };
  /** What others see for this client, as `#rrggbb`. `""` before the first opening. */
  readonly color: string;
  /** Whether what the user did is safe. */
  readonly saved: SavedState;

  /**
   * Everybody else who is present, by client id. In a text their places are in the text as it is now, whoever edits it: look
   * again on `peers` and on `change`.
   */
  readonly peers: ReadonlyMap<number, Peer>;
  /**
   * Sets this client's presence. Sent at most 10 times a second, the newest wins, and kept alive until {@link leave}. Its
   * places are in the text as it is now, and move with it: announce it again where the user's cursor moves otherwise.
   */
  announce(presence: Presence): void;
  leave(): void;

  /** Sends what waits without waiting for the batch to be due. */
  flush(): void;
  /** Settled when everything that was done until now is acknowledged. Rejects if some of it is refused. */
  whenSaved(): Promise<void>;
  /** Opens the document again after it was closed by the relay (REPLACED, DOCUMENT_DELETED and restored …). */
  reopen(): void;
  /** Leaves the document. What is not acknowledged is given up, unless it is stored: wait for {@link whenSaved} first. */
  close(): void;

  on<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void;
}

/**
 * - `opening`: not there yet; nothing can be edited before it is {@link Document.loaded}.
 * - `open`: caught up, and subscribed.
 * - `catching_up`: open, and what was missed is on its way.
 * - `offline`: no connection; edits are kept and sent later.
 * - `closed`: the relay has closed it or refused to open it: `refusal` says why. {@link Document.reopen} tries again.
 */
export interface DocumentState {
  readonly state: "opening" | "open" | "catching_up" | "offline" | "closed";
  readonly refusal?: Refusal;
}

export interface SavedState {
  /**
   * - `saved`: all that the user did is acknowledged by the relay, and as safe as `durability` says.
   * - `saving`: something is on its way to the relay.
   * - `offline`: something waits here for a connection. It is safe from a reload if {@link Client.isPersistent}.
   * - `refused`: something was not taken, or cannot be sent: `refusal` says why. See the event `refused`.
   */
  readonly state: "saved" | "saving" | "offline" | "refused";
  /** Own operations that the relay has not acknowledged. */
  readonly pending: number;
  /**
   * What the acknowledgements stand for: `always`: on disk, written and synced; `interval`: written, synced within an
   * interval; `never`: written. The weakest that was seen on this connection; absent before the first.
   */
  readonly durability?: Durability;
  /** The queue of edits is full (`waitingOperationsMax`, `waitingBytesMax`): edits throw {@link QueueFullError}. */
  readonly isFull: boolean;
  readonly refusal?: Refusal;
}

export type Durability = "always" | "interval" | "never";

export interface DocumentEvents {
  state: DocumentState;
  saved: SavedState;
  peers: ReadonlyMap<number, Peer>;
  /** The relay is about to stop keeping this slow client's place; presence is withheld until it has caught up. */
  slow: { readonly pendingOperations: number; readonly pendingBytes: number };
}

/** Somebody who is present. */
export interface Peer {
  readonly clientId: number;
  readonly userId: string;
  readonly name: string;
  /** `#rrggbb` */
  readonly color: string;
  readonly cursor?: Cursor;
  readonly selection?: { readonly anchor: Cursor; readonly focus: Cursor };
  readonly isTyping: boolean;
  /** What the peer's application has announced. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly lastSeen: number;
}

/** A place in a document. In a text, `offset` is in code units and `block` is empty. */
export interface Cursor {
  readonly block: string;
  readonly offset: number;
}

/** This client's presence; it replaces the one before. At most 64 KiB. */
export interface Presence {
  cursor?: Cursor | number;
  selection?: { anchor: Cursor | number; focus: Cursor | number };
  isTyping?: boolean;
  /** Anything else, by name: JSON values. */
  fields?: Record<string, unknown>;
}

// ------------------------------------------------------------------------------------------------ texts

/** A document of kind `text`: edits of several people are merged. */
export interface TextDocument extends Document<TextEvents> {
  readonly kind: "text";
  /** With all own edits. `""` before it is loaded. */
  readonly text: string;

  /**
   * Edits. They throw {@link NotEditableError} (not loaded, closed, or the token does not permit writing),
   * {@link QueueFullError}, or RangeError (past the end, or inside a surrogate pair). `source` comes back in the
   * event `change`, so that an editor knows its own. Half a surrogate pair in an insert is replaced by U+FFFD.
   */
  insert(position: number, text: string, source?: unknown): void;
  delete(position: number, length: number, source?: unknown): void;
  splice(position: number, deleted: number, inserted: string, source?: unknown): void;
  edit(operation: Operation, source?: unknown): void;
  /**
   * Makes the text again what it was, by an edit of what is different, so that history goes on and others see it as any
   * edit. What was written since is taken back, whoever wrote it. Throws what {@link edit} and {@link Client.textAt} do.
   */
  revertTo(moment: Moment, source?: unknown): Promise<void>;
  /** Whether {@link edit} would take edits now. */
  readonly isEditable: boolean;
}

export interface TextEvents extends DocumentEvents {
  change: TextChange;
  refused: RefusedEdits;
}

/** What was done to {@link TextDocument.text}. */
export interface TextChange {
  readonly operation: Operation;
  /** `local`: an own edit. `remote`: somebody else's, or what a snapshot changed. `refused`: own edits are taken back. */
  readonly origin: "local" | "remote" | "refused";
  /** As given with a local edit. */
  readonly source?: unknown;
}

/** Own edits that are not in the document and never will be. */
export interface RefusedEdits {
  readonly refusal: Refusal;
  /** Each was made after the one before it. */
  readonly operations: readonly Operation[];
  /** All that the user had inserted with them, to be shown and copied. */
  readonly inserted: string;
}

// ------------------------------------------------------------------------------------------------- logs

/** Operations to bytes and back. `decode` may throw: such an operation is told as `problem` and left out. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** A document of kind `log`: operations that the relay orders and keeps, and does not read. */
export interface LogDocument<T> extends Document<LogEvents<T>> {
  readonly kind: "log";
  /** Own operations that are not acknowledged, oldest first. To be shown after what {@link LogEvents} have given. */
  readonly pending: readonly T[];
  /** Adds an operation. Throws {@link NotEditableError}, {@link QueueFullError}, or RangeError: longer than a message. */
  append(operation: T): void;
  /**
   * Offers a summary of everything up to `revision`, which whoever joins later gets in place of those operations.
   * Settled when it is stored; rejects with {@link RefusedError}. One at a time.
   */
  offerSnapshot(revision: number, data: Uint8Array): Promise<void>;
}

/** In order they are the document's history, own operations included, each when it is durable. */
export interface LogEvents<T> extends DocumentEvents {
  /** The next operation. */
  operation: LogOperation<T>;
  /** Everything before is void: the document is `data` (a client's snapshot; empty: nothing) at `revision`. */
  snapshot: { readonly revision: number; readonly data: Uint8Array };
  /** {@link LogDocument.pending} has changed. */
  pending: readonly T[];
  /** Own operations that are not in the document and never will be. */
  refused: { readonly refusal: Refusal; readonly operations: readonly T[] };
}

export interface LogOperation<T> {
  readonly value: T;
  readonly revision: number;
  /** The client id of who made it. */
  readonly origin: number;
  readonly clock: number;
  readonly isOwn: boolean;
}

// ------------------------------------------------------------------------------------------------ lists

export interface ListOptions {
  /** Only ids that start with it. */
  prefix?: string;
  /** Only ids after it: the last one of the page before. */
  after?: string;
  /** At most so many. 0: as many as the relay likes to send at once. */
  limit?: number;
}

export interface DirectoryPage {
  readonly documents: readonly DirectoryEntry[];
  readonly hasMore: boolean;
}

export interface DirectoryEntry {
  readonly id: string;
  readonly kind: string;
}

export interface DirectoryChange {
  /** `all`: the first page, in place of everything before. It comes again after a reconnect. */
  readonly all?: DirectoryPage;
  readonly created: readonly DirectoryEntry[];
  readonly deleted: readonly string[];
  /** There was more than can be said: list again. */
  readonly isIncomplete: boolean;
}

// ---------------------------------------------------------------------------------------------- history

export interface HistoryOptions {
  /** The newest first, for a list of changes. Default: from the oldest to the newest, for who replays. */
  newestFirst?: boolean;
  /** Begin with the entry that has this revision: `nextRevision` of the page before. Default: where the direction begins. */
  fromRevision?: number;
  /** Begin with the oldest entry that is not earlier than this time; newest first, with the newest that is not later. */
  fromTime?: number;
  /** At most so many entries. Default: as many as the relay likes to send at once. */
  limit?: number;
  /** Entries come with what they have changed. */
  withOperations?: boolean;
}

/** A page of what has happened in a document. */
export type HistoryPage = PageOf<"text", Operation> | PageOf<"log", Uint8Array>;

export interface PageOf<Kind extends string, T> {
  readonly kind: Kind;
  /** In the order that was asked for. */
  readonly entries: readonly HistoryEntry<T>[];
  /** There are more: ask again from this revision, and without a time. */
  readonly nextRevision?: number;
  /** The document's newest revision, and the epoch that revisions count in. */
  readonly revision: number;
  readonly epoch: number;
  /** The document began with this revision. More than 1 if it was deleted and made again. */
  readonly firstRevision: number;
  /** The oldest that is kept: of a log that was compacted it is past the first. */
  readonly oldestRevision: number;
}

/** A batch of operations, as it took its place. */
export interface HistoryEntry<T> {
  /** Of the first operation; the others follow by one. */
  readonly revision: number;
  readonly count: number;
  /** The client id of who made them. */
  readonly origin: number;
  /** The user id of who made them; `""` of a client that had none, whatever its `userName`. */
  readonly author: string;
  /** Never earlier than that of the entry before. 0: from before the relay kept times. */
  readonly time: number;
  /** What its operations take in bytes. */
  readonly bytes: number;
  /** If they were asked for. */
  readonly operations?: readonly T[];
}

/** A point in a document's history: a revision, or what was the newest one at a time. */
export type Moment = { readonly revision: number } | { readonly time: number };

export interface TextAtOptions {
  /** An earlier text of the same document, to go on from. One that is later is of no use, and is left alone. */
  from?: PastText;
  /** Ends it between two pages: an AbortSignal. */
  signal?: { throwIfAborted(): void };
}

export interface PastText {
  readonly text: string;
  readonly revision: number;
  /** Revisions of different epochs are not comparable. */
  readonly epoch: number;
}

/** A revision with a name. */
export interface Version {
  readonly name: string;
  readonly revision: number;
  /** The user id of who saved it; `""` where nobody was named. */
  readonly author: string;
  /** When it was saved. */
  readonly time: number;
}

// -------------------------------------------------------------------------------------- storage, limits

/** A place that outlives the page: three functions over strings. */
export interface Storage {
  read(key: string): Promise<string | undefined> | string | undefined;
  write(key: string, value: string): Promise<void> | void;
  remove(key: string): Promise<void> | void;
}

/** What is used of a browser's `localStorage` or `sessionStorage`. */
export interface WebStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Limits and patience. The defaults are those of the protocol's documentation. */
export interface Settings {
  /** A batch of so many operations is sent at once. 50. */
  batchOperationsMax: number;
  /** The payload bytes of one batch. 512 KiB. */
  batchBytesMax: number;
  /** The oldest operation of a batch waits no longer than this. 100. */
  batchAgeMaxMs: number;
  /** Nothing was added for this long: the batch is sent. 50. */
  batchPauseMs: number;
  /** Batches of a log on their way at one time. Of a text it is always 1. 3. */
  batchesInFlightMax: number;
  /** Operations of one document that wait for the relay; past it a log refuses, a text makes one of two. 65,536. */
  waitingOperationsMax: number;
  /** Bytes of one document's operations that wait for the relay; past it edits throw {@link QueueFullError}. 16 MiB. */
  waitingBytesMax: number;
  /** The delay before the first attempt to come back; each failure multiplies it, up to the longest. 1,000. */
  reconnectDelayMs: number;
  /** 30,000 */
  reconnectDelayMaxMs: number;
  /** 1.5 */
  reconnectFactor: number;
  /** Every delay is moved by up to this part of itself in either direction. 0.3. */
  reconnectJitter: number;
  /** How long opening a connection may take, up to the relay's greeting. 10,000. */
  connectTimeoutMs: number;
  /** How often a presence is kept alive. 10,000. */
  heartbeatPeriodMs: number;
  /** The shortest time between two updates of one presence. 100. */
  presencePeriodMinMs: number;
  /** How long after a ping the relay counts as gone. 10,000. */
  pongTimeoutMs: number;
  /** While something is not acknowledged, silence of this length is asked about with a ping. 5,000. */
  stallPeriodMs: number;
  /** The longest frame that is accepted from the relay. 16 MiB. */
  frameBytesMax: number;
  /** The longest snapshot that is accepted or offered. 64 MiB. */
  snapshotBytesMax: number;
  /** Questions about documents by their names that wait for the relay; past it they reject. 64. */
  requestsMax: number;
  /** How long before its end a token is renewed, or earlier where it does not live that long. 60,000. */
  tokenRenewalMs: number;
}
