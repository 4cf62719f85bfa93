/** JSON texts as they were written: what is inside of them, without reading it. The texts are whole JSON. */

/** The texts of the elements of the array at `path`, in order. Empty where there is none. */
export function elementsAt(text: string, path: readonly string[]): string[] {
  let at: number | undefined = 0;
  for (const name of path) {
    at = memberOf(text, at, name);
    if (at === undefined) return [];
  }
  const elements: string[] = [];
  at = skipSpace(text, at);
  if (text[at] !== "[") return elements;
  for (at = skipSpace(text, at + 1); text[at] !== "]"; at = skipSpace(text, at)) {
    const end = skipValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at += 1;
  }
  return elements;
}

/** Where the value of an object's member begins. Of several of one name it is the last, as in `JSON.parse`. */
function memberOf(text: string, start: number, name: string): number | undefined {
  let at = skipSpace(text, start);
  if (text[at] !== "{") return undefined;
  let found: number | undefined;
  for (at = skipSpace(text, at + 1); text[at] !== "}"; at = skipSpace(text, at)) {
    const end = skipValue(text, at);
    const member = JSON.parse(text.slice(at, end)) as string;
    // The colon.
    at = skipSpace(text, skipSpace(text, end) + 1);
    if (member === name) found = at;
    at = skipSpace(text, skipValue(text, at));
    if (text[at] === ",") at += 1;
  }
  return found;
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && " \t\n\r".includes(text[at]!)) at += 1;
  return at;
}

/** Where the value ends that begins here. */
function skipValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === '"') {
      for (at += 1; text[at] !== '"' && at < text.length; at += 1) if (text[at] === "\\") at += 1;
      if (depth === 0) return at + 1;
    } else if (character === "{" || character === "[") {
      depth += 1;
    } else if (character === "}" || character === "]") {
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (character === "," || " \t\n\r".includes(character))) {
      return at;
    }
  }
  return text.length;
}
