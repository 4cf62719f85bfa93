/** JSON: the relay's words as server-sent events, the client's own in POSTs, one at a time. */

import { Json } from "../dialect/json.js";
import type { Connection, ConnectionListener } from "./connection.js";
import type { Endpoint } from "./endpoint.js";
import { openStream } from "./event-stream.js";

/** The longest time that a post may take. */
const POST_TIMEOUT_MS = 20_000;
/** The pause before a post that was not taken is made again, where the relay does not say. */
const RETRY_AFTER_DEFAULT_MS = 1000;

export function connectEvents(endpoint: Endpoint, listener: ConnectionListener): Connection {
  const abort = new AbortController();
  let address: string | undefined;
  let isPosting = false;
  const end = (reason: string): void => {
    if (abort.signal.aborted) return;
    close();
    listener.closed(reason);
  };
  const closeStream = openStream(endpoint.events, {
    event: (name, data) => {
      if (abort.signal.aborted) return;
      if (name === "session") {
        address = endpoint.post((JSON.parse(data) as { post: string }).post);
        listener.opened(new Json());
      } else {
        listener.data(data);
      }
    },
    closed: end,
  });
  const close = (): void => {
    abort.abort();
    closeStream();
  };
  const post = async (body: string): Promise<void> => {
    for (;;) {
      const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(POST_TIMEOUT_MS)]);
      // This type needs no leave of another origin's relay.
      const headers = { "Content-Type": "text/plain" };
      const response = await fetch(address!, { method: "POST", headers, body, signal });
      if (response.ok) return;
      if (response.status !== 503) throw new Error(`a post was refused: ${response.status} ${await response.text()}`);
      const seconds = Number(response.headers.get("Retry-After"));
      await pause(seconds > 0 ? seconds * 1000 : RETRY_AFTER_DEFAULT_MS);
      abort.signal.throwIfAborted();
    }
  };
  return {
    send: (data) => {
      isPosting = true;
      post(data as string).then(
        () => {
          isPosting = false;
          if (!abort.signal.aborted) listener.drained();
        },
        (error: unknown) => end(String(error)),
      );
    },
    get isBlocked() {
      return isPosting;
    },
    // A post that says goodbye still arrives: only the answer is not waited for.
    close: () => {
      if (isPosting) setTimeout(close, CLOSE_DELAY_MS);
      else close();
    },
  };
}

/** How long a last post has. */
const CLOSE_DELAY_MS = 100;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
