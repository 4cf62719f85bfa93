/** Which way to the relay is tried next: WebSocket, unless it seems to be blocked. */

import type { Transport } from "../api.js";

/** WebSockets that could not be opened, one after the other, before the other way is tried once. */
const FAILURES_MAX = 2;

export class Route {
  #failures = 0;
  #fellBack = false;

  constructor(readonly transports: readonly Transport[]) {
    if (transports.length === 0) throw new TypeError("no way to the relay may be tried");
  }

  /** How to connect now. */
  next(): Transport {
    const [first] = this.transports;
    const second = this.transports[1];
    if (second === undefined) return first!;
    return this.#fellBack || this.#failures >= FAILURES_MAX ? second : first!;
  }

  /** The relay has answered. */
  succeeded(transport: Transport): void {
    this.#failures = 0;
    this.#fellBack = transport !== this.transports[0];
  }

  /** Nothing was heard from the relay. `wasOpen`: though there was a connection, which something must be swallowing. */
  failed(transport: Transport, wasOpen: boolean): void {
    if (transport === this.transports[0]) {
      this.#failures = wasOpen ? FAILURES_MAX : this.#failures + 1;
    } else {
      this.#failures = 0;
      this.#fellBack = false;
    }
  }

  /** The first way works again. */
  recovered(): void {
    this.#failures = 0;
    this.#fellBack = false;
  }

  /** Whether it goes by another way than it would like. */
  get isDetour(): boolean {
    return this.#fellBack && this.transports.length > 1;
  }
}
