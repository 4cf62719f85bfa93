import "fake-indexeddb/auto";
import { expect, test } from "vitest";

import { indexedDatabase, localStorageOf } from "../src/index.js";

const values = new Map<string, string>();
const local = localStorageOf({
  getItem: (key) => values.get(key) ?? null,
  setItem: (key, value) => void values.set(key, value),
  removeItem: (key) => void values.delete(key),
});

test.each([
  ["an IndexedDB", indexedDatabase("test")],
  ["localStorage", local],
])("%s keeps strings", async (_name, storage) => {
  expect(await storage.read("a")).toBeUndefined();
  await storage.write("a", "1");
  await storage.write("a", "2");
  expect(await storage.read("a")).toBe("2");
  await storage.remove("a");
  await storage.remove("a");
  expect(await storage.read("a")).toBeUndefined();
});
