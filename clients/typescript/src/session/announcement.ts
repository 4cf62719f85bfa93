/** The client's own presence on a document: sent when it changes, thinned out, and kept alive. */

import type { Settings } from "../api.js";
import type { RequestBody } from "./message.js";

/** A presence without the document that it is on. */
export type Announced = Omit<Extract<RequestBody, { case: "presence" }>["value"], "document" | "$typeName">;

export class Announcement {
  #isSent = false;
  #sentAt: number | undefined;

  constructor(
    readonly presence: Announced,
    before?: Announcement,
  ) {
    this.#sentAt = before === undefined ? undefined : before.#sentAt;
  }

  /** The relay has forgotten it. */
  forget(): void {
    this.#isSent = false;
  }

  /** The presence said that the client leaves, and that has been said. */
  get isOver(): boolean {
    return this.#isSent && this.presence.leave === true;
  }

  /** When there is something to send. */
  due(settings: Settings): number {
    if (this.#sentAt === undefined) return 0;
    return this.#sentAt + (this.#isSent ? settings.heartbeatPeriodMs : settings.presencePeriodMinMs);
  }

  /** What is to be sent now. */
  take(settings: Settings, handle: bigint, now: number): RequestBody | undefined {
    if (this.due(settings) > now) return undefined;
    this.#sentAt = now;
    if (this.#isSent) return { case: "heartbeat", value: { document: handle } };
    this.#isSent = true;
    return { case: "presence", value: { ...this.presence, document: handle } };
  }
}
