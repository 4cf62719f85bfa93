/** What the browser says about the network. Elsewhere it says nothing, and there is one. */

interface Browser {
  navigator?: { onLine?: boolean };
  addEventListener?(type: "online" | "offline", listener: () => void): void;
  removeEventListener?(type: "online" | "offline", listener: () => void): void;
}

const browser = globalThis as unknown as Browser;

export function isOnline(): boolean {
  return typeof browser.addEventListener !== "function" || browser.navigator?.onLine !== false;
}

/** Calls `changed` when the network comes and goes. Returns what ends that. */
export function watchNetwork(changed: (isOnline: boolean) => void): () => void {
  const online = (): void => changed(true);
  const offline = (): void => changed(false);
  browser.addEventListener?.("online", online);
  browser.addEventListener?.("offline", offline);
  return () => {
    browser.removeEventListener?.("online", online);
    browser.removeEventListener?.("offline", offline);
  };
}
