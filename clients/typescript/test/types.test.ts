import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const MODULES = join(ROOT, "node_modules");

const MAIN = `
import { createClient, indexedDatabase, json, localStorageOf, type TextDocument } from "@corelay/client";
import { editsBetween } from "@corelay/client/difference";

const client = createClient({ url: { href: "ws://127.0.0.1:7400" }, userName: "Ada", storage: indexedDatabase() });
const poem: TextDocument = client.text("poem");
poem.edit(editsBetween(poem.text, "Roses"));
client.log("board", { codec: json<{ kind: string }>() }).append({ kind: "line" });
createClient({ tabStorage: localStorageOf({ getItem: () => null, setItem: () => {}, removeItem: () => {} }) });
`;

/** With Node's types also what is Node's own. */
const WITH_NODE = `
export const other = createClient({ url: new URL("ws://127.0.0.1:7400") });
void other.textAt("poem", { revision: 1 }, { signal: AbortSignal.timeout(1000) });
`;

test("the types need nothing of a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "corelay-types-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const client = join(folder, "node_modules/@corelay/client");
  mkdirSync(client, { recursive: true });
  cpSync(join(ROOT, "package.json"), join(client, "package.json"));
  for (const name of ["@bufbuild", "diff", "@types"])
    symlinkSync(join(MODULES, name), join(folder, "node_modules", name));
  expect(tsc("-p", join(ROOT, "tsconfig.build.json"), "--outDir", join(client, "dist"))).toBe("");

  for (const [types, main] of [
    [[], MAIN],
    [["node"], MAIN + WITH_NODE],
  ] as const) {
    const options = {
      lib: ["ES2022"],
      types,
      target: "ES2022",
      module: "NodeNext",
      strict: true,
      skipLibCheck: false,
      noEmit: true,
    };
    writeFileSync(join(folder, "main.ts"), main);
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["main.ts"] }));
    expect(tsc("-p", folder), `types: ${JSON.stringify(types)}`).toBe("");
  }
}, 120_000);

/** What the compiler complains of. */
function tsc(...words: string[]): string {
  const { stdout, status } = spawnSync(process.execPath, [join(MODULES, "typescript/bin/tsc"), ...words], {
    encoding: "utf8",
  });
  return status === 0 ? "" : stdout || "it could not be run";
}
