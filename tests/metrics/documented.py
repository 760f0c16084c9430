"""The metrics of docs/reference/metrics.md; that they are those of a running proxy, test_mixed_run.py checks."""

import re
from pathlib import Path
from typing import Final, NamedTuple

_PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


class DocumentedMetric(NamedTuple):
    """One row of a table."""

    kind: str
    labels: frozenset[str]


def documented_metrics() -> dict[str, DocumentedMetric]:
    """Return the rows by name; a name stands once."""
    rows = [line.split("|")[1:4] for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = {
        name.strip(" `"): DocumentedMetric(kind.strip(), frozenset(re.findall(r"\w+", labels)))
        for name, kind, labels in rows
    }
    assert len(found) == len(rows)
    return found


def documented_samples() -> dict[str, frozenset[str]]:
    """Return the labels of each sample by its name, as a query names them."""
    found = {}
    for name, metric in documented_metrics().items():
        if metric.kind == "histogram":
            found[f"{name}_bucket"] = metric.labels | {"le"}
            found[f"{name}_count"] = found[f"{name}_sum"] = metric.labels
        else:
            found[name] = metric.labels
    return found
