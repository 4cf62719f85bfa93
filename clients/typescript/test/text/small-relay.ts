/** A relay in small: one text, one order, a delay before anything is durable, and connections that break. */

import { decodeOperation, encodeOperation } from "../../src/text/encoding.js";
import type { TextBatch } from "../../src/text/client.js";
import type { Operation } from "../../src/index.js";
import { rebased, cross, sideOf } from "../../src/text/transform.js";

export type Told =
  | { type: "resync" }
  | { type: "snapshot"; revision: number; nextClock: number; data: string }
  | { type: "operations"; revision: number; origin: number; firstClock: number; operations: Uint8Array[] }
  | { type: "caught_up"; nextClock: number }
  | { type: "ack"; firstRevision: number; count: number }
  | { type: "nack" };

interface Batch {
  connection: number;
  firstRevision: number;
  origin: number;
  firstClock: number;
  operations: Operation[];
}

export class SmallConnection {
  told: Told[] = [];
  /** Batches that have been delivered on it. */
  position = 0;

  constructor(
    readonly clientId: number,
    readonly number: number,
  ) {}
}

export class SmallRelay {
  document = "";
  #history: Batch[] = [];
  #durable = 0;
  #nextClocks = new Map<number, number>();
  #connections = new Set<SmallConnection>();
  #count = 0;

  /** `snapshotAge`: instead of operations, a snapshot from before so many batches, where there is one. */
  connect(clientId: number, have: number, snapshotAge: number | undefined): SmallConnection {
    const connection = new SmallConnection(clientId, (this.#count += 1));
    this.#connections.add(connection);
    this.#catchUp(connection, have, snapshotAge);
    return connection;
  }

  disconnect(connection: SmallConnection): void {
    this.#connections.delete(connection);
  }

  sync(connection: SmallConnection, have: number, snapshotAge: number | undefined): void {
    // Answers to batches are delivered all the same.
    connection.told = connection.told.filter(({ type }) => type === "nack");
    connection.told.push({ type: "resync" });
    this.#catchUp(connection, have, snapshotAge);
  }

  send(connection: SmallConnection, batch: TextBatch, isFickle: boolean): void {
    const { clientId } = connection;
    const nextClock = this.#nextClocks.get(clientId) ?? 0;
    if (batch.firstClock < nextClock) return this.#repeat(connection, batch, nextClock);
    if (batch.firstClock > nextClock) throw new Error(`clock ${batch.firstClock}, not ${nextClock}`);
    if (isFickle) {
      connection.told.push({ type: "nack" });
      return;
    }
    this.#nextClocks.set(clientId, nextClock + batch.operations.length);
    const operations = batch.operations.map(decodeOperation);
    for (const [revision, origin, operation] of this.#since(batch.baseRevision)) {
      if (origin === clientId) throw new Error(`revision ${revision} is the client's own, and not seen`);
      const others = operations.slice(0, -1);
      const crossed = cross(others, operation, sideOf(clientId, origin));
      const last = rebased(operations.at(-1)!, crossed, sideOf(clientId, origin));
      operations.splice(0, operations.length, ...others, last);
    }
    for (const operation of operations) this.document = operation.apply(this.document);
    this.#history.push({
      connection: connection.number,
      firstRevision: this.#revisionBefore(this.#history.length) + 1,
      origin: clientId,
      firstClock: batch.firstClock,
      operations,
    });
  }

  /** A batch came that had come before, or a part of it. What has not been delivered is still to come. */
  #repeat(connection: SmallConnection, batch: TextBatch, nextClock: number): void {
    const count = batch.operations.length;
    if (batch.firstClock + count > nextClock) {
      connection.told.push({ type: "nack" });
      return;
    }
    const index = this.#history.findLastIndex(
      ({ origin, firstClock }) => origin === connection.clientId && firstClock <= batch.firstClock,
    );
    const { firstRevision, firstClock, operations } = this.#history[index]!;
    if (index >= connection.position) return;
    const isWhole = batch.firstClock + count <= firstClock + operations.length;
    const revision = isWhole ? firstRevision + batch.firstClock - firstClock : 0;
    connection.told.push({ type: "ack", firstRevision: revision, count });
  }

  /** Makes so many more batches durable, and delivers them. */
  commit(count: number): void {
    this.#durable = Math.min(this.#durable + count, this.#history.length);
    for (const connection of this.#connections) this.#deliver(connection, false);
  }

  #catchUp(connection: SmallConnection, have: number, snapshotAge: number | undefined): void {
    const age = snapshotAge === undefined ? undefined : Math.max(0, this.#durable - snapshotAge);
    if (age !== undefined && this.#revisionBefore(age) >= have) {
      connection.told.push(this.#snapshot(connection.clientId, age));
      connection.position = age;
    } else {
      connection.position = this.#history.findIndex(({ firstRevision }) => firstRevision > have);
      if (connection.position < 0) connection.position = this.#history.length;
    }
    this.#deliver(connection, true);
    connection.told.push({ type: "caught_up", nextClock: this.#nextClocks.get(connection.clientId) ?? 0 });
  }

  #snapshot(clientId: number, position: number): Told {
    let data = "";
    let nextClock = 0;
    for (const batch of this.#history.slice(0, position)) {
      for (const operation of batch.operations) data = operation.apply(data);
      if (batch.origin === clientId) nextClock = batch.firstClock + batch.operations.length;
    }
    return { type: "snapshot", revision: this.#revisionBefore(position), nextClock, data };
  }

  #deliver(connection: SmallConnection, inPages: boolean): void {
    for (; connection.position < this.#durable; connection.position += 1) {
      const batch = this.#history[connection.position]!;
      const { firstRevision, origin, firstClock, operations } = batch;
      if (batch.connection === connection.number && !inPages) {
        connection.told.push({ type: "ack", firstRevision, count: operations.length });
      } else {
        const encoded = operations.map(encodeOperation);
        connection.told.push({ type: "operations", revision: firstRevision, origin, firstClock, operations: encoded });
      }
    }
  }

  *#since(revision: number): Iterable<[number, number, Operation]> {
    for (const { firstRevision, origin, operations } of this.#history) {
      for (const [offset, operation] of operations.entries()) {
        if (firstRevision + offset > revision) yield [firstRevision + offset, origin, operation];
      }
    }
  }

  #revisionBefore(position: number): number {
    const batch = this.#history[position - 1];
    return batch === undefined ? 0 : batch.firstRevision + batch.operations.length - 1;
  }
}
