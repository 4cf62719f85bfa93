/** Protobuf in the binary messages of a WebSocket. */

import type { WebSocketConstructor } from "../api.js";
import { Protobuf } from "../dialect/protobuf.js";
import type { Connection, ConnectionListener } from "./connection.js";

/** More than this on its way: nothing more is sent. */
const BUFFERED_BYTES_MAX = 1024 * 1024;
/** How often a full socket is looked at: it does not say when it takes more. */
const DRAIN_PERIOD_MS = 20;

export function connectWebSocket(
  WebSocket: WebSocketConstructor,
  url: string,
  frameBytesMax: number,
  listener: ConnectionListener,
): Connection {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = (reason: string): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    listener.closed(reason);
  };
  const drain = (): void => {
    timer = undefined;
    if (isOver) return;
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) timer = setTimeout(drain, DRAIN_PERIOD_MS);
    else listener.drained();
  };
  socket.addEventListener("open", () => {
    if (!isOver) listener.opened(new Protobuf(frameBytesMax));
  });
  socket.addEventListener("message", ({ data }: { data: unknown }) => {
    if (!isOver) listener.data(data instanceof ArrayBuffer ? new Uint8Array(data) : String(data));
  });
  // What went wrong is not for scripts to know; a close follows in browsers, and may not elsewhere.
  socket.addEventListener("error", ({ message }: { message?: string }) => end(message ?? "the WebSocket has failed"));
  socket.addEventListener("close", ({ code, reason }: { code: number; reason: string }) => {
    end(`the WebSocket was closed: ${code}${reason === "" ? "" : ` ${reason}`}`);
  });
  return {
    send: (data) => socket.send(data as Uint8Array<ArrayBuffer>),
    get isBlocked() {
      const isBlocked = socket.bufferedAmount > BUFFERED_BYTES_MAX;
      if (isBlocked) timer ??= setTimeout(drain, DRAIN_PERIOD_MS);
      return isBlocked;
    },
    close: () => {
      isOver = true;
      clearTimeout(timer);
      socket.close();
    },
  };
}
