// Feeds the panel with live figures.

import type { Document, Durability } from "@corelay/client";
import { Figures } from "./figures";
import { Meter, timeEdits } from "./meter";
import type { Session } from "./session";
import type { Whiteboard } from "./whiteboard";

const PERIOD_MS = 500;

export function startFigures(session: Session, board: Whiteboard, everyPeriod: () => void): void {
  const { client, text, log, http } = session;
  const meter = new Meter();
  const figures = new Figures(meter);
  let epoch = 0;
  let shard: number | undefined;
  let durability: Durability | undefined;
  client.on("status", () => {
    epoch += 1;
  });
  timeEdits(
    text,
    (listener) => text.on("change", ({ origin }) => origin === "local" && listener()),
    meter,
    () => epoch,
  );
  timeEdits(
    log,
    (listener) => {
      board.onMark = listener;
    },
    meter,
    () => epoch,
  );
  // There is a document, and so a shard, from the first operation on.
  const askShard = async () => {
    if (text.state.state === "open" && text.revision > 0) shard = (await http.about())?.shard;
  };
  text.on("state", askShard);

  const revisions = new Map<Document, number>();
  const count = (document: Document) => {
    const before = revisions.get(document);
    if (document.state.state !== "open") {
      revisions.delete(document);
      return;
    }
    if (before === 0 && document.revision > 0 && document === text) void askShard();
    if (before !== undefined) meter.countOperations(performance.now(), Math.max(0, document.revision - before));
    revisions.set(document, document.revision);
  };
  const show = () => {
    count(text);
    count(log);
    durability = text.saved.durability ?? log.saved.durability ?? durability;
    figures.show({
      transport: client.status.transport,
      revision: text.revision,
      shard,
      durability,
    });
    everyPeriod();
  };
  setInterval(show, PERIOD_MS);
  show();
}
