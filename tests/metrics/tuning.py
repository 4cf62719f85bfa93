"""Whether the dashboard is one that Grafana knows, and whether each alert has a test that sees it fire and not fire.

Grafana itself is not asked: its own SDK reads the dashboard into Grafana's types and writes it again. What it does not
know is gone then.
"""

import json
import pathlib

import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COLUMNS = 24


def lost(path, before, after):
    """Where the second does not have what the first has."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(f"{path}.{key}", value, after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from lost(f"{path}[{index}]", one, other)
    elif before != after:
        yield path


def check_dashboard():
    plugins.register_default_plugins()
    dashboard = json.loads((ROOT / "tuning/grafana.json").read_text())
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    unknown = list(lost("grafana.json", dashboard, read))
    assert not unknown, f"Grafana does not know {unknown}"
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids), ids
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, f"{panel['title']} is above another panel"
        taken |= cells
    return len(panels)


def check_alerts():
    alerts = [rule["alert"] for group in yaml.safe_load((ROOT / "tuning/alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    expected = {}
    for test in yaml.safe_load((ROOT / "tests/metrics/alerts_test.yaml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            expected.setdefault(case["alertname"], set()).add(len(case["exp_alerts"]) > 0)
    for alert in alerts:
        assert expected.get(alert) == {True, False}, f"no test sees {alert} fire, or not fire"
    return len(alerts)


print(f"{check_dashboard()} panels, {check_alerts()} alerts")
