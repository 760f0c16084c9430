"""Browsers by the names that people know."""

import pytest

from proxy.web.dashboard.browser_name import browser_name

_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (_CHROME, "Chrome on Linux"),
        (f"{_CHROME.replace('X11; Linux', 'Windows NT 10.0; Win64')} Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15.1; rv:142.0) Gecko/20100101 Firefox/142.0", "Firefox on macOS"),
        (f"{_IPHONE} Version/19.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{_IPHONE} CriOS/140.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        ("curl/8.5.0", "curl"),
        ("something else " * 9, ("something else " * 9)[:40]),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("", "does not say"),
    ],
)
def test_names(sent: str, name: str) -> None:
    assert browser_name(sent) == name
