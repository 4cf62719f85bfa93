// Small things that the browser keeps for the next visit. Where it keeps nothing, the page works all the same.

export function recall(key: string, storage: Storage | null = local()): string {
  try {
    return storage?.getItem(`corelay.${key}`) ?? "";
  } catch {
    return "";
  }
}

/** An empty value is forgotten. */
export function keep(key: string, value: string, storage: Storage | null = local()): void {
  try {
    if (value === "") storage?.removeItem(`corelay.${key}`);
    else storage?.setItem(`corelay.${key}`, value);
  } catch {
    // Full, or forbidden: it is kept for as long as the page is open.
  }
}

/** That of this tab alone. Survives a reload. */
export function tab(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function local(): Storage | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
