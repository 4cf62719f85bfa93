/** What texts and logs have in common: their state, who is present, and whether what the user did is safe. */

import type {
  Document as Face,
  DocumentEvents,
  DocumentState,
  Durability,
  Peer,
  Presence,
  Refusal,
  SavedState,
} from "../api.js";
import { Emitter } from "../emitter.js";
import type { Announced } from "../session/announcement.js";
import type { Document as Place } from "../session/document.js";
import type { DocumentEvent } from "../session/event.js";
import { ErrorCode, NotEditableError, ownRefusal, RefusedError } from "../session/refusal.js";
import type { Full } from "../session/pending.js";
import type { UserPresence } from "../wire/corelay_pb.js";
import type { Guest, Host } from "./host.js";
import { announcedOf, Peers, type Seen } from "./peers.js";

const DURABILITIES: readonly Durability[] = ["never", "interval", "always"];

export abstract class BaseDocument<Events extends DocumentEvents> implements Face<Events>, Guest {
  abstract readonly revision: number;
  abstract readonly kind: "text" | "log";
  readonly loaded: Promise<void>;
  permissions = { read: false, write: false };
  color = "";
  protected readonly emitter = new Emitter<Events>();
  /** Its place on the session, once the storage has been read. */
  protected place: Place | undefined;
  protected isLoaded = false;
  protected isClosed = false;
  #state: DocumentState = { state: "opening" };
  #saved: SavedState = { state: "saved", pending: 0, isFull: false };
  readonly #peers = new Peers();
  /** What was announced before it had a place. */
  #announced: Announced | undefined;
  #durability: Durability | undefined;
  #refusal: Refusal | undefined;
  protected full: Full | undefined;
  #waiters: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #resolveLoaded: () => void = () => {};
  #rejectLoaded: (error: Error) => void = () => {};

  constructor(
    protected readonly host: Host,
    readonly id: string,
    protected readonly create: boolean,
  ) {
    this.loaded = new Promise((resolve, reject) => {
      this.#resolveLoaded = resolve;
      this.#rejectLoaded = reject;
    });
    // Nobody has to wait for it.
    this.loaded.catch(() => {});
  }

  // ---- for the application

  get state(): DocumentState {
    return this.#state;
  }

  get saved(): SavedState {
    return this.#saved;
  }

  get peers(): ReadonlyMap<number, Peer> {
    return this.#peers.all;
  }

  /** The others as they were told of. */
  protected get seen(): ReadonlyMap<number, Seen> {
    return this.#peers.all;
  }

  announce(presence: Presence): void {
    this.say(announcedOf(presence));
  }

  protected say(announced: Announced): void {
    this.#announced = announced;
    this.place?.announce(announced);
    this.host.wake(this);
  }

  leave(): void {
    this.#announced = undefined;
    this.place?.announce({ leave: true });
    this.host.wake(this);
  }

  whenSaved(): Promise<void> {
    if (this.#saved.state === "saved") return Promise.resolve();
    if (this.#saved.state === "refused") return Promise.reject(new RefusedError(this.#saved.refusal!));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  reopen(): void {
    if (this.isClosed || this.place?.isClosed !== true) return;
    const isReplaced = this.#refusal?.code === ErrorCode.REPLACED;
    this.#refusal = undefined;
    this.host.session.reopen(this.place);
    // The newest connection has the document, and the other client's is newer than this one.
    if (isReplaced) this.host.reconnect();
    this.refresh();
    this.host.wake(this);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.place !== undefined) this.host.session.close(this.place);
    this.#rejectLoaded(new RefusedError(ownRefusal("CLOSED", "the application has closed the document")));
    this.host.closed(this);
    this.refresh();
    this.host.wake(this);
  }

  on<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void {
    return this.emitter.on(event, listener);
  }

  abstract flush(): void;

  // ---- for the client

  get at(): Place | undefined {
    return this.place;
  }

  abstract start(stored: string | undefined): void;
  abstract store(): string | undefined;
  abstract poll(now: number): void;
  abstract pollTimeout(): number | undefined;
  /** Own operations that are not acknowledged. */
  protected abstract get pendingCount(): number;
  protected abstract handleContent(event: DocumentEvent): void;

  handleEvent(event: DocumentEvent): void {
    switch (event.type) {
      case "opened":
        this.permissions = event.permissions;
        this.color = event.color;
        break;
      case "presence":
        this.#updatePeers(event.presences, event.full);
        break;
      case "warning":
        this.tell("slow", { pendingOperations: event.pendingOperations, pendingBytes: event.pendingBytes });
        break;
      case "closed":
        this.#refusal = event.refusal;
        this.#clearPeers();
        this.#rejectLoaded(new RefusedError(event.refusal));
        break;
      case "document_error":
      case "postponed":
        this.host.problem({ documentId: this.id, refusal: event.refusal, message: event.refusal.message });
        break;
      case "acknowledged":
        if (event.durability !== undefined) this.#acknowledged(event.durability);
        break;
      case "reset":
      case "snapshot":
      case "remote":
      case "refused":
      case "rebase":
      case "synced":
      case "resync":
      case "snapshot_accepted":
      case "snapshot_refused":
        break;
    }
    this.handleContent(event);
    if (event.type === "synced") this.nowLoaded();
    this.refresh();
  }

  connectionChanged(isConnected: boolean): void {
    if (!isConnected) {
      this.#durability = undefined;
      this.#clearPeers();
    }
    this.refresh();
  }

  #clearPeers(): void {
    this.#updatePeers([], true);
  }

  #updatePeers(presences: readonly UserPresence[], full: boolean): void {
    const before = this.#peers.all;
    if (!this.#peers.update(presences, full)) return;
    this.peersChanged(before, this.#peers.all);
    this.tell("peers", this.peers);
  }

  /** Others have come, gone or moved; the application is told next. */
  protected abstract peersChanged(before: ReadonlyMap<number, Seen>, now: ReadonlyMap<number, Seen>): void;

  // ---- for its kinds

  protected tell<K extends keyof DocumentEvents>(event: K, value: DocumentEvents[K]): void {
    (this.emitter as unknown as Emitter<DocumentEvents>).emit(event, value);
  }

  protected nowLoaded(): void {
    this.isLoaded = true;
    this.#resolveLoaded();
  }

  protected open(have?: { epoch: number; revision: number }): void {
    const { id, create, kind } = this;
    this.place = this.host.session.open({ id, kind, create, ...(have && { have }) });
    if (this.#announced !== undefined) this.place.announce(this.#announced);
  }

  protected checkEditable(): void {
    if (!this.isLoaded) throw new NotEditableError("the document is not loaded");
    if (this.isClosed || this.place?.isClosed === true) throw new NotEditableError("the document is closed");
    if (!this.permissions.write) throw new NotEditableError("the token does not permit writing");
  }

  get isEditable(): boolean {
    return this.isLoaded && !this.isClosed && this.place?.isClosed !== true && this.permissions.write;
  }

  /** Own edits were refused: that is to be seen until the next ones are taken. */
  protected noteRefusal(refusal: Refusal): void {
    this.#refusal = refusal;
    this.#settle(new RefusedError(refusal));
  }

  #acknowledged(durability: Durability): void {
    const weakest = Math.min(DURABILITIES.indexOf(durability), DURABILITIES.indexOf(this.#durability ?? "always"));
    this.#durability = DURABILITIES[weakest];
    this.#refusal = undefined;
  }

  /** Tells what has changed. */
  protected refresh(): void {
    const state = this.#currentState();
    if (state.state !== this.#state.state || state.refusal !== this.#state.refusal) {
      this.#state = state;
      this.tell("state", state);
    }
    const saved = this.#currentSaved();
    const before = this.#saved;
    if (
      saved.state !== before.state ||
      saved.pending !== before.pending ||
      saved.isFull !== before.isFull ||
      saved.durability !== before.durability ||
      saved.refusal !== before.refusal
    ) {
      this.#saved = saved;
      if (saved.state === "saved") this.#settle();
      if (saved.state === "refused") this.#settle(new RefusedError(saved.refusal!));
      this.tell("saved", saved);
    }
  }

  #settle(error?: Error): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { resolve, reject } of waiters) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  #currentState(): DocumentState {
    const { place } = this;
    if (this.isClosed) return { state: "closed" };
    if (place?.isClosed === true) return { state: "closed", ...(this.#refusal && { refusal: this.#refusal }) };
    if (!this.isLoaded) return { state: "opening" };
    if (!this.host.isConnected) return { state: "offline" };
    return { state: place?.isCaughtUp === true ? "open" : "catching_up" };
  }

  #currentSaved(): SavedState {
    const pending = this.pendingCount;
    const details = {
      pending,
      isFull: this.full !== undefined,
      ...(this.#durability !== undefined && { durability: this.#durability }),
    };
    const isShut = this.place?.isClosed === true;
    const { stopped } = this.host;
    const refusal = this.#refusal ?? stopped;
    // What cannot be sent, or what was given back and nothing has been saved since.
    const isRefused = pending > 0 ? isShut || stopped !== undefined : this.#refusal !== undefined && !isShut;
    if (isRefused && refusal !== undefined) return { ...details, state: "refused", refusal };
    if (pending === 0) return { ...details, state: "saved" };
    return { ...details, state: this.host.isConnected ? "saving" : "offline" };
  }
}
