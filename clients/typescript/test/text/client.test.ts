import { expect, test } from "vitest";

import { OutOfStep, TextClient } from "../../src/text/client.js";
import { Operation } from "../../src/text/operation.js";
import { randomSplice } from "../support/edits.js";
import { Random } from "../support/random.js";
import { type SmallConnection, SmallRelay, type Told } from "./small-relay.js";

const ROUNDS = 400;
const STEPS = 120;

/** A client with its connection, and everything that can happen to both. */
class Actor {
  client: TextClient;
  #connection: SmallConnection | undefined;

  constructor(
    readonly relay: SmallRelay,
    readonly random: Random,
    readonly id: number,
  ) {
    this.client = new TextClient(id);
  }

  step(): void {
    switch (this.random.below(10)) {
      case 0:
      case 1:
      case 2:
        return this.client.edit(randomSplice(this.random, this.client.text), this.random.of([2, 50]), 1000);
      case 3:
      case 4:
        return this.send(this.random.below(6) === 0);
      case 5:
      case 6:
      case 7:
        return this.hear(1 + this.random.below(3));
      case 8:
        return this.random.below(3) === 0 ? this.reconnect() : undefined;
      default:
        return this.random.below(4) === 0 ? this.reload() : undefined;
    }
  }

  reconnect(): void {
    this.disconnect();
    this.#connection = this.relay.connect(this.id, this.client.revision, this.#snapshotAge());
  }

  disconnect(): void {
    if (this.#connection !== undefined) this.relay.disconnect(this.#connection);
    this.#connection = undefined;
    this.client.disconnected();
  }

  /** The page is loaded anew, with what was stored. */
  reload(): void {
    this.disconnect();
    const before = this.client.text;
    this.client = TextClient.restore(this.client.store());
    expect(this.client.text).toBe(before);
  }

  send(isFickle: boolean): void {
    if (this.#connection === undefined) return;
    const batch = this.client.takeBatch(1 + this.random.below(4), 1000);
    if (batch !== undefined) this.relay.send(this.#connection, batch, isFickle);
  }

  hear(count: number): void {
    for (let told; count > 0 && (told = this.#connection?.told.shift()) !== undefined; count -= 1) {
      try {
        this.#take(told);
      } catch (error) {
        if (!(error instanceof OutOfStep)) throw error;
        this.relay.sync(this.#connection!, error.revision, undefined);
      }
    }
  }

  #take(told: Told): void {
    let view = this.client.text;
    const change = (operation: { apply(text: string): string }): void => void (view = operation.apply(view));
    switch (told.type) {
      case "resync":
        this.client.resyncing();
        break;
      case "snapshot":
        change(this.client.snapshot(told.revision, told.nextClock, told.data));
        break;
      case "operations":
        this.client.remote(told.revision, told.origin, told.firstClock, told.operations, change);
        break;
      case "caught_up":
        this.client.caughtUp(told.nextClock);
        break;
      case "ack":
        this.client.acknowledged(told.firstRevision, told.count);
        break;
      case "nack":
        this.client.nacked();
        break;
    }
    expect(view, "what is told of the view leads to the text").toBe(this.client.text);
  }

  #snapshotAge(): number | undefined {
    return this.random.below(3) === 0 ? this.random.below(3) : undefined;
  }

  settle(): void {
    this.hear(Infinity);
    this.send(false);
  }
}

test(`clients end with the relay's text, in ${ROUNDS} histories`, () => {
  for (let seed = 0; seed < ROUNDS; seed += 1) {
    const random = new Random(seed);
    const relay = new SmallRelay();
    const actors = [5, 3, 4].map((id) => new Actor(relay, random, id));
    try {
      for (const actor of actors) actor.reconnect();
      for (let step = 0; step < STEPS; step += 1) {
        random.of(actors).step();
        if (random.below(3) === 0) relay.commit(1 + random.below(2));
      }
      for (const actor of actors) actor.reconnect();
      for (let turn = 0; turn < 200 && actors.some(({ client }) => client.pending.length > 0); turn += 1) {
        for (const actor of actors) actor.settle();
        relay.commit(Infinity);
      }
      for (const actor of actors) {
        actor.hear(Infinity);
        expect(actor.client.pending.length).toBe(0);
        expect(actor.client.text).toBe(relay.document);
      }
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
});

test("what a page has stored and sent is not applied again by the page that comes after it", () => {
  const page = new TextClient(7);
  page.caughtUp(0);
  page.edit(Operation.splice(0, 0, "on"), 50, 1000);
  const stored = page.store();
  page.edit(Operation.splice(2, 0, "ce"), 50, 1000);
  page.edit(Operation.splice(4, 0, "!"), 50, 1000);
  const { operations } = page.takeBatch(50, 1000)!;
  expect(operations).toHaveLength(2);
  // It dies, and had no time to store more.
  const after = TextClient.restore(stored);
  after.remote(1, 7, 0, operations, () => {});
  after.caughtUp(operations.length);
  expect(after.text).toBe("once!");
  expect(after.pending).toHaveLength(0);
});
