/** When to come back: a delay that grows from failure to failure, spread so that clients do not come together. */

import type { Settings } from "../api.js";

export class Backoff {
  #next: number;

  constructor(
    readonly settings: Settings,
    /** From 0 up to, and without, 1. */
    readonly random: () => number,
  ) {
    this.#next = settings.reconnectDelayMs;
  }

  /** The delay before the next attempt. */
  delay(): number {
    const { reconnectFactor, reconnectDelayMaxMs, reconnectJitter } = this.settings;
    const delay = this.#next;
    this.#next = Math.min(delay * reconnectFactor, reconnectDelayMaxMs);
    return delay * (1 + reconnectJitter * (2 * this.random() - 1));
  }

  /**
   * The delay before the next attempt where the relay has asked for at least so long. Whom it asks for more than their own
   * delays comes back behind it, and not all at once.
   */
  delayAfter(asked: number): number {
    const delay = this.delay();
    return delay < asked ? this.between(asked, asked * this.settings.reconnectJitter) : delay;
  }

  /** An attempt has succeeded: the next delay is the first one again. */
  reset(): void {
    this.#next = this.settings.reconnectDelayMs;
  }

  /** Somewhere between `after` and `after + jitter`. */
  between(after: number, jitter: number): number {
    return after + jitter * this.random();
  }
}
