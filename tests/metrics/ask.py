"""Asks a Prometheus, which has scraped a relay under load, for all that the dashboard and the alerts ask, and holds some
figures against /metrics.

    ask.py PROMETHEUS RELAY         their addresses, as host:port
    ask.py PROMETHEUS RELAY up      only waits until it has scraped the relay
"""

import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml
from prometheus_client import parser

TUNING = pathlib.Path(__file__).resolve().parent.parent.parent / "tuning"
# What Grafana puts in place of its variables.
VARIABLES = {"$instance": ".+", "$__rate_interval": "1m"}
PATIENCE_S = 20


def ask(prometheus, path, **parameters):
    url = f"http://{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        answer = urllib.request.urlopen(url, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    answer = json.load(answer)
    assert answer["status"] == "success", (parameters, answer)
    return answer["data"]


def values(prometheus, expression):
    """Of each series, without those that are not a number, as a quantile of nothing is."""
    found = ask(prometheus, "query", query=expression)["result"]
    found = [float(series["value"][1]) for series in found]
    return [value for value in found if not math.isnan(value)]


def value(prometheus, expression):
    (found,) = values(prometheus, expression)
    return found


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def asked_by_dashboard(dashboard):
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, replacement in VARIABLES.items():
                expression = expression.replace(name, replacement)
            assert "$" not in expression, expression
            yield f"{panel['title']}: {target['expr']}", expression


def asked_by_alerts(alerts):
    """Each as it is, and then as what says 0 or 1 of each series in place of leaving it out."""
    for alert in alerts:
        yield f"{alert['alert']}: {alert['expr']}", re.sub(r" (==|!=|<=|>=|<|>) ", r" \1 bool ", alert["expr"])


def scraped(relay):
    request = urllib.request.Request(f"http://{relay}/metrics", headers={"Accept": "text/plain"})
    text = urllib.request.urlopen(request, timeout=10).read().decode()
    samples = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def total(samples, name):
    return sum(sample.value for sample in samples[name])


def bucket_of(samples, name, part):
    """The bounds between which so large a part of the values of a histogram ends."""
    counts = {}
    for sample in samples[f"{name}_bucket"]:
        bound = float(sample.labels["le"])
        counts[bound] = counts.get(bound, 0) + sample.value
    bounds = sorted(counts)
    wanted = part * counts[math.inf]
    upper = next(index for index, bound in enumerate(bounds) if counts[bound] >= wanted)
    return bounds[upper - 1] if upper else 0.0, bounds[upper]


def check_quantile(prometheus, samples, part, name, counts, off):
    """It is in the bucket that /metrics has for that part, or for one that is no further `off`."""
    found = value(prometheus, f"histogram_quantile({part}, sum by (le) ({counts}))")
    lower = bucket_of(samples, name, part - off)[0]
    upper = bucket_of(samples, name, min(1, part + off))[1]
    assert lower <= found <= upper, (counts, part, lower, found, upper)


def wait_until_scraped(prometheus, deliveries):
    """Prometheus has seen as many."""
    for _ in range(10 * PATIENCE_S):
        if values(prometheus, "sum(corelay_deliveries_total)") == [deliveries]:
            return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus has not seen {deliveries} deliveries in {PATIENCE_S} s")


def settled(relay):
    """/metrics, once nothing is delivered any more."""
    before = scraped(relay)
    for _ in range(PATIENCE_S):
        # A shard's numbers are copied once a second.
        time.sleep(1.1)
        after = scraped(relay)
        if total(after, "corelay_deliveries_total") == total(before, "corelay_deliveries_total"):
            return after
        before = after
    raise AssertionError("the load does not end")


def check(prometheus, relay):
    (target,) = ask(prometheus, "targets", state="active")["activeTargets"]
    assert target["health"] == "up", target
    groups = ask(prometheus, "rules", type="alert")["groups"]
    alerts = [rule for group in yaml.safe_load((TUNING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert loaded.keys() == {alert["alert"] for alert in alerts}, loaded.keys()
    for rule in loaded.values():
        assert rule["health"] == "ok", rule

    samples = settled(relay)
    deliveries = total(samples, "corelay_deliveries_total")
    wait_until_scraped(prometheus, deliveries)

    # Nothing of what is scraped is refused, and nothing that is asked for is empty.
    dashboard = json.loads((TUNING / "grafana.json").read_text())
    asked = [*asked_by_dashboard(dashboard), *asked_by_alerts(alerts)]
    for name, expression in asked:
        assert values(prometheus, expression), f"there is nothing for {name}"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            found = ask(prometheus, f"label/{label}/values", **{"match[]": metric})
            assert found == [relay], (variable, found)

    # Its totals, rates and percentiles are what /metrics says. It first scraped before the load began.
    for name in ("operations", "deliveries", "acks", "sent_bytes"):
        found, wanted = value(prometheus, f"sum(corelay_{name}_total)"), total(samples, f"corelay_{name}_total")
        assert found == wanted > 0, (name, found, wanted)
    risen = 60 * value(prometheus, "sum(rate(corelay_deliveries_total[1m]))")
    # It goes beyond its samples by half a period, or one and a tenth, at either end.
    assert deliveries * 0.99 <= risen <= deliveries * 1.5, (risen, deliveries)
    for name in ("corelay_ack_seconds", "corelay_fanout_seconds", "corelay_store_commit_seconds"):
        for part in (0.5, 0.99):
            check_quantile(prometheus, samples, part, name, f"{name}_bucket", 0)
            # `rate` goes beyond its samples by more in buckets that were empty at first, which moves a few values.
            check_quantile(prometheus, samples, part, name, f"rate({name}_bucket[1m])", 0.02)
    print(f"{len(asked)} expressions asked of Prometheus, {len(alerts)} alerts loaded, {deliveries:.0f} deliveries, {risen:.0f} by rate")


if __name__ == "__main__":
    prometheus, relay, *only = sys.argv[1:]
    if only == ["up"]:
        wait_until_scraped(prometheus, 0)
    else:
        check(prometheus, relay)
