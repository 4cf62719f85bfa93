// Where a network blocks WebSocket.

import { converge, expect, test } from "./demo.ts";

test("a page whose WebSocket is blocked goes over an event stream by itself", async ({ relay, visitor }) => {
  const ada = await visitor();
  await ada.page.addInitScript(() => {
    globalThis.WebSocket = class extends EventTarget {
      binaryType = "arraybuffer";
      bufferedAmount = 0;
      constructor() {
        super();
        setTimeout(() => {
          this.dispatchEvent(new Event("error"));
          this.dispatchEvent(new CloseEvent("close", { code: 1006 }));
        }, 20);
      }
      send() {}
      close() {}
    } as unknown as typeof WebSocket;
  });
  await ada.open(relay, "#blocked");
  const ben = await (await visitor()).open(relay, "#blocked");
  await expect(ada.figure("connected by")).toHaveText("Event stream");
  await expect(ben.figure("connected by")).toHaveText("WebSocket");
  await Promise.all([ada.type("over events ", 5), ben.type("OVER A SOCKET ", 5)]);
  const text = await converge(ada, ben);
  expect(text).toHaveLength("over events OVER A SOCKET ".length);
  await ben.draw([0.3, 0.3], [0.6, 0.6]);
  await expect(ada.lines).toHaveCount(1);
});
