/** The relay and the Rust client that the tests run, as they are in the source. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";

export default function build(): void {
  const cwd = join(import.meta.dirname, "../../../..");
  const cargo = spawnSync("cargo", ["build", "--quiet", "--bin", "corelay", "--example", "typescript_peer"], {
    cwd,
    stdio: "inherit",
  });
  if (cargo.status !== 0) throw new Error("the relay could not be built");
}
