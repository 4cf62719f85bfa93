import { expect, test } from "vitest";

import { StreamParser } from "../../src/io/event-stream.js";

const TEXT =
  'event: session\ndata: {"post":"/events/1"}\n\n: still here\n\nid: 1.2\ndata: one\ndata:two\n\nretry: 5\n\ndata\n\ndata: 👋\n\n';

test("a stream is read in any pieces", () => {
  for (let size = 1; size <= TEXT.length; size += 1) {
    const told: [string, string][] = [];
    const parser = new StreamParser({ event: (name, data) => told.push([name, data]) });
    for (let at = 0; at < TEXT.length; at += size) parser.push(TEXT.slice(at, at + size));
    expect(told, `pieces of ${size}`).toEqual([
      ["session", '{"post":"/events/1"}'],
      ["message", "one\ntwo"],
      ["message", ""],
      ["message", "👋"],
    ]);
  }
});
