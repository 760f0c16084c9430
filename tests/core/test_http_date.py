"""Dates of HTTP: as Python's own library writes and reads them."""

from email.utils import formatdate, parsedate_to_datetime

import pytest

from proxy.core.http_date import http_date, read_http_date

_SECONDS = (0, 1, 784111777, 951782400, 1_700_000_000, 1_798_761_599, 4_102_444_800)


@pytest.mark.parametrize("second", _SECONDS)
def test_a_date_is_written_and_read_as_the_library_does(second: int) -> None:
    text = http_date(second)
    assert text == formatdate(second, usegmt=True)
    assert read_http_date(text) == parsedate_to_datetime(text)
    assert read_http_date(text).timestamp() == second


@pytest.mark.parametrize(
    "text",
    [
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 10:49:37 +0200",
        "6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
    ],
)
def test_other_forms_are_read_too(text: str) -> None:
    assert read_http_date(text).replace(tzinfo=None).isoformat()[:16] in ("1994-11-06T08:49", "1994-11-06T10:49")
    assert read_http_date(text) == parsedate_to_datetime(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "Sun, 31 Feb 2026 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:61:00 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "1 2 3",
    ],
)
def test_what_is_no_date_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"date|must be in|out of range"):
        read_http_date(text)
