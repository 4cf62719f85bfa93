// How much is written, under the text.

import type { TextDocument } from "@corelay/client";
import { element, say } from "./page";

const PAUSE_MS = 300;

export function startCount(text: TextDocument): void {
  let timer = 0;
  const count = () => {
    timer = 0;
    const words = text.text.match(/\S+/g)?.length ?? 0;
    say(
      element("count"),
      words === 0 ? "No words yet" : words === 1 ? "1 word" : `${words.toLocaleString("en")} words`,
    );
  };
  text.on("change", () => {
    if (timer === 0) timer = window.setTimeout(count, PAUSE_MS);
  });
}
