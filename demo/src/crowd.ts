// Who is here, what they are called, and what this page tells the others of itself.

import type { Document, Peer } from "@corelay/client";
import { personName } from "./names";
import { element } from "./page";
import { People } from "./people";
import type { Session } from "./session";
import type { Whiteboard } from "./whiteboard";

const NAME_LENGTH_MAX = 40;

export class Crowd {
  private readonly people = new People();
  /** This page's place on the whiteboard. */
  private at: readonly [number, number] | null = null;

  constructor(
    private readonly session: Session,
    private readonly board: Whiteboard,
  ) {
    const { text, log } = session;
    // Who only reads stays nameless.
    text.on("change", ({ origin }) => origin === "local" && board.sign(session.userName));
    log.on("pending", (marks) => marks.length > 0 && board.sign(session.userName));
    const documents: Document[] = [text, log];
    for (const document of documents) {
      document.on("peers", () => this.show());
      document.on("state", () => this.show());
    }
    const field = element<HTMLInputElement>("name");
    field.value = session.userName;
    field.addEventListener("change", () => {
      session.userName = field.value.trim() || personName();
      field.value = session.userName;
      if (board.nameOf(session.clientId) !== undefined) board.sign(session.userName);
      this.tell();
      this.show();
    });
    element("me").addEventListener("submit", (event) => {
      event.preventDefault();
      field.blur();
    });
    this.tell();
    this.show();
  }

  /** Where tokens are asked for, the name in the token counts: nobody can take another's. */
  nameOf(peer: Peer): string {
    const chosen = this.session.log.peers.get(peer.clientId)?.fields.name;
    const asked = typeof chosen === "string" ? chosen.slice(0, NAME_LENGTH_MAX) : "";
    return (this.session.hasToken ? peer.name || asked : asked || peer.name) || "Somebody";
  }

  nameOfClient(clientId: number): string | undefined {
    const peer = this.peerOf(clientId);
    return peer ? this.nameOf(peer) : this.session.hasToken ? undefined : this.board.nameOf(clientId);
  }

  /** Of whoever did something, now or long ago. `author` is what the token says. */
  authorOf(clientId: number, author: string): string {
    if (clientId === this.session.clientId) return "You";
    return this.nameOfClient(clientId) || author || this.board.nameOf(clientId) || "Somebody";
  }

  /** Empty: not known, as the relay gives colours to those who are here. */
  colorOf(clientId: number): string {
    const { text } = this.session;
    return clientId === this.session.clientId ? text.color : (this.peerOf(clientId)?.color ?? "");
  }

  private peerOf(clientId: number): Peer | undefined {
    return this.session.log.peers.get(clientId) ?? this.session.text.peers.get(clientId);
  }

  /** Null: not on the whiteboard. */
  moveTo(at: readonly [number, number] | null): void {
    if (String(at) === String(this.at)) return;
    this.at = at;
    this.tell();
  }

  private tell(): void {
    const name = this.session.userName;
    this.session.log.announce({ fields: this.at ? { name, at: this.at } : { name } });
  }

  private show(): void {
    const { client, text, log, clientId, userName } = this.session;
    const others = new Map([...log.peers, ...text.peers]);
    others.delete(clientId);
    this.people.show(
      { clientId, name: userName, color: text.color, doing: "" },
      [...others.values()]
        .map((peer) => ({
          clientId: peer.clientId,
          name: this.nameOf(peer),
          color: peer.color,
          doing: peer.isTyping ? "typing…" : log.peers.get(peer.clientId)?.fields.at ? "at the whiteboard" : "",
        }))
        .sort((one, other) => one.clientId - other.clientId),
      client.status.state === "connected",
    );
  }
}
