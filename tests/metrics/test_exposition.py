"""The format follows what a reader asks for, and what it wants more."""

import pytest

from proxy.web.metrics.exposition import OPEN_METRICS, PLAIN, format_for


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
