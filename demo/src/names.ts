// Pleasant random names, of documents and of people.

const MOODS =
  "amber bold bright calm clear curious early gentle golden happy kind lively lucky merry patient quick quiet silver sunny warm".split(
    " ",
  );
const PLACES =
  "bay brook coast garden harbour hill island lake lantern meadow orchard pine river shore summit valley willow window wood".split(
    " ",
  );
const ANIMALS =
  "Badger Beaver Crane Dolphin Falcon Finch Fox Hare Hedgehog Heron Ibis Kestrel Lark Lynx Marten Otter Owl Puffin Robin Swan Tern Wren".split(
    " ",
  );

/** Four hexadecimal digits keep two strangers with the same two words apart. */
export function documentName(): string {
  return `${pick(MOODS)}-${pick(PLACES)}-${random(0x10000).toString(16).padStart(4, "0")}`;
}

export function personName(): string {
  const mood = pick(MOODS);
  return `${mood.charAt(0).toUpperCase()}${mood.slice(1)} ${pick(ANIMALS)}`;
}

/** One or two letters for a small round picture. */
export function initials(name: string): string {
  const words = name
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "");
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return (
    letters
      .map((word) => [...(word ?? "")][0] ?? "")
      .join("")
      .toUpperCase() || "?"
  );
}

function pick(words: string[]): string {
  return words[random(words.length)] as string;
}

function random(below: number): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) % below;
}
