"""The format follows what a reader asks for, and either is read back as it was meant."""

from collections.abc import Callable, Iterable

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from proxy.pipeline.durations import Durations
from proxy.web.metrics.exposition import OPEN_METRICS, PLAIN, exposition, format_for
from proxy.web.metrics.family import Family, HistogramFamily, counter, figure, gauge


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain", PLAIN),
        ("text/html, application/xhtml+xml", PLAIN),
        ("application/openmetrics-text", OPEN_METRICS),
        ("Application/OpenMetrics-Text; version=1.0.0; q=0.6, text/plain;version=0.0.4;q=0.3, */*;q=0.1", OPEN_METRICS),
        ("application/openmetrics-text; q=0.2, text/plain", PLAIN),
        ("application/openmetrics-text; q=0", PLAIN),
        ("application/openmetrics-text; q=nonsense", PLAIN),
        (",;,=;q", PLAIN),
    ],
)
def test_the_format(accept: str, content_type: str) -> None:
    assert format_for(accept) == content_type


AWKWARD = 'a "quoted" \\ name\nwith a line'
FAMILIES = (
    counter("x_usd", "Money.", ("user", "model"), {(AWKWARD, "m"): 1.5, ("%s {}", ""): 1e21}),
    gauge("x_none", "Nothing.", ("a",), {}),
    figure("x_big", "Large.", 12345678901234.0),
    Family("info", "x_build", "The version.", ("version",), {("1",): 1}),
    HistogramFamily("x_seconds", "Time.", ("provider",), (0.5, 10.0), 1000.0, {("p",): Durations((1, 2, 3), 42_500)}),
)


@pytest.mark.parametrize(("content_type", "read"), [(PLAIN, read_plain), (OPEN_METRICS, read_open_metrics)])
def test_both_formats_are_read_as_they_were_meant(content_type: str, read: Callable[[str], Iterable[Metric]]) -> None:
    """Names that callers chose are what they were, whatever stands in them."""
    found = {family.name: family for family in read(exposition(FAMILIES, content_type).decode())}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in found.values()
        for sample in family.samples
    }
    assert samples == {
        ("x_usd_total", ("model", "m"), ("user", AWKWARD)): 1.5,
        ("x_usd_total", ("model", ""), ("user", "%s {}")): 1e21,
        ("x_big",): 12345678901234.0,
        ("x_build_info", ("version", "1")): 1,
        ("x_seconds_bucket", ("le", "0.5"), ("provider", "p")): 1,
        ("x_seconds_bucket", ("le", "10.0"), ("provider", "p")): 3,
        ("x_seconds_bucket", ("le", "+Inf"), ("provider", "p")): 6,
        ("x_seconds_count", ("provider", "p")): 6,
        ("x_seconds_sum", ("provider", "p")): 42.5,
    }
    assert found["x_usd"].type == "counter"
    assert found["x_seconds"].type == "histogram"
    assert not found["x_none"].samples
