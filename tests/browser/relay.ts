// A relay of a test's own: the real binary on free ports, with a store in a directory that goes away.

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { openSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const BINARY =
  process.env.CORELAY_BINARY ?? fileURLToPath(new URL("../../target/debug/corelay", import.meta.url));

export class Relay {
  private process: ChildProcess | undefined;
  private port = 0;
  private adminPort = 0;

  private constructor(
    private readonly directory: string,
    private readonly settings: string[],
  ) {}

  /** `settings` are `table.key=value`. */
  static async start(...settings: string[]): Promise<Relay> {
    const relay = new Relay(await mkdtemp(join(tmpdir(), "corelay-browser-")), settings);
    await relay.up();
    return relay;
  }

  /** One that asks for the tokens that `tokenFor` makes. */
  static async guarded(): Promise<Relay> {
    const directory = await mkdtemp(join(tmpdir(), "corelay-browser-"));
    await writeFile(join(directory, "secret"), SECRET);
    const relay = new Relay(directory, [
      "auth.mode=jwt",
      "auth.leeway=1s",
      `auth.jwt_secret_file=${join(directory, "secret")}`,
    ]);
    await relay.up();
    return relay;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The admin address. */
  get admin(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  /** Starts it, on the ports that it had, if it had some. */
  async up(): Promise<void> {
    const settings = [
      `listen.websocket=127.0.0.1:${this.port}`,
      "listen.tcp=127.0.0.1:0",
      `listen.admin=127.0.0.1:${this.adminPort}`,
      `store.path=${join(this.directory, "data")}`,
      ...this.settings,
    ];
    const log = openSync(join(this.directory, "log"), "a");
    const child = spawn(BINARY, ["serve", ...settings.flatMap((setting) => ["--set", setting])], {
      stdio: ["ignore", "pipe", log],
    });
    this.process = child;
    const words = createInterface({ input: child.stdout as Readable });
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`the relay ended with ${code} before it listened; its log is in ${this.directory}`);
    });
    ended.catch(() => {});
    const [line] = (await Promise.race([once(words, "line"), ended])) as [string];
    this.port = Number(/websocket=127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
    this.adminPort = Number(/admin=127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  /** Ends it, and removes what it stored. */
  async stop(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.directory, { recursive: true, force: true });
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (!child || child.exitCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }
}

const SECRET = "a secret of the tests, and of nobody else, 0123456789";

/** A JSON Web Token, signed with the relay's secret unless another is given. */
export function tokenFor(user: string, { name = user, lifetime_s = 3600, secret = SECRET, documents = ["*"], permissions = ["read", "write", "create"] } = {}): string {
  const now_s = Math.floor(Date.now() / 1000);
  const claims = { sub: user, name, documents, permissions, iat: now_s - 60, exp: now_s + lifetime_s };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
