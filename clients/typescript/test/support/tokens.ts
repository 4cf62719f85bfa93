/** JSON Web Tokens, as an application's backend makes them. */

import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

export class Issuer {
  readonly #secret = randomBytes(32).toString("hex");
  readonly settings: readonly string[];

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), "corelay-tokens-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "secret");
    writeFileSync(file, this.#secret);
    this.settings = ["auth.mode=jwt", `auth.jwt_secret_file=${file}`];
  }

  /** For `seconds` from now. */
  token(user: string, seconds: number, claims: object = {}): string {
    const now = Math.floor(Date.now() / 1000);
    const head = base64url(JSON.stringify({ alg: "HS256", typ: "JWT" }));
    const body = base64url(JSON.stringify({ sub: user, name: user, iat: now, exp: now + seconds, ...claims }));
    return `${head}.${body}.${createHmac("sha256", this.#secret).update(`${head}.${body}`).digest("base64url")}`;
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
