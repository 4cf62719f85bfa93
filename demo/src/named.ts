import type { Peer, TextDocument } from "@corelay/client";

/** The same text, whose peers have the names that this page shows everywhere. */
export function named(text: TextDocument, nameOf: (peer: Peer) => string): TextDocument {
  const rename = (peers: ReadonlyMap<number, Peer>) =>
    new Map([...peers].map(([clientId, peer]) => [clientId, { ...peer, name: nameOf(peer) }]));
  const on = (event: string, listener: (value: unknown) => void) =>
    text.on(
      event as "peers",
      event === "peers" ? (peers) => listener(rename(peers)) : (listener as (value: unknown) => void),
    );
  return new Proxy(text, {
    get(target, key) {
      if (key === "peers") return rename(target.peers);
      if (key === "on") return on;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
