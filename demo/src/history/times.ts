// Points in time, in words.

const DAY_MS = 24 * 60 * 60_000;

/** "Today", "Yesterday", "Thursday 20 November". 0 is from before the relay kept times. */
export function dayWords(time_ms: number, now_ms: number): string {
  if (time_ms === 0) return "Earlier";
  const day = new Date(time_ms);
  const now = new Date(now_ms);
  if (day.toDateString() === now.toDateString()) return "Today";
  if (day.toDateString() === new Date(now_ms - DAY_MS).toDateString()) return "Yesterday";
  const year = day.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  return day.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", ...year }).replace(",", "");
}

/** "14:32", or as the reader's clock has it. */
export function clockWords(time_ms: number, withSeconds = false): string {
  if (time_ms === 0) return "No time kept";
  const seconds = withSeconds ? ({ second: "2-digit" } as const) : {};
  return new Date(time_ms).toLocaleTimeString([], { hour: "numeric", minute: "2-digit", ...seconds });
}

/** "14:20 – 14:32", each of several that would look the same "14:32:08" */
export function spansWords(spans: readonly { begun_ms: number; ended_ms: number }[]): string[] {
  const words = spans.map(({ begun_ms, ended_ms }) => spanWords(begun_ms, ended_ms));
  return words.map((word, index) => {
    const isAlone = words.indexOf(word) === words.lastIndexOf(word);
    return isAlone ? word : clockWords(spans[index]?.ended_ms ?? 0, true);
  });
}

function spanWords(begun_ms: number, ended_ms: number): string {
  const [begun, ended] = [clockWords(begun_ms), clockWords(ended_ms)];
  return begun === ended ? ended : `${begun} – ${ended}`;
}

/** "today, 14:32" */
export function momentWords(time_ms: number, now_ms: number): string {
  if (time_ms === 0) return "a time that was not kept";
  const day = dayWords(time_ms, now_ms);
  return `${/^(Today|Yesterday)$/.test(day) ? day.toLowerCase() : day}, ${clockWords(time_ms)}`;
}

/** "Ada", "Ada and Ben", "Ada, Ben and 2 others" */
export function peopleWords(names: readonly string[]): string {
  const all = [...new Set(names)];
  if (all.length <= 1) return all[0] ?? "";
  if (all.length === 2) return all.join(" and ");
  const rest = all.length - 2;
  return `${all.slice(0, 2).join(", ")} and ${rest === 1 ? all[2] : `${rest} others`}`;
}

/** "12 characters added, 1 removed" */
export function sizeWords(added: number, removed: number): string {
  const characters = (count: number) => (count === 1 ? "1 character" : `${count.toLocaleString("en")} characters`);
  if (added === 0 && removed === 0) return "nothing is different";
  if (removed === 0) return `${characters(added)} added`;
  if (added === 0) return `${characters(removed)} removed`;
  return `${characters(added)} added, ${removed.toLocaleString("en")} removed`;
}
