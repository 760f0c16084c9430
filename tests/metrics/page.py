"""What a reader makes of /metrics, in both formats."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.support.stand import Stand

READERS: Mapping[str, Callable[[str], Iterable[Metric]]] = {"text/plain": read_plain, "openmetrics": read_open_metrics}
OPEN_METRICS = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"


class MetricsPage:
    """The families of one reading, by name, and their samples."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = {family.name: family for family in families}

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of a sample's values, over the series that have these labels."""
        return sum(value for found, value in self.series(name) if labels.items() <= found.items())

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
        ]


async def read_metrics(stand: Stand, accept: str = "") -> MetricsPage:
    """Read /metrics as a program on this machine does."""
    headers = [("Accept", accept)] if accept else []
    answer = await stand.ask("GET", "/metrics", token=None, headers=headers)
    assert answer.status == 200
    kind = "openmetrics" if "openmetrics" in (answer.content_type or "") else "text/plain"
    return MetricsPage(READERS[kind](answer.body.decode()))
