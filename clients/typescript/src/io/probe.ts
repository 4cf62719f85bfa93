/** Whether a WebSocket to the relay works: one is opened, and the relay answers a ping on it. */

import type { WebSocketConstructor } from "../api.js";
import { Protobuf } from "../dialect/protobuf.js";
import { request } from "../session/message.js";
import { connectWebSocket } from "./websocket.js";

const FRAME_BYTES_MAX = 64 * 1024;

/** Calls `works`, or nothing. Returns what ends it. */
export function probeWebSocket(
  WebSocket: WebSocketConstructor,
  url: string,
  timeoutMs: number,
  works: () => void,
): () => void {
  const connection = connectWebSocket(WebSocket, url, FRAME_BYTES_MAX, {
    opened: () =>
      connection.send(new Protobuf(FRAME_BYTES_MAX).encode(request({ case: "ping", value: { nonce: 1n } }))),
    data: () => {
      end();
      works();
    },
    closed: () => end(),
    drained: () => {},
  });
  const timer = setTimeout(() => end(), timeoutMs);
  const end = (): void => {
    clearTimeout(timer);
    connection.close();
  };
  return end;
}
