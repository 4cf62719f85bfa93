// What a relay did between two overviews: the same as src/overview/change.rs and distribution.rs, to the last digit, but
// for what the page does not show. tests/data/overview_changes.json has what both come to.

/** What a histogram has counted since an older reading, added up over several of them. */
function counted(pairs) {
  const counts = [];
  for (const [older, newer] of pairs) {
    newer.counts.forEach((count, index) => {
      counts[index] = (counts[index] ?? 0) + rise(older.counts[index] ?? 0, count);
    });
  }
  return { bounds: pairs[0]?.[1].bounds ?? [], counts };
}

/** What so large a part of the values was at most; undefined if there are none. */
function quantile({ bounds, counts }, part) {
  const count = counts.reduce((sum, one) => sum + one, 0);
  if (count === 0) return undefined;
  const wanted = part * count;
  let below = 0;
  let lower = 0;
  for (const [index, upper] of bounds.entries()) {
    const here = counts[index];
    if (here > 0 && below + here >= wanted) return lower + ((upper - lower) * (wanted - below)) / here;
    below += here;
    lower = upper;
  }
  return lower;
}

function quantiles(pairs) {
  const distribution = counted(pairs);
  const ms = (part) => {
    const micros = quantile(distribution, part);
    return micros === undefined ? undefined : micros / 1000;
  };
  return { p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999) };
}

/** How much a counter has risen. */
function rise(older, newer) {
  return Math.max(0, newer - older);
}

/** Rates and latencies; undefined if they are of two runs, or of one moment. */
export function between(older, newer) {
  if (newer.time_ms <= older.time_ms || newer.started_at_ms !== older.started_at_ms) return undefined;
  const seconds = (newer.time_ms - older.time_ms) / 1000;
  const pairs = newer.shards.flatMap((shard) => {
    const before = older.shards.find((one) => one.shard === shard.shard);
    return before ? [[before, shard]] : [];
  });
  const shards = pairs.map(([before, after]) => ({
    shard: after.shard,
    busy_share: Math.min(1, rise(before.busy_micros, after.busy_micros) / seconds / 1e6),
    operations_per_second: rise(before.operations, after.operations) / seconds,
    deliveries_per_second: rise(before.deliveries, after.deliveries) / seconds,
    stalls: rise(before.stalls, after.stalls),
  }));
  const together = (member) => quantiles(pairs.map(([before, after]) => [before[member], after[member]]));
  const stored = (member) => quantiles([[older.store[member], newer.store[member]]]);
  const ofAll = (member) => shards.reduce((sum, shard) => sum + shard[member], 0);
  const commits = rise(older.store.commits, newer.store.commits);
  const operations = rise(older.store.operations, newer.store.operations);
  return {
    seconds,
    cores: rise(older.process.cpu_seconds, newer.process.cpu_seconds) / seconds,
    operations_per_second: ofAll("operations_per_second"),
    deliveries_per_second: ofAll("deliveries_per_second"),
    commits_per_second: commits / seconds,
    operations_per_commit: commits > 0 ? operations / commits : undefined,
    ack: together("ack_micros"),
    queue: stored("queue_micros"),
    gather: stored("gather_micros"),
    commit: stored("commit_micros"),
    sync: stored("sync_micros"),
    reply: stored("reply_micros"),
    fanout: together("fanout_micros"),
    shards,
  };
}
