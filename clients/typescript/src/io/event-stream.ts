/** Server-sent events: with `EventSource` where there is one, else read from a response. */

export interface StreamListener {
  event(name: string, data: string): void;
  closed(reason: string): void;
}

/** Opens a stream. It does not come back by itself. Returns what ends it. */
export function openStream(url: string, listener: StreamListener): () => void {
  return typeof globalThis.EventSource === "function" ? withEventSource(url, listener) : withFetch(url, listener);
}

function withEventSource(url: string, listener: StreamListener): () => void {
  const source = new EventSource(url);
  source.addEventListener("session", ({ data }) => listener.event("session", data as string));
  source.addEventListener("message", ({ data }) => listener.event("message", data as string));
  source.addEventListener("error", () => {
    source.close();
    listener.closed("the event stream has ended");
  });
  return () => source.close();
}

function withFetch(url: string, listener: StreamListener): () => void {
  const abort = new AbortController();
  const read = async (): Promise<string> => {
    const response = await fetch(url, {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: abort.signal,
    });
    if (!response.ok || response.body === null) {
      return `the event stream was refused: ${response.status} ${(await response.text()).slice(0, 200)}`;
    }
    const parser = new StreamParser(listener);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) parser.push(piece.value);
    return "the event stream has ended";
  };
  read()
    .catch((error: unknown) => `the event stream has failed: ${String(error)}`)
    .then((reason) => {
      if (!abort.signal.aborted) listener.closed(reason);
    })
    .catch(() => {});
  return () => abort.abort();
}

/** The text of a stream, in any pieces, to its events. */
export class StreamParser {
  #rest = "";
  #name = "";
  #data: string[] = [];

  constructor(readonly listener: Pick<StreamListener, "event">) {}

  push(piece: string): void {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === "") {
      if (this.#data.length > 0) this.listener.event(this.#name || "message", this.#data.join("\n"));
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
  }
}
