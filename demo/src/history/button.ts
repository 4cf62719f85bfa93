// Opens the history. It is a part of the page that most visits do without, and comes when it is wanted.

import { element, say } from "../page";
import type { HistoryPanel, Surroundings } from "./panel";

const NEWS_MS = 8000;

export function startHistory(around: Omit<Surroundings, "tell" | "toggled">): void {
  const button = element("history-open");
  const hint = element("hint");
  const usual = hint.textContent ?? "";
  let panel: HistoryPanel | undefined;
  let timer = 0;

  const tell = (words: string) => {
    say(hint, words);
    hint.dataset.news = "";
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      say(hint, usual);
      delete hint.dataset.news;
    }, NEWS_MS);
  };
  const toggled = (isOpen: boolean) => {
    element("editor").hidden = isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) button.focus();
  };
  button.addEventListener("click", async () => {
    if (panel?.isOpen) return panel.close();
    try {
      const { HistoryPanel } = await import("./panel");
      panel ??= new HistoryPanel({ ...around, tell, toggled });
      panel.open();
    } catch {
      // The page is older than what the relay has by now.
      const words = "The history could not be loaded. Reload the page.";
      tell(words);
      around.speak(words);
    }
  });
}
