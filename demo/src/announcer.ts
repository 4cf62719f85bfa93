// Says what has changed to screen readers: politely, only what has lasted, and not too often.

import { element, say } from "./page";

const LASTED_MS = 1200;
const PAUSE_MS = 5000;

export class Announcer {
  private readonly region = element("announcer");
  private said = "";
  private saidAt = Number.NEGATIVE_INFINITY;
  private timer = 0;

  /** Of several that come soon after each other the last is said. */
  announce(words: string): void {
    clearTimeout(this.timer);
    if (words === this.said) return;
    const wait = Math.max(LASTED_MS, this.saidAt + PAUSE_MS - performance.now());
    this.timer = window.setTimeout(() => this.speak(words), wait);
  }

  /** At once: the answer to something that the user has just done. */
  speak(words: string): void {
    clearTimeout(this.timer);
    this.said = words;
    this.saidAt = performance.now();
    say(this.region, words);
  }
}
