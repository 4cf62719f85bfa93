import type { Document, Peer, TextDocument } from "@corelay/client";

/** The same text, whose peers have the names that this page shows everywhere: some come with the presence on `also`. */
export function named(text: TextDocument, also: Document, nameOf: (peer: Peer) => string): TextDocument {
  const renamed = () => new Map([...text.peers].map(([clientId, peer]) => [clientId, { ...peer, name: nameOf(peer) }]));
  const on = (event: "peers", listener: (peers: ReadonlyMap<number, Peer>) => void) => {
    if (event !== "peers") return text.on(event, listener);
    const ends = [text, also].map((document: Document) => document.on("peers", () => listener(renamed())));
    return () => {
      for (const end of ends) end();
    };
  };
  return new Proxy(text, {
    get(target, key) {
      if (key === "peers") return renamed();
      if (key === "on") return on;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
