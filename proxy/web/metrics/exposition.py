"""The two text formats of metrics, and which of them a reader wants.

They are written here, in a tenth of the time that objects for each sample take: while a thread writes, requests wait
for the interpreter, so that it hands over again and again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.utils import floatToGoString

from proxy.web.metrics.family import AnyFamily

PLAIN: Final[str] = CONTENT_TYPE_PLAIN_0_0_4
OPEN_METRICS: Final[str] = CONTENT_TYPE_LATEST

_OPEN_METRICS_TYPE = "application/openmetrics-text"
_PLAIN_TYPES = ("text/plain", "text/*", "*/*")
_AT_ONCE = 50  # samples between two offers to hand over: a tenth of a millisecond
_number: Callable[[float], str] = floatToGoString
_PLAIN_SUFFIX = {"counter": "_total", "info": "_info"}


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


def exposition(families: Iterable[AnyFamily], content_type: str) -> bytes:
    """Return the text of the families in one of the two formats. Takes long: call it in a thread."""
    is_open = content_type == OPEN_METRICS
    pieces: list[str] = []
    for family in families:
        pieces += _head(family, is_open=is_open)
        for number, line in enumerate(_lines(family), 1):
            pieces.append(line)
            if number % _AT_ONCE == 0:
                time.sleep(0)
        time.sleep(0)
    if is_open:
        pieces.append("# EOF\n")
    return "".join(pieces).encode()


def _head(family: AnyFamily, *, is_open: bool) -> Iterator[str]:
    """Yield what introduces a family. The older format knows no infos, and names counters as their samples are."""
    name, kind = family.name, str(family.kind)
    if not is_open:
        name += _PLAIN_SUFFIX.get(kind, "")
        kind = "gauge" if kind == "info" else kind
    yield f"# HELP {name} {family.text}\n"
    yield f"# TYPE {name} {kind}\n"


def _lines(family: AnyFamily) -> Iterator[str]:
    """Yield a line for each sample, its labels in the order of the alphabet."""
    order = sorted(range(len(family.labels)), key=family.labels.__getitem__)
    labels = ",".join(f'{family.labels[at]}="%s"' for at in order)
    for suffix, bound, values, figure in family.samples():
        found = labels % tuple(_escaped(str(values[at])) for at in order) if order else ""
        if bound:
            found += f'{"," if found else ""}le="{bound}"'
        braces = f"{{{found}}}" if found else ""
        yield f"{family.name}{suffix}{braces} {_number(figure)}\n"


@lru_cache(maxsize=4096)
def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
