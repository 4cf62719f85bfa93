// This page's part in the document: who it is, and its connection to the relay.

import { type Client, createClient, type LogDocument, localStorageOf, type TextDocument } from "@corelay/client";
import { linkTo, readAddress } from "./address";
import { Http } from "./http";
import { keep, recall, tab } from "./keep";
import { personName } from "./names";
import { type Mark, markCodec } from "./strokes";
import { userOf } from "./token";

/** Where a page was not served securely, nobody can know whether another tab has the same identity: each has its own. */
const place = () => ("locks" in navigator ? localStorage : sessionStorage);

export class Session {
  readonly document: string;
  /** What to give to others: without a token. */
  readonly link: string;
  readonly client: Client;
  readonly text: TextDocument;
  /** The whiteboard's document. */
  readonly log: LogDocument<Mark>;
  readonly http: Http;
  private name: string;
  private secret: string;

  constructor() {
    const here = new URL(location.href);
    const address = readAddress(here);
    this.document = address.document;
    this.link = linkTo(address.document, here);
    this.secret = address.token || recall("token", tab());
    if (address.token) keep("token", address.token, tab());
    // The address bar is read over shoulders and copied: it has no token.
    history.replaceState(null, "", this.link);

    this.name = recall("name") || personName();
    keep("name", this.name);

    this.client = createClient({
      document: this.document,
      userName: this.name,
      token: () => this.secret,
      storage: {
        read: (key) => place().getItem(key) ?? undefined,
        write: (key, value) => place().setItem(key, value),
        remove: (key) => place().removeItem(key),
      },
      // Another tab's edits outlive its reload.
      tabStorage: localStorageOf({
        getItem: (key) => sessionStorage.getItem(key),
        setItem: (key, value) => sessionStorage.setItem(key, value),
        removeItem: (key) => sessionStorage.removeItem(key),
      }),
      storageScope: userOf(this.secret),
      // A page is for eyes: what is typed goes out sooner than a program's batches. What waits fits into the storage.
      settings: { batchPauseMs: 15, batchAgeMaxMs: 40, waitingBytesMax: 1 << 20 },
    });
    this.text = this.client.text(this.document);
    this.log = this.client.log(`${this.document}-board`, { codec: markCodec });
    this.http = new Http(this.document, () => this.secret);
  }

  get hasToken(): boolean {
    return this.secret !== "";
  }

  /** For another window of the same user. */
  get ownLink(): string {
    return this.hasToken ? `${this.link}?token=${encodeURIComponent(this.secret)}` : this.link;
  }

  get userName(): string {
    return this.name;
  }

  set userName(name: string) {
    this.name = name;
    keep("name", name);
  }

  get clientId(): number {
    return this.client.clientId ?? 0;
  }

  /** Own edits that the relay has not acknowledged. */
  get pending(): number {
    return this.text.saved.pending + this.log.saved.pending;
  }

  /** Another user's token begins anew: what waits here is the other's, and stays theirs. */
  useToken(token: string): void {
    const isSameUser = userOf(token) === userOf(this.secret);
    this.secret = token;
    keep("token", token, tab());
    if (isSameUser) this.client.connect();
    else location.reload();
  }

  /** After the relay has closed the document. */
  reopen(): void {
    this.text.reopen();
    this.log.reopen();
  }
}
