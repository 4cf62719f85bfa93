/** Places that outlive the page. */

import type { Storage, WebStorage } from "./api.js";

/** The browser's `localStorage`: a few MiB, written at once also when the page is left. */
export function localStorageOf(storage: WebStorage): Storage {
  return {
    read: (key) => storage.getItem(key) ?? undefined,
    write: (key, value) => storage.setItem(key, value),
    remove: (key) => storage.removeItem(key),
  };
}

/** An IndexedDB of the browser: as much as there is room for. What changes as the page is left may not be in it. */
export function indexedDatabase(name = "corelay"): Storage {
  const STORE = "values";
  let database: Promise<IDBDatabase> | undefined;
  const open = (): Promise<IDBDatabase> => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    return result(request);
  };
  const store = async (mode: IDBTransactionMode): Promise<IDBObjectStore> => {
    database ??= open();
    return (await database).transaction(STORE, mode).objectStore(STORE);
  };
  return {
    read: async (key) => (await result((await store("readonly")).get(key))) as string | undefined,
    write: async (key, value) => {
      await result((await store("readwrite")).put(value, key));
    },
    remove: async (key) => {
      await result((await store("readwrite")).delete(key));
    },
  };
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the database has failed"));
  });
}
