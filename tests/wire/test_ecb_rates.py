"""The files of the European Central Bank, in all their forms, and what else may stand in their place."""

import contextlib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.ecb_rates import EcbRatesError, read_usd_rates

XML = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<Cube>
\t\t<Cube time='2026-11-27'>
\t\t\t<Cube currency='USD' rate='1.2500'/>
\t\t\t<Cube currency='SEK' rate='11.0000'/>
\t\t</Cube>
\t\t<Cube time="2026-11-26"><Cube currency="USD" rate="1.2"/><Cube currency="SEK" rate="10.8"/></Cube>
\t\t<Cube time='2026-11-25'><Cube currency='SEK' rate='10.8'/></Cube>
\t</Cube>
</gesmes:Envelope>"""
HISTORY = "Date,USD,JPY,SEK,\n2026-11-27,1.25,190.1,11,\n2026-11-26,1.2,N/A,10.8,\n2026-11-25,N/A,190,10.8,\n"
DAILY = "Date, USD, SEK, \n27 November 2026, 1.2500, 11.000, \n"
DAYS = {date(2026, 11, 27): Decimal("8.8"), date(2026, 11, 26): Decimal(9)}


@pytest.mark.parametrize("text", [XML, HISTORY, "\ufeff" + HISTORY])
def test_days(text: str) -> None:
    assert read_usd_rates(text, "SEK") == DAYS


def test_one_day() -> None:
    assert read_usd_rates(DAILY, "SEK") == {date(2026, 11, 27): Decimal("8.8")}


def test_the_euro_itself_and_ten_digits() -> None:
    assert read_usd_rates(DAILY, "EUR") == {date(2026, 11, 27): Decimal("0.8")}
    assert read_usd_rates(HISTORY, "EUR")[date(2026, 11, 26)] == Decimal("0.8333333333")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not found</html>",
        "Date,USD\n2026-13-01,1\n",
        "Date,USD\n2026-11-27,-1\n",
        "Date,USD\n2026-11-27,NaN\n",
        "Date,USD\n2026-11-27,0\n",
        "Date,USD\n2026-11-27,1e-400\n",
        f'Date,USD\n2026-11-27,"{"1" * 200_000}"\n',
        "Day,USD\n2026-11-27,1\n",
        XML.replace("USD", "CHF"),
        XML.replace("2026-11-27", "2026-02-30"),
    ],
)
def test_what_is_no_list_of_rates(text: str) -> None:
    with pytest.raises(EcbRatesError):
        read_usd_rates(text, "EUR")


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"Date,USD\n{text}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(EcbRatesError):
        assert read_usd_rates(text, "EUR")
