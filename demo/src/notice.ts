// The card for what the user should know or decide: above the page, one at a time, without taking the focus.

import { element, make, say } from "./page";

export interface Notice {
  /** Two notices with one key are the same one. */
  key: string;
  title: string;
  body: string;
  tone: "busy" | "off";
  asksForToken?: boolean;
  actions?: Action[];
}

export interface Action {
  label: string;
  run: () => void;
}

export class NoticeCard {
  private readonly card = element("notice");
  private readonly title = element("notice-title");
  private readonly body = element("notice-body");
  private readonly actions = element("notice-actions");
  private readonly form = element<HTMLFormElement>("token-form");
  private shown: string | null = null;

  constructor(
    private readonly speak: (words: string) => void,
    private readonly useToken: (token: string) => void,
  ) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const field = element<HTMLInputElement>("token");
      const token = field.value.trim();
      field.value = "";
      if (token) this.useToken(token);
    });
  }

  /** Null: there is nothing to say. */
  show(notice: Notice | null): void {
    if (!notice) {
      if (this.shown === null) return;
      this.shown = null;
      this.card.hidden = true;
      return;
    }
    say(this.title, notice.title);
    say(this.body, notice.body);
    if (this.shown === notice.key) return;
    this.shown = notice.key;
    this.card.dataset.tone = notice.tone;
    this.form.hidden = !notice.asksForToken;
    this.actions.replaceChildren(
      ...(notice.actions ?? []).map((action) => {
        const button = make("button", "button small", action.label);
        button.type = "button";
        button.addEventListener("click", action.run);
        return button;
      }),
    );
    this.card.hidden = false;
    this.speak(`${notice.title}. ${notice.body}`);
  }
}
