// Writes the messages in src/wire, from proto/corelay.proto; with --check, fails where they are not what it says.

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

const client = join(import.meta.dirname, "..");

function run(command, args, options) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { maxBuffer: 64 * 1024 * 1024, ...options });
  if (status !== 0) throw error ?? new Error(`${command} has failed: ${stderr}`);
  return stdout;
}

const cargo = ["run", "--quiet", "--example", "typescript_descriptors"];
const descriptors = fromBinary(FileDescriptorSetSchema, run("cargo", cargo, { cwd: join(client, "../..") }));
const request = create(CodeGeneratorRequestSchema, {
  fileToGenerate: ["corelay.proto"],
  parameter: "target=ts,import_extension=js",
  protoFile: descriptors.file,
  sourceFileDescriptors: descriptors.file,
});
const generator = join(client, "node_modules/.bin/protoc-gen-es");
const input = toBinary(CodeGeneratorRequestSchema, request);
const response = fromBinary(CodeGeneratorResponseSchema, run(generator, [], { input }));
if (response.error !== "") throw new Error(response.error);
for (const { name, content } of response.file) {
  const path = join(client, "src/wire", name);
  if (!argv.includes("--check")) writeFileSync(path, content);
  else if (readFileSync(path, "utf8") !== content) throw new Error(`${path} is out of date: npm run generate`);
}
