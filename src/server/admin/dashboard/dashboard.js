// What a relay tells of itself (`GET /overview`; src/overview/mod.rs has its shape), once a second.

import { between } from "./change.js";

const PERIOD_MS = 1000;
const PATIENCE_MS = 5000;
/** Figures are of so long. */
const WINDOW_MS = 5000;
/** Charts are of so long. */
const SPAN_MS = 180_000;
const TOP = 10;

function total(overview, member) {
  return overview.shards.reduce((sum, shard) => sum + shard[member], 0);
}

// ------------------------------------------------------------------------------------------------------------ words

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const NOTHING = "–";

function number(value) {
  if (value === undefined) return NOTHING;
  return (value < 100 ? FINE : WHOLE).format(value);
}

function percent(share) {
  return share === undefined ? NOTHING : `${FINE.format(100 * share)} %`;
}

function time(ms) {
  if (ms === undefined) return NOTHING;
  if (ms < 0.1) return `${Math.round(1000 * ms)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(ms < 100 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

function bytes(value) {
  if (value === undefined) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function span(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.floor(ms / 1000)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function count(value, one, many) {
  return `${WHOLE.format(value)} ${value === 1 ? one : many}`;
}

/** A name that a client has given: without what cannot be seen, or would turn the line around. */
function safe(name) {
  const invisible = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
  return name.slice(0, 256).replace(invisible, "\ufffd");
}

// ------------------------------------------------------------------------------------------------------- the document

function element(id) {
  return document.getElementById(id);
}

function make(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function makeSvg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function say(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

/** So many children of this kind. */
function keep(parent, wanted, create) {
  while (parent.children.length > wanted) parent.lastElementChild.remove();
  while (parent.children.length < wanted) parent.append(create());
  return [...parent.children];
}

// --------------------------------------------------------------------------------------------------------- the charts

const WIDTH = 1000;
const HEIGHT = 100;

/** Lines over the last minutes. A point without a value breaks them. */
class Chart {
  constructor(...classes) {
    this.edges = classes.map((name) => makeSvg("path", { class: `edge ${name}` }));
    this.area = makeSvg("path", { class: "area" });
    const attributes = { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    this.svg = makeSvg("svg", attributes, this.area, ...this.edges);
  }

  /** `height` puts a value between 0, the bottom, and 1. */
  draw(points, values, height, now_ms) {
    values.forEach((value, line) => {
      const runs = [[]];
      for (const point of points) {
        const found = value(point);
        if (found === undefined) {
          runs.push([]);
          continue;
        }
        const x = WIDTH * (1 - (now_ms - point.at_ms) / SPAN_MS);
        const y = HEIGHT * (1 - Math.min(1, Math.max(0, height(found))));
        runs.at(-1).push([x.toFixed(1), y.toFixed(1)]);
      }
      const drawn = runs.filter((run) => run.length > 0);
      this.edges[line].setAttribute("d", drawn.map((run) => `M${run.join("L")}h.01`).join(""));
      if (values.length > 1) return;
      const area = drawn.map((run) => `M${run[0][0]},${HEIGHT}L${run.join("L")}L${run.at(-1)[0]},${HEIGHT}Z`);
      this.area.setAttribute("d", area.join(""));
    });
  }
}

/** The largest, or what at least is to be there. */
function largest(values, least) {
  return values.reduce((most, value) => Math.max(most, value ?? 0), least);
}

/** Times as lines on a scale of decades. */
class LatencyPlot {
  constructor(place) {
    this.chart = new Chart("p50", "p99", "p999");
    this.marks = make("div", "");
    place.append(this.marks, this.chart.svg);
    this.place = place;
  }

  draw(points, now_ms) {
    const values = points.flatMap(({ ack }) => (ack ? [ack.p50_ms, ack.p999_ms] : [])).filter((value) => value > 0);
    const decade = (value, round) => round(Math.log10(value));
    const bottom = values.length ? decade(Math.min(...values), Math.floor) : -1;
    const top = Math.max(bottom + 1, values.length ? decade(Math.max(...values), Math.ceil) : 1);
    const height = (value) => (Math.log10(Math.max(value, 1e-6)) - bottom) / (top - bottom);
    this.chart.draw(points, [(point) => point.ack?.p50_ms, (point) => point.ack?.p99_ms, (point) => point.ack?.p999_ms], height, now_ms);
    const marks = keep(this.marks, top - bottom + 1, () => make("div", "mark", make("span", "")));
    marks.forEach((mark, index) => {
      mark.style.top = `calc(6px + (100% - 12px) * ${1 - index / (top - bottom)})`;
      const ms = 10 ** (bottom + index);
      say(mark.firstElementChild, ms < 1 ? `${Math.round(1000 * ms)} µs` : ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);
    });
  }
}

// -------------------------------------------------------------------------------------------------- what is shown where

class Tile {
  constructor(name) {
    this.value = make("dd", "value", NOTHING);
    this.beside = make("dd", "beside", "\u00a0");
    this.chart = new Chart("");
    const chart = make("dd", "", this.chart.svg);
    element("tiles").append(make("div", "tile", make("dt", "", name), this.value, this.beside, chart));
  }

  show(value, beside, points, pick, now_ms) {
    say(this.value, value);
    say(this.beside, beside || "\u00a0");
    const top = 1.1 * largest(points.map(pick), 1e-9);
    this.chart.draw(points, [pick], (found) => found / top, now_ms);
  }
}

const tiles = {
  operations: new Tile("Operations/s"),
  deliveries: new Tile("Deliveries/s"),
  connections: new Tile("Connections"),
  ack: new Tile("Acknowledged in, p50"),
  commits: new Tile("Commits/s"),
  documents: new Tile("Documents in memory"),
};

/** Of a shard: the name, what a point of its history has, and the words for it. The scale has at least so much. */
const MEASURES = [
  { name: "Busy", pick: (shard) => shard.busy_share, words: percent, least: 1 },
  { name: "Operations/s", pick: (shard) => shard.operations_per_second, words: number, least: 10 },
  { name: "Deliveries/s", pick: (shard) => shard.deliveries_per_second, words: number, least: 10 },
  { name: "Connections", pick: (shard) => shard.connections, words: number, least: 4 },
  { name: "Documents", pick: (shard) => shard.documents, words: number, least: 4 },
  { name: "Stalls", pick: (shard) => shard.stalls, words: number, least: 1 },
];

class ShardCard {
  constructor(shard) {
    this.shard = shard;
    this.note = make("p", "note");
    this.measures = MEASURES.map(({ name }) => {
      const value = make("dd", "", NOTHING);
      const chart = new Chart("");
      const place = make("dd", "chart-place", chart.svg);
      return { value, chart, part: make("div", "measure", make("dt", "", name), value, place) };
    });
    this.pools = make("dl", "pools");
    const title = make("h3", "", `Shard ${shard}`);
    title.id = `shard-${shard}`;
    this.card = make(
      "article",
      "card",
      make("div", "shard-head", title, this.note),
      make("dl", "measures", ...this.measures.map(({ part }) => part)),
      make("p", "pools-title", "Memory"),
      this.pools,
    );
    this.card.setAttribute("aria-labelledby", title.id);
  }

  /** `reading` is undefined if the shard does not answer. */
  show(reading, change, points, tops, now_ms) {
    const lately = points.reduce((sum, point) => sum + (point.shards?.get(this.shard)?.stalls ?? 0), 0);
    const blocked = reading?.blocked_connections ? `${count(reading.blocked_connections, "connection", "connections")} behind, ` : "";
    say(this.note, reading ? `${blocked}longest turn ${time(reading.longest_turn_micros / 1000)}` : "does not answer");
    MEASURES.forEach(({ name, pick, words }, index) => {
      const { value, chart } = this.measures[index];
      const now = change && reading ? { ...change, connections: reading.connections, documents: reading.documents } : undefined;
      say(value, name === "Stalls" ? words(lately) : words(now && pick(now)));
      const at = (point) => {
        const shard = point.shards?.get(this.shard);
        return shard && pick(shard);
      };
      chart.draw(points, [at], (found) => found / tops[index], now_ms);
    });
    if (reading) this.showPools(reading.memory);
  }

  showPools(memory) {
    const pools = keep(this.pools, memory.length, () => {
      const bar = makeSvg("rect", { width: 0, height: 5 });
      const meter = makeSvg("svg", { class: "meter", viewBox: "0 0 100 5", preserveAspectRatio: "none", "aria-hidden": "true" }, bar);
      return make("div", "pool", make("dt", ""), make("dd", ""), make("dd", "meter-place", meter));
    });
    pools.forEach((pool, index) => {
      const { pool: name, used_bytes, limit_bytes } = memory[index];
      const share = limit_bytes > 0 ? used_bytes / limit_bytes : 0;
      const [title, words, place] = pool.children;
      say(title, name);
      say(words, `${bytes(used_bytes)} of ${bytes(limit_bytes)}`);
      const meter = place.firstElementChild;
      meter.firstElementChild.setAttribute("width", (100 * Math.min(1, share)).toFixed(2));
      meter.toggleAttribute("data-full", share > 0.8);
    });
  }
}

const PARTS = [
  { name: "Until acknowledged", part: "ack" },
  { name: "waits for the committer", part: "queue", of: true },
  { name: "waits for its commit", part: "gather", of: true },
  { name: "commit", part: "commit", of: true },
  { name: "of it, sync", part: "sync", of: true },
  { name: "way back to its shard", part: "reply", of: true },
  { name: "Until passed on, once stored", part: "fanout" },
];

function showLatencies(change) {
  const rows = keep(element("latency"), PARTS.length, () => {
    const name = make("th", "");
    name.scope = "row";
    return make("tr", "", name, make("td"), make("td"), make("td"));
  });
  rows.forEach((row, index) => {
    const { name, part, of } = PARTS[index];
    const [title, ...cells] = row.children;
    say(title, name);
    title.classList.toggle("of", Boolean(of));
    const { p50_ms, p99_ms, p999_ms } = change?.[part] ?? {};
    [p50_ms, p99_ms, p999_ms].forEach((value, column) => {
      say(cells[column], time(value));
    });
  });
}

/** Rows of a name, what is said below it, and cells; the last two only where there is room. */
function showRows(id, rows) {
  element(`${id}-empty`).hidden = rows.length > 0;
  element(id).closest("table").hidden = rows.length === 0;
  const made = keep(element(id), rows.length, () => {
    const name = make("th", "name", make("span"), make("span", "about"));
    name.scope = "row";
    name.firstElementChild.dir = "auto";
    return make("tr", "", name, make("td"), make("td"), make("td"), make("td", "wide"), make("td", "wide"));
  });
  made.forEach((row, index) => {
    const [name, about, ...words] = rows[index];
    const [title, ...cells] = row.children;
    say(title.firstElementChild, name);
    say(title.lastElementChild, about);
    title.title = name;
    cells.forEach((cell, column) => {
      say(cell, words[column]);
    });
  });
}

/** A document's operations in a second since an older overview, as all the other rates. Of one that is not in it the relay's. */
function heat(one, older, seconds) {
  const before = older.hottest.find(({ id, tenant }) => id === one.id && tenant === one.tenant);
  if (!before) return one.operations_per_second;
  return seconds > 0 ? Math.max(0, one.revision - before.revision) / seconds : undefined;
}

function showHottest(overview, older) {
  const seconds = (overview.time_ms - older.time_ms) / 1000;
  const documents = overview.hottest.map((one) => ({ ...one, operations_per_second: heat(one, older, seconds) }));
  documents.sort((a, b) => (b.operations_per_second ?? 0) - (a.operations_per_second ?? 0));
  const rows = documents.map((one) => [
    safe(one.id),
    [safe(one.tenant), one.kind, one.state === "open" ? "" : one.state].filter(Boolean).join(" · "),
    String(one.shard),
    number(one.operations_per_second),
    number(one.subscribers),
    WHOLE.format(one.revision),
    bytes(one.memory_bytes),
  ]);
  say(element("hottest-note"), `${count(total(overview, "documents"), "document", "documents")} in memory`);
  showRows("hottest", rows);
}

function showSlowest(overview) {
  const rows = overview.slowest.map((one) => [
    safe(one.user || one.address || one.id),
    [one.id, safe(one.tenant), one.transport, ...one.documents.slice(0, 3).map(safe)].filter(Boolean).join(" · "),
    String(one.shard),
    WHOLE.format(one.lag_operations),
    bytes(one.queued_bytes),
    WHOLE.format(one.documents_count),
    span(Math.max(0, overview.time_ms - one.connected_at_ms)),
  ]);
  say(element("slowest-note"), `${WHOLE.format(total(overview, "blocked_connections"))} of ${count(total(overview, "connections"), "connection", "connections")} behind`);
  showRows("slowest", rows);
}

// ------------------------------------------------------------------------------------------------------------ the state

const STATES = {
  ready: ["Ready", "ok"],
  recovering: ["Recovering the store", "busy"],
  draining: ["Draining: it is about to stop", "busy"],
  "disk failed": ["The disk has failed", "off"],
  "disk hangs": ["The disk does not answer", "off"],
};

function showState(state) {
  const [words, tone] = STATES[state] ?? [state, "off"];
  say(element("state-words"), words);
  element("state").dataset.tone = tone;
}

/** Overviews of one run, newest last: as many as the figures need. */
let recent = [];
/** What the charts show, newest last. */
let points = [];
const cards = new Map();
const plot = new LatencyPlot(element("latency-plot"));

/** Since when nothing was heard. */
let away;

function take(overview) {
  const now_ms = Date.now();
  const last = recent.at(-1);
  // Another version of the relay may have another page.
  if (last && last.version !== overview.version) return location.reload();
  const change = last && between(last, overview);
  if (last && !change) recent = [];
  if (last) points.push(change ? point(change, overview, now_ms) : { at_ms: now_ms });
  recent.push(overview);
  while (recent.length > 2 && overview.time_ms - recent[1].time_ms >= WINDOW_MS) recent.shift();
  points = points.filter((one) => now_ms - one.at_ms <= SPAN_MS);
  away = undefined;
  element("notice").hidden = true;
  delete element("main").dataset.stale;
  show(overview, between(recent[0], overview), now_ms);
}

function byNumber(shards) {
  return new Map(shards.map((shard) => [shard.shard, shard]));
}

/** What a chart knows of one moment. */
function point(change, overview, now_ms) {
  const shards = byNumber(change.shards);
  for (const { shard, connections, documents } of overview.shards) {
    shards.set(shard, { ...shards.get(shard), connections, documents });
  }
  return { ...change, shards, at_ms: now_ms, connections: total(overview, "connections"), documents: total(overview, "documents") };
}

function show(overview, change, now_ms) {
  showState(overview.state);
  const { process, store } = overview;
  say(element("version"), overview.version);
  say(element("uptime"), span(overview.uptime_ms));
  say(element("resident"), bytes(process.resident_bytes));
  say(element("cores"), number(change?.cores));
  say(element("descriptors"), `${WHOLE.format(process.open_descriptors)} of ${WHOLE.format(process.open_descriptors_max)}`);
  say(element("disk"), bytes(store.table_bytes + store.journal_bytes));

  const tile = (name, value, beside, pick) => tiles[name].show(value, beside, points, pick, now_ms);
  const inAll = (member) => `${WHOLE.format(total(overview, member))} in all`;
  tile("operations", number(change?.operations_per_second), inAll("operations"), (one) => one.operations_per_second);
  tile("deliveries", number(change?.deliveries_per_second), inAll("deliveries"), (one) => one.deliveries_per_second);
  tile("connections", WHOLE.format(total(overview, "connections")), `of ${WHOLE.format(total(overview, "connections_limit"))}`, (one) => one.connections);
  tile("ack", time(change?.ack.p50_ms), `p99 ${time(change?.ack.p99_ms)}`, (one) => one.ack?.p50_ms);
  const each = change?.operations_per_commit ? `${number(change.operations_per_commit)} operations each` : "";
  tile("commits", number(change?.commits_per_second), each, (one) => one.commits_per_second);
  tile("documents", WHOLE.format(total(overview, "documents")), `${count(total(overview, "subscribers"), "subscription", "subscriptions")}`, (one) => one.documents);

  showShards(overview, change, now_ms);
  plot.draw(points, now_ms);
  showLatencies(change);
  showHottest(overview, recent[0]);
  showSlowest(overview);
}

function showShards(overview, change, now_ms) {
  const readings = new Map(overview.shards.map((reading) => [reading.shard, reading]));
  const numbers = [...new Set([...readings.keys(), ...overview.silent_shards])].sort((a, b) => a - b);
  const changes = byNumber(change?.shards ?? []);
  const tops = MEASURES.map(({ pick, least }) =>
    largest(
      points.flatMap((one) => [...(one.shards?.values() ?? [])].map(pick)),
      least,
    ),
  );
  const place = element("shards");
  for (const [shard, card] of cards) {
    if (numbers.includes(shard)) continue;
    card.card.remove();
    cards.delete(shard);
  }
  numbers.forEach((shard, index) => {
    let card = cards.get(shard);
    if (!card) {
      card = new ShardCard(shard);
      cards.set(shard, card);
      place.insertBefore(card.card, place.children[index] ?? null);
    }
    card.show(readings.get(shard), changes.get(shard), points, tops, now_ms);
  });
}

/** It does not answer, or has nothing to tell yet. */
function miss(why) {
  if (!away) {
    away = new Date();
    recent = recent.slice(-1);
    points.push({ at_ms: Date.now() });
  }
  element("main").dataset.stale = "";
  const notice = element("notice");
  if (why) {
    showState(why);
    notice.hidden = true;
    return;
  }
  say(element("state-words"), "Not answering");
  element("state").dataset.tone = "off";
  say(notice, `The relay has not answered since ${away.toLocaleTimeString()}. What is shown is from before. This page goes on by itself when it is back.`);
  notice.hidden = false;
}

// ------------------------------------------------------------------------------------------------------------- looking

let timer;
let isLooking = false;

async function look() {
  if (isLooking || document.hidden) return;
  isLooking = true;
  const started_ms = performance.now();
  try {
    const response = await fetch(`/overview?top=${TOP}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) take(await response.json());
    else miss(response.status === 503 ? (await response.text()).trim() : undefined);
  } catch (error) {
    miss();
    // A mistake of ours is not the relay's silence.
    if (!(error instanceof TypeError && /fetch/i.test(error.message)) && !(error instanceof DOMException)) reportError(error);
  }
  isLooking = false;
  clearTimeout(timer);
  timer = setTimeout(look, Math.max(0, PERIOD_MS - (performance.now() - started_ms)));
}

document.addEventListener("visibilitychange", look);
say(element("title"), location.host);
document.title = `corelay: ${location.host}`;
look();
