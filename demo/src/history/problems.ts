// Why something about the history cannot be had, in words.

import { RefusedError } from "@corelay/client";

export function problemWords(error: unknown): string {
  if (!(error instanceof RefusedError)) return `This did not work: ${error instanceof Error ? error.message : error}.`;
  const { name, message } = error.refusal;
  switch (name) {
    case "DOCUMENT_NOT_FOUND":
      return "Nothing is written yet. The history begins with the first word.";
    case "VERSION_EXISTS":
      return "There is a version of that name already.";
    case "VERSION_NAME_INVALID":
      return "A name has up to 128 bytes, on one line.";
    case "TOO_MANY_VERSIONS":
      return "This document has as many versions as it may. Delete one of them first.";
    case "VERSION_NOT_FOUND":
      return "Somebody else has deleted this version.";
    case "FORBIDDEN":
      return "Your token does not permit this.";
    default:
      return `The relay says: ${message}.`;
  }
}
