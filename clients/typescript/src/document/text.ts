/** A text on a session: the application edits it and is told what others did to it. */

import type { Cursor, Moment, Peer, Presence, Refusal, TextDocument, TextEvents } from "../api.js";
import { earliest } from "../session/document.js";
import type { DocumentEvent } from "../session/event.js";
import { Pace } from "../session/pending.js";
import { ownRefusal, QueueFullError } from "../session/refusal.js";
import { difference } from "../text/compose.js";
import { OutOfStep, sizeOf, TextClient } from "../text/client.js";
import { Operation } from "../text/operation.js";
import { areSame } from "../text/places.js";
import { pieces, repaired } from "../text/pieces.js";
import { BaseDocument } from "./base.js";
import { OwnPresence, placeOf } from "./own-presence.js";
import { announcedOf, type Seen } from "./peers.js";
import { readText, writeText } from "./stored.js";

export class Text extends BaseDocument<TextEvents> implements TextDocument {
  readonly kind = "text";
  /** Unknown before the document was opened for the first time. */
  #client: TextClient | undefined;
  #epoch = 0;
  #pace = new Pace();
  readonly #own = new OwnPresence();
  /** The others in the text as it is now, as far as somebody has asked for that. */
  #peers: ReadonlyMap<number, Peer> | undefined;
  /** When this client has said last where it is. */
  #saidAt = 0;
  /** A batch that was refused or lost is to be sent again at once. */
  #resends = false;
  /** What arrives does not continue the text, until the pages that were asked for come. */
  #isOutOfStep = false;
  /** What there is of it is wrong. */
  #isBroken = false;

  get text(): string {
    return this.#client?.text ?? "";
  }

  get revision(): number {
    return this.#client?.revision ?? 0;
  }

  protected get pendingCount(): number {
    return this.#client?.pending.length ?? 0;
  }

  // ---- edits

  insert(position: number, text: string, source?: unknown): void {
    this.splice(position, 0, text, source);
  }

  delete(position: number, length: number, source?: unknown): void {
    this.splice(position, length, "", source);
  }

  splice(position: number, deleted: number, inserted: string, source?: unknown): void {
    this.edit(Operation.splice(position, deleted, inserted), source);
  }

  edit(operation: Operation, source?: unknown): void {
    this.checkEditable();
    const whole = repaired(operation);
    if (whole.isIdentity) return;
    const client = this.#client!;
    const { settings } = this.host.session;
    if (client.pendingBytes + sizeOf(whole) > settings.waitingBytesMax) {
      this.full = "waitingBytesMax";
      this.refresh();
      throw new QueueFullError(this.full);
    }
    // Nothing is changed if it does not fit.
    whole.apply(client.text);
    const bytesMax = this.#pieceBytesMax;
    for (const piece of pieces(whole, bytesMax)) client.edit(piece, settings.waitingOperationsMax, bytesMax);
    this.#pace.touch(this.host.now());
    this.#moved(whole, true);
    this.emitter.emit("change", { operation: whole, origin: "local", source });
    this.refresh();
    this.host.wake(this);
  }

  async revertTo(moment: Moment, source?: unknown): Promise<void> {
    const { text } = await this.host.textAt(this.id, moment);
    // Few pages do it: it is loaded when one does.
    const { editsBetween } = await import("../text/edits-between.js");
    this.edit(editsBetween(this.text, text), source);
  }

  /** What one operation may take: in any dialect it fits into a message. */
  get #pieceBytesMax(): number {
    return Math.max(1024, Math.min(this.host.session.messageBytesMax / 6, 192 * 1024));
  }

  flush(): void {
    this.#pace.dueAtOnce();
    this.host.wake(this);
  }

  // ---- who is where

  /** In the text as it is now. */
  override get peers(): ReadonlyMap<number, Peer> {
    this.#peers ??= new Map([...this.seen].map(([clientId, seen]) => [clientId, this.#placed(seen)]));
    return this.#peers;
  }

  override announce(presence: Presence): void {
    this.#own.announce(presence);
    this.#say();
  }

  override leave(): void {
    this.#own.leave(this.#client);
    super.leave();
  }

  protected peersChanged(before: ReadonlyMap<number, Seen>, now: ReadonlyMap<number, Seen>): void {
    this.#client?.places.keep(new Set([...now.keys(), this.#client.clientId]));
    for (const seen of now.values()) this.#note(seen);
    this.#peers = undefined;
    if ([...now.keys()].some((clientId) => !before.has(clientId))) this.#sayAgain();
  }

  #note(seen: Seen): void {
    // Revisions of different epochs are not comparable.
    const revision = seen.at?.epoch === this.#epoch ? seen.at.revision : undefined;
    this.#client?.places.tell(seen.clientId, { place: placeOf(seen), revision });
  }

  #placed(seen: Seen): Peer {
    const { cursor, selection, ...peer } = seen;
    const told = placeOf(seen);
    const place = this.#client?.placeOf(seen.clientId);
    const on = (offset: number): Cursor => ({ block: "", offset });
    const at = told.cursor === undefined ? cursor : place?.cursor !== undefined && on(place.cursor);
    const ends = place?.selection && { anchor: on(place.selection.anchor), focus: on(place.selection.focus) };
    const range = told.selection === undefined ? selection : ends;
    return { ...peer, ...(at && { cursor: at }), ...(range && { selection: range }) };
  }

  /** The text is what it was, but places may have moved in it. */
  #tellMoved(): void {
    const shown = this.#peers;
    this.#peers = undefined;
    const isSame = (peer: Peer): boolean => areSame(placeOf(peer), placeOf(this.peers.get(peer.clientId)!));
    if (shown !== undefined && ![...shown.values()].every(isSame)) this.tell("peers", this.peers);
  }

  /** Says where this client is, if the others would look elsewhere. */
  #say(isAgain = false): void {
    const said = this.#own.next(this.#client, isAgain);
    if (said === undefined) return;
    this.#saidAt = this.host.now();
    const at = this.#client && { epoch: this.#epoch, revision: this.#client.revision };
    this.say(announcedOf(said, at));
  }

  /** Says it for those who have not seen the text change since. */
  #sayAgain(): void {
    if (this.#client !== undefined && this.#own.isStale(this.#client)) this.#say(true);
  }

  get #saysAgainAt(): number | undefined {
    const isStale = this.#client !== undefined && this.#own.isStale(this.#client);
    return isStale ? this.#saidAt + this.host.session.settings.heartbeatPeriodMs : undefined;
  }

  // ---- the session

  start(stored: string | undefined): void {
    const record = stored === undefined ? undefined : readText(stored);
    if (record === undefined) {
      this.open();
    } else {
      this.#client = TextClient.restore(record.text);
      this.#epoch = record.epoch;
      this.permissions = { read: true, write: record.canWrite };
      if (this.#client.pending.length > 0) this.#pace.touch(this.host.now());
      this.open({ epoch: record.epoch, revision: record.text.revision });
      this.#changed(Operation.splice(0, 0, this.#client.text));
      this.nowLoaded();
    }
    this.refresh();
  }

  store(): string | undefined {
    if (this.#client === undefined || !this.isLoaded) return undefined;
    return writeText({ epoch: this.#epoch, canWrite: this.permissions.write, text: this.#client.store() });
  }

  protected handleContent(event: DocumentEvent): void {
    if (event.type === "opened") this.#opened(event.position.epoch);
    const client = this.#client;
    if (client === undefined) return;
    try {
      const shown = this.#peers;
      this.#take(client, event);
      if (this.#peers === shown) this.#tellMoved();
      this.#say();
    } catch (error) {
      if (error instanceof OutOfStep) {
        this.#isOutOfStep = true;
        this.place?.requestSync({ epoch: this.#epoch, revision: error.revision }, 0);
      } else if (error instanceof RangeError) {
        this.#break(error.message);
      } else {
        throw error;
      }
    }
  }

  /** The relay has sent what does not fit. To open the document again is to begin anew. */
  #break(message: string): void {
    const refusal = ownRefusal("BROKEN", `the relay has sent what does not fit the text: ${message}`);
    this.#abandon(refusal);
    this.#isBroken = true;
    this.host.session.close(this.place!);
    this.place!.have = undefined;
    this.handleEvent({ type: "closed", refusal });
  }

  #opened(epoch: number): void {
    const { clientId } = this.host.session;
    if (this.#isBroken) {
      const view = difference(this.text, "");
      this.#client = undefined;
      this.#isBroken = false;
      this.#changed(view);
    }
    this.#client ??= new TextClient(clientId);
    if (this.#client.clientId !== clientId) this.#identify(clientId);
    this.#moveTo(epoch);
  }

  /** Somebody else is signed in than whose edits these were. */
  #identify(clientId: number): void {
    if (this.#client!.pending.length > 0) {
      this.#abandon(ownRefusal("IDENTITY_CHANGED", "the edits are another user's, or another client's"));
    }
    this.#client = TextClient.restore({ ...this.#client!.store(), clientId, clock: 0 });
  }

  #moveTo(epoch: number): void {
    // Revisions of different epochs are not comparable.
    if (this.#epoch !== epoch) this.#client!.epochChanged();
    this.#epoch = epoch;
    this.#isOutOfStep = false;
  }

  #take(client: TextClient, event: DocumentEvent): void {
    switch (event.type) {
      case "resync":
        this.#moveTo(event.from.epoch);
        return client.resyncing();
      case "reset":
        return this.#changed(client.reset(event.nextClock));
      case "snapshot":
        return this.#changed(client.snapshot(event.revision, event.nextClock, decoder.decode(event.data)));
      case "synced":
        client.caughtUp(event.nextClock);
        this.#resends = true;
        return;
      case "rebase":
        client.nacked();
        this.#resends = true;
        return;
      case "refused":
        return this.#abandon(event.refusal);
      case "remote": {
        if (this.#isOutOfStep) return;
        const { revision, origin, firstClock, operations } = event;
        return client.remote(revision, origin, firstClock, operations, (view) => this.#changed(view));
      }
      case "acknowledged":
        if (!this.#isOutOfStep) client.acknowledged(event.firstRevision, event.count);
        this.#checkFull();
        return;
      case "closed":
        return client.disconnected();
      default:
        return;
    }
  }

  override connectionChanged(isConnected: boolean): void {
    if (!isConnected) this.#client?.disconnected();
    super.connectionChanged(isConnected);
  }

  /** Own edits are not in the document and never will be. */
  #abandon(refusal: Refusal): void {
    const { view, operations } = this.#client!.abandon();
    this.#checkFull();
    if (!view.isIdentity) {
      this.#moved(view, false);
      this.emitter.emit("change", { operation: view, origin: "refused" });
    }
    if (operations.length === 0) return;
    this.noteRefusal(refusal);
    const inserted = operations.map((operation) => operation.inserted).join("");
    this.emitter.emit("refused", { refusal, operations, inserted });
  }

  #changed(operation: Operation): void {
    if (operation.isIdentity) return;
    this.#moved(operation, false);
    this.emitter.emit("change", { operation, origin: "remote" });
  }

  #moved(operation: Operation, isOwn: boolean): void {
    this.#own.moved(operation, isOwn);
    this.#peers = undefined;
  }

  #checkFull(): void {
    const { waitingBytesMax } = this.host.session.settings;
    if (this.full !== undefined && this.#client!.pendingBytes < waitingBytesMax * 0.9) this.full = undefined;
  }

  poll(now: number): void {
    if ((this.#saysAgainAt ?? Infinity) <= now) this.#sayAgain();
    const client = this.#client;
    const { session } = this.host;
    const { place } = this;
    if (client === undefined || place === undefined || this.#isOutOfStep || !session.isReady(place)) return;
    if (!this.#resends && !this.#pace.isDue(session.settings, now)) return;
    this.#resends = false;
    const batch = client.takeBatch(session.settings.batchOperationsMax, session.payloadBytesMax);
    if (batch === undefined) return;
    if (client.pending.length === batch.operations.length) this.#pace = new Pace();
    session.submitBatch(place, batch);
  }

  pollTimeout(): number | undefined {
    return earliest([this.#batchAt, this.#saysAgainAt]);
  }

  get #batchAt(): number | undefined {
    const { session } = this.host;
    if (this.place === undefined || this.#isOutOfStep || !session.isReady(this.place)) return undefined;
    return this.pendingCount === 0 ? undefined : this.#pace.due(session.settings);
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
