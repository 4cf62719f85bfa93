/** A relay of its own for a test: the real binary, on free ports, with a temporary data directory. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../../../..");
/** Where Cargo has built the relay and its examples. */
const BUILT = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug");
const BINARY = join(BUILT, "corelay");

/** One of the crate's examples. */
export function example(name: string): string {
  return join(BUILT, "examples", name);
}

export class Relay {
  #process: ChildProcess | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), "corelay-client-"));
  #websocket = "127.0.0.1:0";
  #admin = "127.0.0.1:0";
  #log = "";

  private constructor(readonly settings: readonly string[]) {}

  static async start(settings: readonly string[] = []): Promise<Relay> {
    const relay = new Relay(settings);
    await relay.restart();
    return relay;
  }

  get url(): string {
    return `ws://${this.#websocket}`;
  }

  get admin(): string {
    return `http://${this.#admin}`;
  }

  /** Everything that it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Starts it again, with the same data and addresses. */
  async restart(): Promise<void> {
    const settings = [
      `listen.websocket=${this.#websocket}`,
      "listen.tcp=127.0.0.1:0",
      `listen.admin=${this.#admin}`,
      "shards.cores=2",
      `store.path=${join(this.#folder, "data")}`,
      ...this.settings,
    ];
    const relay = spawn(BINARY, ["serve", ...settings.flatMap((setting) => ["--set", setting])], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = relay;
    relay.stderr.on("data", (chunk: Buffer) => (this.#log += chunk.toString()));
    let said = "";
    await new Promise<void>((resolve, reject) => {
      relay.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const addresses = /websocket=(\S+).*admin=(\S+)/.exec(said);
        if (addresses === null) return;
        [, this.#websocket, this.#admin] = addresses as unknown as [string, string, string];
        resolve();
      });
      relay.once("error", reject);
      relay.once("exit", (code) => reject(new Error(`the relay has ended with ${code}: ${this.#log}`)));
    });
  }

  /** Ends it, as a power cut would if nothing else is said. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const relay = this.#process;
    this.#process = undefined;
    if (relay === undefined || relay.exitCode !== null || relay.signalCode !== null) return;
    const ended = new Promise((resolve) => relay.once("exit", resolve));
    relay.kill(signal);
    await ended;
  }

  /** It takes nothing and says nothing, as if it had vanished; or it goes on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
