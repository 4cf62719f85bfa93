/** The credential, and when it has to be another one. */

import type { ClientOptions, TokenReason } from "../api.js";

export class Token {
  /** What was given last. */
  current = "";

  constructor(readonly source: ClientOptions["token"]) {}

  /** Whether there can be another one. */
  get isRenewable(): boolean {
    return typeof this.source === "function";
  }

  /** `null`: nobody is signed in. Rejects with what the application throws. */
  async next(reason: TokenReason): Promise<string | null> {
    const token = typeof this.source === "function" ? await this.source(reason) : (this.source ?? "");
    if (token !== null) this.current = token;
    return token;
  }

  /** When it is to be renewed: before its end by `renewalMs`, or by a fifth of its life where that is less. */
  renewAt(nowMs: number, renewalMs: number): number | undefined {
    const end = this.isRenewable ? endOf(this.current) : undefined;
    if (end === undefined) return undefined;
    return end - Math.min(renewalMs, Math.max(0, (end - nowMs) / 5));
  }
}

/** When a JSON Web Token expires, in Unix milliseconds. `undefined`: it does not say, or is none. */
function endOf(token: string): number | undefined {
  const claims = token.split(".")[1];
  if (claims === undefined) return undefined;
  try {
    const text = atob(claims.replace(/-/g, "+").replace(/_/g, "/"));
    const end = (JSON.parse(text) as { exp?: unknown }).exp;
    return typeof end === "number" ? end * 1000 : undefined;
  } catch {
    return undefined;
  }
}
