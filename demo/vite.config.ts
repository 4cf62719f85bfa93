import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const client = (path: string) => fileURLToPath(new URL(`../clients/typescript/src/${path}`, import.meta.url));
const relay = process.env.CORELAY_URL ?? "http://127.0.0.1:7400";

export default defineConfig({
  // Works under any prefix, and asks no other host for anything.
  base: "./",
  resolve: {
    alias: [
      { find: /^@corelay\/client$/, replacement: client("index.ts") },
      { find: /^@corelay\/client\/codemirror$/, replacement: client("codemirror/index.ts") },
      { find: /^@corelay\/client\/difference$/, replacement: client("text/edits-between.ts") },
    ],
    dedupe: ["@bufbuild/protobuf", "@codemirror/state", "@codemirror/view", "diff", "style-mod"],
  },
  build: {
    target: ["chrome123", "firefox128", "safari17.5"],
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
    // Names that stay: the relay embeds them, and says with an ETag when they are others.
    rolldownOptions: {
      output: {
        entryFileNames: "assets/demo.js",
        // What a page loads later: one that is older than the relay finds nothing, rather than what it does not fit.
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  server: { proxy: { "/ws": { target: relay, ws: true }, "/events": relay, "/v1": relay } },
});
