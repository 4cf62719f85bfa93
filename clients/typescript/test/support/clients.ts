/** Clients of a relay that end with the test. */

import { onTestFinished } from "vitest";
import { WebSocket } from "ws";

import { type Client, type ClientOptions, createClient } from "../../src/index.js";
import { Relay } from "./relay.js";

/** Quick to come back, so that tests are. */
export const QUICK = { reconnectDelayMs: 50, reconnectDelayMaxMs: 200, batchPauseMs: 2, batchAgeMaxMs: 5 };

export async function relayOf(settings: readonly string[] = []): Promise<Relay> {
  const relay = await Relay.start(settings);
  onTestFinished(() => relay.end());
  return relay;
}

export function clientOf(relay: { url: string }, options: ClientOptions = {}): Client {
  const client = createClient({
    url: relay.url,
    WebSocket,
    ...options,
    settings: { ...QUICK, ...options.settings },
  });
  onTestFinished(() => client.close());
  return client;
}
