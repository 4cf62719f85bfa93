/** Where a relay is, and the addresses that it has. */

export class Endpoint {
  readonly #base: URL;

  constructor(
    url: string | { readonly href: string } | undefined,
    readonly documentId: string | undefined,
  ) {
    const page = (globalThis as { location?: { href: string } }).location?.href;
    if (url === undefined && page === undefined) throw new TypeError("where there is no page, a relay needs a url");
    const given = typeof url === "object" ? url.href : url;
    const base = new URL(given ?? "/", page);
    const scheme = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" }[base.protocol];
    if (scheme === undefined) throw new TypeError(`${String(given)} is neither ws(s):// nor http(s)://`);
    // The scheme of a URL cannot be set from ws to http. A path that ends with /ws means the place above it.
    this.#base = new URL(`${scheme}//${base.host}${base.pathname.replace(/\/+$/, "").replace(/\/ws$/, "")}`);
  }

  /** Where WebSockets are opened. */
  get socket(): string {
    return this.#url(`/ws${this.#document}`).replace(/^http/, "ws");
  }

  /** Where event streams are opened. */
  get events(): string {
    return this.#url(`/events${this.#document}`);
  }

  /** Where a stream's messages are posted, by what its first event says. */
  post(path: string): string {
    return this.#url(path);
  }

  get #document(): string {
    return this.documentId === undefined ? "" : `/documents/${encodeURIComponent(this.documentId)}`;
  }

  #url(path: string): string {
    return `${this.#base.origin}${this.#base.pathname.replace(/\/+$/, "")}${path}`;
  }
}
