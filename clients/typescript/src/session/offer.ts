/** A snapshot of a log that this client offers: in pieces, and from the start on every connection, until it is answered. */

import type { Refusal } from "../api.js";
import type { Request } from "../wire/corelay_pb.js";
import { request } from "./message.js";
import { retryAt } from "./refusal.js";

interface Offer {
  readonly revision: number;
  readonly data: Uint8Array;
  /** What is on its way on this connection. */
  sending: { readonly id: string; sent: number } | undefined;
  notBefore: number;
  /** Between two pieces: longer each time that they were too fast. */
  pause: number;
}

/** One document's offer, at most one at a time. */
export class Offers {
  #offer: Offer | undefined;
  /** Attempts so far. Answers to earlier ones are passed over. */
  #attempt = 0;

  /** False: another one is not answered. */
  begin(revision: number, data: Uint8Array): boolean {
    if (this.#offer !== undefined) return false;
    this.#offer = { revision, data, sending: undefined, notBefore: 0, pause: 0 };
    return true;
  }

  /** The connection is gone, and with it what the relay had of the offer. */
  rewind(): void {
    if (this.#offer !== undefined) this.#offer.sending = undefined;
  }

  /** When there is a piece to send. */
  due(): number | undefined {
    return this.#offer === undefined || isSent(this.#offer) ? undefined : this.#offer.notBefore;
  }

  /** The next piece, of no more than `pieceBytesMax` bytes. */
  nextPiece(handle: bigint, requestId: number, pieceBytesMax: number, now: number): Request | undefined {
    const due = this.due();
    const offer = this.#offer;
    if (due === undefined || due > now || offer === undefined) return undefined;
    if (offer.sending === undefined) {
      this.#attempt += 1;
      offer.sending = { id: `offer ${requestId} ${this.#attempt}`, sent: 0 };
    }
    const { id, sent } = offer.sending;
    const end = Math.min(offer.data.length, sent + Math.max(1, pieceBytesMax));
    // An empty snapshot is one empty piece.
    offer.sending.sent = Math.max(end, 1);
    offer.notBefore = now + offer.pause;
    const value = {
      document: handle,
      revision: BigInt(offer.revision),
      bytesTotal: BigInt(offer.data.length),
      offset: BigInt(sent),
      data: offer.data.slice(sent, end),
    };
    return request({ case: "snapshotOffer", value }, id);
  }

  /** The relay has stored the snapshot of this revision. False: it was not asked to. */
  accepted(revision: number): boolean {
    const isAccepted = this.#offer !== undefined && isSent(this.#offer) && this.#offer.revision === revision;
    if (isAccepted) this.#offer = undefined;
    return isAccepted;
  }

  /**
   * The relay has refused the request `id`. `"other"`: it was about something else. `"for_now"`: the offer is sent again,
   * or it was about an attempt that has been given up. A number: the offer of this revision is over.
   */
  refused(id: string, refusal: Refusal, now: number): "other" | "for_now" | number {
    if (!id.startsWith("offer ")) return "other";
    const offer = this.#offer;
    if (offer?.sending?.id !== id) return "for_now";
    if (refusal.isPermanent) {
      this.#offer = undefined;
      return offer.revision;
    }
    offer.sending = undefined;
    offer.notBefore = retryAt(refusal, now);
    offer.pause = Math.max(offer.notBefore - now, offer.pause * 2);
    return "for_now";
  }

  /** Gives the offer up. Returns its revision. */
  take(): number | undefined {
    const revision = this.#offer?.revision;
    this.#offer = undefined;
    return revision;
  }
}

function isSent(offer: Offer): boolean {
  return offer.sending !== undefined && offer.sending.sent >= Math.max(1, offer.data.length);
}
