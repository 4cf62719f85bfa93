import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

import { expect, onTestFinished, test } from "vitest";

import type { TextDocument } from "../../src/index.js";
import { clientOf, relayOf } from "../support/clients.js";
import { randomSplice } from "../support/edits.js";
import { Proxy } from "../support/proxy.js";
import { Random } from "../support/random.js";
import { example } from "../support/relay.js";
import { pause, until } from "../support/until.js";

/** `CORELAY_ROUNDS=100000` for a night; `CORELAY_ROUNDS_SEED` begins with the round that has failed. */
const ROUNDS = Number(process.env.CORELAY_ROUNDS ?? 1000);
const SEED = Number(process.env.CORELAY_ROUNDS_SEED ?? 0);
/** Rounds that are made with one document. */
const ROUNDS_PER_DOCUMENT = 250;

/** The Rust client, in a process of its own. */
class Peer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #reports: { revision: number; text: string }[] = [];
  #errors = "";

  constructor(url: string, documentId: string) {
    this.#process = spawn(example("typescript_peer"), [url, documentId]);
    createInterface(this.#process.stdout).on("line", (line) => {
      this.#reports.push(JSON.parse(line) as { revision: number; text: string });
    });
    this.#process.stderr.on("data", (chunk: Buffer) => (this.#errors += chunk.toString()));
    onTestFinished(() => void this.#process.kill());
  }

  edit(seed: number, count: number): void {
    this.#process.stdin.write(`edit ${seed} ${count}\n`);
  }

  async report(): Promise<{ revision: number; text: string }> {
    this.#process.stdin.write("report\n");
    await until(() => this.#reports.length > 0 || this.#process.exitCode !== null, "the Rust client reports");
    const report = this.#reports.shift();
    if (report === undefined) throw new Error(`the Rust client has ended: ${this.#errors}`);
    return report;
  }

  end(): void {
    this.#process.stdin.end();
  }
}

test(
  `the Rust client and this one end every round with one text: ${ROUNDS} rounds`,
  async () => {
    const relay = await relayOf(["store.durability=never"]);
    const proxy = await Proxy.start(() => relay.url);
    const settings = { reconnectDelayMs: 5, reconnectDelayMaxMs: 20 };
    const client = clientOf(proxy, { settings, transports: ["websocket"] });
    let peer: Peer | undefined;
    let document: TextDocument | undefined;
    for (let round = SEED; round < SEED + ROUNDS; round += 1) {
      if (document === undefined || round % ROUNDS_PER_DOCUMENT === 0) {
        peer?.end();
        document?.close();
        document = client.text(`interop ${round}`);
        peer = new Peer(proxy.url, document.id);
        await document.loaded;
      }
      try {
        await play(new Random(round), document, peer!, proxy);
      } catch (error) {
        throw new Error(`CORELAY_ROUNDS_SEED=${round}: ${String(error)}`, { cause: error });
      }
    }
    peer?.end();
  },
  60_000 + ROUNDS * 1000,
);

async function play(random: Random, document: TextDocument, peer: Peer, proxy: Proxy): Promise<void> {
  proxy.delay = () => (random.below(3) === 0 ? random.below(4) : 0);
  for (let turn = 1 + random.below(4); turn > 0; turn -= 1) {
    switch (random.below(5)) {
      case 0:
      case 1:
        for (let count = 1 + random.below(3); count > 0; count -= 1) {
          document.edit(randomSplice(random, document.text));
        }
        break;
      case 2:
      case 3:
        peer.edit(random.below(1_000_000), 1 + random.below(3));
        break;
      default:
        proxy.cut();
    }
    await pause(random.below(6));
  }
  proxy.delay = () => 0;
  for (;;) {
    await document.whenSaved();
    const report = await peer.report();
    await until(() => document.revision >= report.revision && document.saved.state === "saved");
    if (document.revision > report.revision) continue;
    expect(report.text).toBe(document.text);
    return;
  }
}
