// What the page's address says: `/#NAME`, `/#NAME?token=TOKEN`, or `/?document=NAME`. All of it but the last stays in
// the browser: a fragment is never sent anywhere.

import { documentName } from "./names";

export interface Address {
  document: string;
  /** Empty: none was given. */
  token: string;
}

/** The parts of an address; a name is made up where it has none. */
export function readAddress(url: URL): Address {
  const fragment = url.hash.slice(1);
  const mark = fragment.indexOf("?");
  const name = decode(mark < 0 ? fragment : fragment.slice(0, mark));
  const fields = new URLSearchParams(mark < 0 ? "" : fragment.slice(mark + 1));
  return {
    document: name || url.searchParams.get("document") || documentName(),
    token: fields.get("token") ?? "",
  };
}

/** The address to give to others: never with a token. */
export function linkTo(document: string, base: URL): string {
  const link = new URL(base.pathname, base.origin);
  link.hash = encodeURIComponent(document);
  return link.href;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
