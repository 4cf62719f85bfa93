import { EditorSelection, EditorState } from "@codemirror/state";
import { expect, test } from "vitest";

import { changesOf, operationOf, selectionAfter } from "../../src/codemirror/binding.js";
import { OwnPresence } from "../../src/document/own-presence.js";
import { Operation, type Presence } from "../../src/index.js";
import { encodeOperation } from "../../src/text/encoding.js";
import { OutOfStep, TextClient } from "../../src/text/client.js";
import { movedBy, type Place, Places } from "../../src/text/places.js";
import { randomSplice, randomText } from "../support/edits.js";
import { Random } from "../support/random.js";
import { type SmallConnection, SmallRelay, type Told } from "./small-relay.js";

test("what others insert at a cursor comes after it, what its own user inserts before it", () => {
  const insert = Operation.splice(4, 0, "xy");
  expect(movedBy({ cursor: 4 }, insert, false)).toEqual({ cursor: 4 });
  expect(movedBy({ cursor: 4 }, insert, true)).toEqual({ cursor: 6 });
  expect(movedBy({ cursor: 5 }, insert, false)).toEqual({ cursor: 7 });
});

test("a selection does not grow, whichever way it was made", () => {
  const both = Operation.from([{ retain: 2 }, { insert: "<" }, { retain: 3 }, { insert: ">" }]);
  const of = (anchor: number, focus: number): Place => ({ cursor: focus, selection: { anchor, focus } });
  expect(movedBy(of(2, 5), both, false)).toEqual(of(3, 6));
  expect(movedBy(of(5, 2), both, false)).toEqual(of(6, 3));
  expect(movedBy(of(2, 5), Operation.splice(1, 6, ""), false)).toEqual(of(1, 1));
});

test("a place is of its revision, whether that has come or is still to come", () => {
  const places = new Places();
  const insert = (at: number): void => places.step(7, Operation.splice(at, 0, "x"), 1);
  insert(0);
  insert(0);
  places.tell(1, { place: { cursor: 3 }, revision: 1 });
  expect(places.of(1)).toEqual({ cursor: 4 });
  places.tell(2, { place: { cursor: 3 }, revision: 3 });
  expect(places.of(2)).toBeUndefined();
  places.tell(3, { place: { cursor: 3 }, revision: undefined });
  insert(0);
  expect([places.of(1), places.of(2), places.of(3)]).toEqual([{ cursor: 5 }, { cursor: 3 }, { cursor: 4 }]);
  // Who says the same again has not moved.
  places.tell(1, { place: { cursor: 3 }, revision: 1 });
  expect(places.of(1)).toEqual({ cursor: 5 });
  expect([places.hasMoved(1), places.hasMoved(2)]).toEqual([true, false]);
  places.jump(9);
  expect(places.of(1)).toEqual({ cursor: 3 });
});

test("history that is long past is not kept", () => {
  const places = new Places();
  for (let count = 0; count < 2000; count += 1) places.step(7, Operation.splice(0, 0, "x"), 1);
  places.tell(1, { place: { cursor: 5 }, revision: 1990 });
  places.tell(2, { place: { cursor: 5 }, revision: 10 });
  expect([places.of(1), places.of(2)]).toEqual([{ cursor: 15 }, { cursor: 5 }]);
  places.step(7, Operation.splice(0, 0, "long"), 2 ** 30);
  places.tell(3, { place: { cursor: 5 }, revision: 2000 });
  expect(places.of(3)).toEqual({ cursor: 5 });
});

test("a place is said once the others have the edits that it stands behind, and only where they would look elsewhere", () => {
  const client = new TextClient(5);
  const own = new OwnPresence();
  client.caughtUp(0);
  own.announce({ cursor: 0 });
  expect(own.next(client)).toEqual({ cursor: 0 });
  const type = (text: string): void => {
    const edit = Operation.splice(client.text.length, 0, text);
    client.edit(edit, 50, 1000);
    own.moved(edit, true);
    client.takeBatch(50, 1000);
  };
  type("xy");
  own.announce({ cursor: 2, isTyping: true });
  expect(own.next(client)).toEqual({ cursor: 0, isTyping: true });
  client.acknowledged(1, 1);
  // What its own user has typed has moved it for everybody.
  expect(own.next(client)).toBeUndefined();
  type("z");
  own.announce({ cursor: 1, isTyping: true });
  expect(own.next(client)).toBeUndefined();
  client.acknowledged(2, 1);
  expect(own.next(client)).toEqual({ cursor: 1, isTyping: true });
  const theirs = encodeOperation(Operation.splice(0, 0, "abc"));
  client.remote(3, 7, 0, [theirs], (view) => own.moved(view, false));
  expect(own.next(client)).toBeUndefined();
  // Who comes now has not seen that.
  expect(own.isStale(client)).toBe(true);
  expect(own.next(client, true)).toEqual({ cursor: 4, isTyping: true });
  expect(own.isStale(client)).toBe(false);
  own.leave(client);
  expect([own.next(client, true), client.places.of(5)]).toEqual([undefined, undefined]);
});

/** An editor with its connection: what it shows, and where it has its cursor. */
class Page {
  readonly client: TextClient;
  readonly own = new OwnPresence();
  /** What others have said, and has not arrived. */
  said: { clientId: number; place: Presence; revision: number }[] = [];
  editor = EditorState.create({ extensions: EditorState.lineSeparator.of("\n") });
  #connection: SmallConnection;

  constructor(
    readonly relay: SmallRelay,
    readonly random: Random,
    readonly id: number,
    readonly pages: Page[],
  ) {
    this.client = new TextClient(id);
    this.#connection = relay.connect(id, 0, undefined);
    pages.push(this);
  }

  step(): void {
    const { random } = this;
    switch (random.below(8)) {
      case 0:
        return this.#type();
      case 1:
        return this.#edit(randomSplice(random, this.editor.doc.toString()));
      case 2:
        return this.#look();
      case 3:
        return this.send();
      case 4:
        return this.listen(1 + random.below(2));
      default:
        return this.hear(1 + random.below(3));
    }
  }

  /** Where the cursor is. */
  #type(): void {
    const { main } = this.editor.selection;
    const text = randomText(this.random, 2);
    this.#do(Operation.splice(main.from, main.to - main.from, text), main.from + text.length);
  }

  /** Somewhere else: the cursor is left alone. */
  #edit(operation: Operation): void {
    this.#do(operation, undefined);
  }

  #do(operation: Operation, cursor: number | undefined): void {
    const changes = this.editor.changes(changesOf(operation));
    const selection =
      cursor === undefined ? selectionAfter(this.editor.selection, changes) : EditorSelection.cursor(cursor);
    this.editor = this.editor.update({ changes, ...(selection && { selection }) }).state;
    const edit = operationOf(changes);
    if (!edit.isIdentity) this.client.edit(edit, this.random.of([2, 50]), 1000);
    this.own.moved(edit, true);
    this.tell();
  }

  #look(): void {
    const characters = Array.from(this.editor.doc.toString());
    const place = (): number => characters.slice(0, this.random.below(characters.length + 1)).join("").length;
    const [anchor, head] = [place(), place()];
    const isCursor = this.random.below(2) === 0;
    this.editor = this.editor.update({ selection: { anchor: isCursor ? head : anchor, head } }).state;
    this.tell();
  }

  /** As the editor's binding does. */
  tell(): void {
    const { anchor, head } = this.editor.selection.main;
    this.own.announce({ cursor: head, selection: { anchor, focus: head } });
    this.#say(this.own.next(this.client));
  }

  sayAgain(): void {
    if (this.own.isStale(this.client)) this.#say(this.own.next(this.client, true));
  }

  #say(place: Presence | undefined): void {
    if (place === undefined) return;
    const said = { clientId: this.id, place, revision: this.client.revision };
    for (const other of this.pages) {
      if (other === this) continue;
      // The newest wins, as on the relay.
      if (this.random.below(3) === 0) other.said = other.said.filter(({ clientId }) => clientId !== this.id);
      other.said.push(said);
    }
  }

  /** Takes what others say of themselves. */
  listen(count: number): void {
    for (const { clientId, place, revision } of this.said.splice(0, count)) {
      this.client.places.tell(clientId, { place: place as Place, revision });
    }
  }

  /** Everything is told anew, beginning with a snapshot. */
  reconnect(): void {
    this.relay.disconnect(this.#connection);
    this.client.disconnected();
    this.#connection = this.relay.connect(this.id, this.client.revision, this.random.below(3));
  }

  send(): void {
    const batch = this.client.takeBatch(1 + this.random.below(4), 1000);
    if (batch !== undefined) this.relay.send(this.#connection, batch, this.random.below(8) === 0);
  }

  hear(count: number): void {
    for (let told; count > 0 && (told = this.#connection.told.shift()) !== undefined; count -= 1) {
      try {
        this.#take(told);
      } catch (error) {
        if (!(error instanceof OutOfStep)) throw error;
        this.relay.sync(this.#connection, error.revision, undefined);
      }
      this.#say(this.own.next(this.client));
    }
  }

  #take(told: Told): void {
    const { client } = this;
    switch (told.type) {
      case "snapshot":
        return this.#show(client.snapshot(told.revision, told.nextClock, told.data));
      case "operations":
        return client.remote(told.revision, told.origin, told.firstClock, told.operations, (it) => this.#show(it));
      case "caught_up":
        return client.caughtUp(told.nextClock);
      case "ack":
        return client.acknowledged(told.firstRevision, told.count);
      case "nack":
        return client.nacked();
      case "resync":
        return client.resyncing();
    }
  }

  #show(operation: Operation): void {
    if (operation.isIdentity) return;
    this.own.moved(operation, false);
    const changes = this.editor.changes(changesOf(operation));
    const selection = selectionAfter(this.editor.selection, changes);
    this.editor = this.editor.update({ changes, ...(selection && { selection }) }).state;
    this.tell();
  }

  get isQuiet(): boolean {
    return this.client.pending.length === 0 && this.#connection.told.length === 0;
  }
}

test.each([
  ["two", 2],
  ["three", 3],
])("%s editors see each other's cursors where those are", (_, count) => {
  for (let seed = 0; seed < 300; seed += 1) {
    const { pages } = play(seed, count, () => {});
    expectAgreement(pages, `seed ${seed}`);
  }
});

test("who comes back with a snapshot sees the others' cursors as soon as they have said again where they are", () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const { pages } = play(seed, 3, (page, random) => {
      if (random.below(30) === 0) page.reconnect();
    });
    for (const page of pages) page.sayAgain();
    for (const page of pages) page.listen(Infinity);
    expectAgreement(pages, `seed ${seed}`);
  }
});

/** Random steps of all, and then quiet. */
function play(seed: number, count: number, also: (page: Page, random: Random) => void): { pages: Page[] } {
  const random = new Random(seed);
  const relay = new SmallRelay();
  const pages: Page[] = [];
  for (const id of [5, 3, 4].slice(0, count)) new Page(relay, random, id, pages);
  for (let step = 0; step < 60; step += 1) {
    const page = random.of(pages);
    page.step();
    also(page, random);
    if (random.below(3) === 0) relay.commit(1 + random.below(2));
  }
  for (let turn = 0; turn === 0 || pages.some((page) => !page.isQuiet); turn += 1) {
    if (turn === 500) throw new Error(`seed ${seed}: there is no end`);
    for (const page of pages) {
      page.hear(Infinity);
      page.send();
    }
    relay.commit(Infinity);
  }
  for (const page of pages) page.listen(Infinity);
  return { pages };
}

function expectAgreement(pages: readonly Page[], message: string): void {
  for (const page of pages) {
    expect(page.editor.doc.toString(), message).toBe(pages[0]!.editor.doc.toString());
    const { anchor, head } = page.editor.selection.main;
    for (const other of pages) {
      if (other === page) continue;
      const seen = other.client.placeOf(page.id);
      // Somebody who never did anything has said nothing.
      if (seen === undefined && head === 0 && anchor === 0) continue;
      expect(seen, `${message}: ${page.id} as ${other.id} sees it`).toEqual({
        cursor: head,
        selection: { anchor, focus: head },
      });
    }
  }
}
