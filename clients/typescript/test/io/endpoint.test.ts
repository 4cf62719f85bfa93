import { expect, test } from "vitest";

import { Endpoint } from "../../src/io/endpoint.js";

test.each([
  ["ws://host:7400", undefined, "ws://host:7400/ws", "http://host:7400/events"],
  ["wss://host/", undefined, "wss://host/ws", "https://host/events"],
  [
    "https://host/relay/",
    "a/b ü",
    "wss://host/relay/ws/documents/a%2Fb%20%C3%BC",
    "https://host/relay/events/documents/a%2Fb%20%C3%BC",
  ],
  ["http://host/relay/ws", undefined, "ws://host/relay/ws", "http://host/relay/events"],
])("%s, %s", (url, documentId, socket, events) => {
  const endpoint = new Endpoint(url, documentId);
  expect([endpoint.socket, endpoint.events]).toEqual([socket, events]);
});

test("a session's posts go where the relay is", () => {
  expect(new Endpoint("wss://host/relay", undefined).post("/events/1234")).toBe("https://host/relay/events/1234");
});

test("where there is no page a URL is needed, and one of a relay", () => {
  expect(() => new Endpoint(undefined, undefined)).toThrow("needs a url");
  expect(() => new Endpoint("tcp://host:7401", undefined)).toThrow("neither ws");
});
