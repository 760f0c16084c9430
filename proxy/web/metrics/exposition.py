"""The two text formats of metrics, and which of them a reader wants."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client import exposition as plain
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as open_metrics
from prometheus_client.registry import Collector

PLAIN = plain.CONTENT_TYPE_PLAIN_0_0_4
OPEN_METRICS = open_metrics.CONTENT_TYPE_LATEST

_OPEN_METRICS_TYPE = "application/openmetrics-text"
_PLAIN_TYPES = ("text/plain", "text/*", "*/*")


def format_for(accept: str) -> str:
    """Return the content type for an Accept header: OpenMetrics where it is named and not the less wanted one."""
    weights: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weights[name] = max(weights.get(name, 0.0), _weight(parameters))
    wanted = weights.get(_OPEN_METRICS_TYPE, 0.0)
    other = max((weights.get(name, 0.0) for name in _PLAIN_TYPES), default=0.0)
    return OPEN_METRICS if wanted > 0 and wanted >= other else PLAIN


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


class _Collected(Collector):
    """Families that are made already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def exposition(families: Iterable[Metric], content_type: str) -> bytes:
    """Return the text of the families in one of the two formats."""
    registry = CollectorRegistry(auto_describe=False)
    collected = _Collected([*families])
    registry.register(collected)
    text: bytes = (open_metrics if content_type == OPEN_METRICS else plain).generate_latest(registry)
    return text
