// Where things stand: the words in the bar, the card when there is something to decide, and the ear.

import type { Document, Durability, Refusal } from "@corelay/client";
import type { Announcer } from "./announcer";
import { copy } from "./copying";
import { NoticeCard } from "./notice";
import { noticeFor } from "./outcome";
import { element, say } from "./page";
import type { Session } from "./session";
import { describe, type Words } from "./status";

/** "Saving…" is said at once; that it is saved, when the fingers rest, so that nothing flickers. */
const REST_MS = 250;

export class Standing {
  private readonly mark = element("state");
  private readonly words = element("state-words");
  private readonly card: NoticeCard;
  private lost: { text: string; refusal: Refusal } | null = null;
  private timer = 0;

  constructor(
    private readonly session: Session,
    private readonly announcer: Announcer,
  ) {
    const { client, text, log } = session;
    this.card = new NoticeCard(
      (words) => announcer.speak(words),
      (token) => session.useToken(token),
    );
    client.on("status", () => this.show());
    const documents: Document[] = [text, log];
    for (const document of documents) {
      document.on("state", () => this.show());
      document.on("saved", () => this.show());
    }
    text.on("refused", ({ inserted, refusal }) => {
      if (inserted) this.lost = { text: inserted, refusal };
      this.show();
    });
    this.show();
  }

  show(): void {
    const { client, text, log, pending } = this.session;
    const words = describe({
      status: client.status,
      document: text.state,
      saved: {
        state: text.saved.state === "saved" ? log.saved.state : text.saved.state,
        pending,
        durability: weakest(text.saved.durability, log.saved.durability),
      },
      now_ms: Date.now(),
    });
    clearTimeout(this.timer);
    if (words.tone === "ok" && this.words.textContent === "Saving…") {
      this.timer = window.setTimeout(() => this.say(words), REST_MS);
    } else this.say(words);
    element("memory-only").hidden = client.isPersistent;
    this.card.show(
      noticeFor(
        {
          status: client.status,
          document: text.state,
          pending,
          isFull: text.saved.isFull || log.saved.isFull,
          isPersistent: client.isPersistent,
          hasToken: this.session.hasToken,
          lost: this.lost,
        },
        {
          connect: () => client.connect(),
          reopen: () => this.session.reopen(),
          startAnew: () => location.assign("./"),
          copyText: () => void this.copy(text.text),
          copyLost: () => void this.copy(this.lost?.text ?? ""),
          forgetLost: () => {
            this.lost = null;
            this.show();
          },
        },
      ),
    );
  }

  private say(words: Words): void {
    this.mark.dataset.tone = words.tone;
    say(this.words, words.text);
    this.announcer.announce(words.spoken);
  }

  private async copy(content: string): Promise<void> {
    await copy(content);
    this.announcer.speak("Copied");
  }
}

function weakest(...modes: (Durability | undefined)[]): Durability | undefined {
  return (["never", "interval", "always"] as const).find((mode) => modes.includes(mode));
}
