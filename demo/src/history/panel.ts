// The history's part of the page: what was written when and by whom, to be read, named, and brought back.

import { isolateHistory } from "@codemirror/commands";
import type { EditorView } from "@codemirror/view";
import type { Version } from "@corelay/client";
import { changesOf } from "@corelay/client/codemirror";
import { editsBetween } from "@corelay/client/difference";
import { capital, element, say } from "../page";
import type { Session } from "../session";
import { Past } from "./past";
import { type Names, type Point, Points } from "./points";
import { showText } from "./preview";
import { problemWords } from "./problems";
import { sizeWords } from "./times";

export interface Surroundings {
  session: Session;
  editor: EditorView;
  names: Names;
  speak(words: string): void;
  /** For the eye: what has just happened to the text. */
  tell(words: string): void;
  /** The panel is open, or not any more. */
  toggled(isOpen: boolean): void;
}

export class HistoryPanel {
  private readonly panel = element("history");
  private readonly place = element("history-text");
  private readonly restoration = element<HTMLButtonElement>("history-restore");
  private readonly field = element<HTMLInputElement>("history-name");
  private readonly saving = element<HTMLButtonElement>("history-save");
  private readonly earlier = element<HTMLButtonElement>("history-earlier");
  private readonly newer = element<HTMLButtonElement>("history-newer");
  private readonly past: Past;
  private readonly points: Points;
  /** Ends what is being read for the point that was chosen before. */
  private reading = new AbortController();
  /** The text that is shown. */
  private shown: { point: Point; text: string } | undefined;
  private problem = "";
  private isLoading = false;
  /** A version is being saved or deleted. */
  private isChanging = false;

  constructor(private readonly around: Surroundings) {
    const { client, text, document: name } = around.session;
    this.past = new Past(client, name);
    this.points = new Points(element("history-points"), around.names, {
      choose: (point) => void this.read(point),
      remove: (version) => void this.remove(version),
    });
    element("history-close").addEventListener("click", () => this.close());
    addEventListener("keydown", (event) => {
      const isHere = event.target === document.body || this.panel.contains(event.target as Node);
      if (event.key === "Escape" && this.isOpen && isHere) this.close();
    });
    this.restoration.addEventListener("click", () => this.restore());
    element("history-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.save();
    });
    this.field.addEventListener("input", () => this.complain(""));
    this.earlier.addEventListener("click", () => void this.load(() => this.past.readEarlier(), this.earlier));
    this.newer.addEventListener("click", () => {
      this.points.chosen = undefined;
      void this.load(() => this.past.refresh(), this.newer);
    });
    client.on("status", () => this.show());
    text.on("state", () => this.show());
    text.on("change", () => this.show());
  }

  get isOpen(): boolean {
    return !this.panel.hidden;
  }

  open(): void {
    this.panel.hidden = false;
    this.around.toggled(true);
    this.points.chosen = undefined;
    const title = element("history-title");
    title.focus();
    void this.load(() => this.past.refresh(), title);
  }

  close(): void {
    if (!this.isOpen) return;
    this.reading.abort();
    this.panel.hidden = true;
    this.around.toggled(false);
  }

  /** Reads what is to be listed, and what is chosen then. The focus goes on to it where it has no place any more. */
  private async load(read: () => Promise<void>, from: HTMLElement): Promise<void> {
    if (this.isLoading) return;
    this.isLoading = true;
    this.problem = "";
    this.show();
    try {
      await read();
    } catch (error) {
      this.problem = problemWords(error);
    }
    this.isLoading = false;
    const hadFocus = document.activeElement === from;
    this.list();
    if (hadFocus && (from.hidden || from.tabIndex < 0)) this.points.focus();
  }

  private list(): void {
    const isOther = this.points.show(this.past.versions, this.past.changes, this.mayEdit);
    const { chosen } = this.points;
    if (!chosen) {
      this.shown = undefined;
      this.place.replaceChildren();
    } else if (isOther || this.shown?.point.revision !== chosen.revision) {
      void this.read(chosen);
    }
    this.show();
  }

  private async read(point: Point): Promise<void> {
    this.reading.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    this.shown = undefined;
    this.place.setAttribute("aria-busy", "true");
    this.show();
    try {
      const before = point.before === undefined ? undefined : await this.past.textAt(point.before, signal);
      const text = await this.past.textAt(point.revision, signal);
      if (signal.aborted) return;
      const { added, removed } = showText(this.place, text, before);
      this.shown = { point, text };
      const words = before === undefined ? point.words : `${point.words}: ${sizeWords(added, removed)}`;
      say(element("history-at"), capital(words));
      this.around.speak(`Shown: ${words}`);
    } catch (error) {
      if (signal.aborted) return;
      this.problem = problemWords(error);
    }
    this.place.setAttribute("aria-busy", "false");
    this.show();
  }

  /** An edit like any other: history goes on, and undo takes it back. */
  private restore(): void {
    const { session, editor, speak, tell } = this.around;
    if (!this.shown || !this.mayEdit) return;
    const operation = editsBetween(session.text.text, this.shown.text);
    if (operation.isIdentity) {
      tell("The text is like that already.");
      speak("The text is like that already");
      return;
    }
    const { words } = this.shown.point;
    this.close();
    editor.dispatch({
      changes: changesOf(operation),
      annotations: isolateHistory.of("full"),
      userEvent: "restore",
      scrollIntoView: true,
    });
    editor.focus();
    tell("Restored. Undo takes it back.");
    speak(`Restored: ${words}. Undo takes it back.`);
  }

  private async save(): Promise<void> {
    const name = this.field.value.trim();
    const { chosen } = this.points;
    if (!name || !chosen || this.saving.disabled || this.isChanging) return;
    const { client, document } = this.around.session;
    await this.change(async () => {
      await client.saveVersion(document, name, chosen.revision);
      this.field.value = "";
    }, `Saved the version “${name}”`);
  }

  private async remove(version: Version): Promise<void> {
    const { client, document } = this.around.session;
    await this.change(() => client.deleteVersion(document, version.name), `Deleted the version “${version.name}”`);
    this.field.focus();
  }

  private async change(make: () => Promise<void>, words: string): Promise<void> {
    this.complain("");
    this.isChanging = true;
    try {
      await make();
      await this.past.refreshVersions();
      this.around.speak(words);
    } catch (error) {
      this.complain(problemWords(error));
    }
    this.isChanging = false;
    this.list();
  }

  /** Under the field. */
  private complain(words: string): void {
    const place = element("history-problem");
    say(place, words);
    place.hidden = words === "";
    this.field.setAttribute("aria-invalid", String(words !== ""));
    if (words) this.around.speak(words);
  }

  private get mayEdit(): boolean {
    return this.around.session.text.isEditable;
  }

  /** What can be done now, and why not. */
  private show(): void {
    if (!this.isOpen) return;
    const { client, text } = this.around.session;
    const isConnected = client.status.state === "connected";
    const isReading = this.points.chosen !== undefined && this.shown === undefined && !this.problem;
    let note = this.problem;
    if (!note && (this.isLoading || isReading)) {
      note = isConnected ? "Reading…" : "The history is with the relay: it comes when there is a connection.";
    }
    say(element("history-note"), note);
    element("history-note").hidden = note === "";
    if (isReading || !this.points.chosen) say(element("history-at"), "");
    this.restoration.disabled = !this.shown || !this.mayEdit;
    this.saving.disabled = !this.points.chosen || !this.mayEdit || !isConnected;
    this.field.disabled = !this.mayEdit;
    this.earlier.hidden = !this.past.hasEarlier;
    this.newer.hidden = this.past.revision === 0 || text.revision <= this.past.revision;
  }
}
