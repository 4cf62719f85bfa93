// To the clipboard.

import { element, say } from "./page";

const THANKS_MS = 2000;

export async function copy(content: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    // A page that was not served securely has to do it the old way.
    const field = document.createElement("textarea");
    field.className = "aloud";
    field.value = content;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

export function startCopyLink(link: string, speak: (words: string) => void): void {
  const button = element("copy");
  const words = element("copy-words");
  let timer = 0;
  button.addEventListener("click", async () => {
    await copy(link);
    button.focus();
    speak("The link is copied");
    say(words, "Copied");
    clearTimeout(timer);
    timer = window.setTimeout(() => say(words, "Copy link"), THANKS_MS);
  });
}
