"""The dashboard and the alert rules: what they name is there, and promtool finds no fault in them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metrics.documented import documented_samples
from tests.metrics.promql import NamedMetrics, PromQLError, read_names

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "rules.yml"
DASHBOARD = json.loads((CONTRIB / "grafana" / "tollkeeper.json").read_text(encoding="utf-8"))
SCRAPED = frozenset({"job", "instance"})
RULE_KEYS = {"alert", "expr", "for", "labels", "annotations"}
SAMPLES = documented_samples()
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus"
)


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> Iterator[tuple[str, str]]:
    """Yield each query of the dashboard with the title of its panel."""
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


def _check(expression: str) -> NamedMetrics:
    named = read_names(expression)
    assert named.matched, expression
    for name, labels in named.matched:
        assert name in SAMPLES, f"{name} is no metric: {expression}"
        known = SAMPLES[name] | SCRAPED
        assert known.issuperset(labels), f"{name} has no label {set(labels) - known}: {expression}"
    every = SCRAPED.union(*(SAMPLES[name] for name, _ in named.matched))
    assert named.grouped <= every, f"no metric has a label {named.grouped - every}: {expression}"
    return named


def test_each_rule_names_metrics_that_are_there_and_says_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 20
    for rule in rules():
        _check(rule["expr"])
        assert rule.keys() <= RULE_KEYS
        assert rule["labels"].keys() == {"severity"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_each_panel_names_metrics_that_are_there() -> None:
    for _, expression in queries():
        _check(expression)


def test_the_dashboard_can_be_imported() -> None:
    """It has a place for the data source, no id twice, no panel over another, and each variable is asked for."""
    (source,) = DASHBOARD["__inputs"]
    assert (source["name"], source["pluginId"]) == ("DS_PROMETHEUS", "prometheus")
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    everything = " ".join(expression for _, expression in queries())
    for variable in DASHBOARD["templating"]["list"]:
        assert f'{variable["name"]}=~"${variable["name"]}"' in everything
        found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["definition"])
        assert found is not None
        metric, label = found.groups()
        assert label in SAMPLES[metric] | SCRAPED


@needs_promtool
def test_promtool_takes_the_rules_and_they_tell_what_they_should(tmp_path: Path) -> None:
    """The queries of the dashboard are tried as rules: Prometheus parses them alike."""
    groups = [{"name": "panels", "rules": [_as_rule(n, expr) for n, (_, expr) in enumerate(queries())]}]
    panels_file = tmp_path / "panels.yml"
    panels_file.write_text(yaml.safe_dump({"groups": groups}))
    _promtool("check", "rules", str(RULES), str(panels_file))
    _promtool("test", "rules", *map(str, sorted(RULES.parent.glob("*_test.yml"))))


def _as_rule(number: int, expression: str) -> dict[str, str]:
    plain = re.sub(r"\$__(?:rate_interval|range)", "5m", expression)
    return {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", ".*", plain)}


def _promtool(*arguments: str) -> None:
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("expression", "matched", "grouped"),
    [
        ("up == 0", [("up", ())], set()),
        ('sum by (a, b) (rate(x_total{c=~"$c", d!="}"}[5m] offset 1w)) * 3600', [("x_total", ("c", "d"))], {"a", "b"}),
        ("histogram_quantile(0.95, sum(y_bucket) without (z)) > 1e9", [("y_bucket", ())], {"z"}),
        ("a / on(i) group_left(j) b and c unless d", [("a", ()), ("b", ()), ("c", ()), ("d", ())], {"i", "j"}),
    ],
)
def test_names_are_found(expression: str, matched: list[tuple[str, tuple[str, ...]]], grouped: set[str]) -> None:
    assert read_names(expression) == NamedMetrics(tuple(matched), frozenset(grouped))


@pytest.mark.parametrize("expression", ['{a="b"}', "x{a}", "x{a=b}"])
def test_what_is_not_understood_is_no_pass(expression: str) -> None:
    with pytest.raises(PromQLError):
        read_names(expression)


@pytest.mark.parametrize(
    "expression",
    ["tollkeeper_nothing > 0", 'tollkeeper_ledger_ok{user="x"} == 0', "sum by (user) (tollkeeper_ledger_ok)"],
)
def test_a_name_that_is_nowhere_is_found(expression: str) -> None:
    with pytest.raises(AssertionError, match=r"no metric|no label"):
        _check(expression)
