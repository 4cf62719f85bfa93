"""Reads /metrics in both formats with the parsers of prometheus_client, and holds one against the other.

    read.py URL
"""

import sys
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
# What only rises while nobody is connected, because somebody asks.
MOVES = ("process_", "corelay_turns", "corelay_parks", "corelay_busy")


def ask(url, accept):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(families):
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def check_histograms(families):
    """Buckets rise, the last is the count, and something was counted in each."""
    for family in families:
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            series.setdefault(key, []).append(sample)
        total = 0
        for found in series.values():
            buckets = [sample.value for sample in found if sample.name.endswith("_bucket")]
            bounds = [float(sample.labels["le"]) for sample in found if sample.name.endswith("_bucket")]
            count = next(sample.value for sample in found if sample.name.endswith("_count"))
            assert buckets == sorted(buckets) and bounds == sorted(bounds), family.name
            assert buckets[-1] == count and bounds[-1] == float("inf"), family.name
            total += count
        assert total > 0, f"nothing was counted in {family.name}"


def main(url):
    kind, text = ask(url, "text/plain")
    assert kind == TEXT, kind
    families = list(parser.text_string_to_metric_families(text))
    kind, open_text = ask(url, OPEN)
    assert kind == OPEN, kind
    open_families = list(open_parser.text_string_to_metric_families(open_text))
    for family in families + open_families:
        assert family.type != "unknown" and family.documentation, family.name
    check_histograms(families)
    check_histograms(open_families)
    plain, strict = samples(families), samples(open_families)
    assert plain.keys() == strict.keys(), plain.keys() ^ strict.keys()
    for key, value in plain.items():
        if not key[0].startswith(MOVES):
            assert strict[key] == value, (key, value, strict[key])
    print(f"{len(families)} metrics, {len(plain)} series")


if __name__ == "__main__":
    main(*sys.argv[1:])
