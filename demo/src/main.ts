// Brings the page to life.

import { Announcer } from "./announcer";
import { Board } from "./board";
import { startCopyLink } from "./copying";
import { startCount } from "./counted";
import { Crowd } from "./crowd";
import { openEditor } from "./editor";
import { startHistory } from "./history/button";
import { startFigures } from "./live";
import { named } from "./named";
import { element, say } from "./page";
import { Session } from "./session";
import { Standing } from "./standing";
import { startTheme } from "./theme";
import { startViews } from "./views";
import { Whiteboard } from "./whiteboard";

startTheme();
startViews();
const session = new Session();
const announcer = new Announcer();
const speak = (words: string) => announcer.speak(words);

document.title = `${session.document} · corelay`;
say(element("title"), session.document);
const second = element<HTMLAnchorElement>("second");
second.addEventListener("click", () => {
  second.href = session.ownLink;
});
startCopyLink(session.link, speak);
// Another fragment is another document.
addEventListener("hashchange", () => location.reload());
addEventListener("beforeunload", (event) => {
  if (!session.client.isPersistent && session.pending > 0) event.preventDefault();
});

const board = new Whiteboard(session.log, () => session.clientId);
const crowd = new Crowd(session, board);
const editor = openEditor(
  named(session.text, session.log, (peer) => crowd.nameOf(peer)),
  element("editor"),
);
element("skip").addEventListener("click", () => editor.focus());
startCount(session.text);

new Board(board, {
  nameOf: (clientId) => crowd.nameOfClient(clientId),
  me: () => session.clientId,
  speak,
  announce: (words) => announcer.announce(words),
  tell: (at) => crowd.moveTo(at),
});

startHistory({ session, editor, names: crowd, speak });

const standing = new Standing(session, announcer);
startFigures(session, board, () => {
  // The seconds to the next attempt go by.
  if (session.client.status.state === "reconnecting") standing.show();
});
