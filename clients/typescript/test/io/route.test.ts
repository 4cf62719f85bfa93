import { expect, test } from "vitest";

import { Route } from "../../src/io/route.js";
import type { Transport } from "../../src/index.js";

function tries(route: Route, count: number, works: (transport: Transport) => boolean, wasOpen = false): Transport[] {
  return Array.from({ length: count }, () => {
    const transport = route.next();
    if (works(transport)) route.succeeded(transport);
    else route.failed(transport, wasOpen);
    return transport;
  });
}

test("events are tried after two WebSockets that could not be opened, once", () => {
  const route = new Route(["websocket", "events"]);
  const nothing = tries(route, 6, () => false);
  expect(nothing).toEqual(["websocket", "websocket", "events", "websocket", "websocket", "events"]);
});

test("what works is kept to, until WebSocket works again", () => {
  const route = new Route(["websocket", "events"]);
  expect(tries(route, 4, (transport) => transport === "events")).toEqual([
    "websocket",
    "websocket",
    "events",
    "events",
  ]);
  expect(route.isDetour).toBe(true);
  route.recovered();
  expect(tries(route, 2, () => true)).toEqual(["websocket", "websocket"]);
  expect(route.isDetour).toBe(false);
});

test("a WebSocket that opens and is dead is enough", () => {
  const route = new Route(["websocket", "events"]);
  expect(tries(route, 2, () => false, true)).toEqual(["websocket", "events"]);
});

test("the only way is the only one that is tried", () => {
  expect(tries(new Route(["events"]), 3, () => false)).toEqual(["events", "events", "events"]);
  expect(() => new Route([])).toThrow(TypeError);
});
