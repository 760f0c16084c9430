"""Dates as HTTP has them: ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110, part 5.6.7).

Python's email.utils reads and writes them too, and takes 3 MB and 6 ms of a start for it.
"""

import re
import time
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"


def http_date(second: int) -> str:
    """Return the date for a second since 1970."""
    year, month, day, hour, minute, in_minute, weekday, _, _ = time.gmtime(second)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{in_minute:02} GMT"


def read_http_date(text: str) -> datetime:
    """Return the moment of a date; one in another form of mail or HTTP may have no zone. Raises ValueError."""
    found = re.fullmatch(_DATE, text)
    if found is None or found[2] not in _MONTHS:
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - for forms that hardly anybody sends

        try:
            return parsedate_to_datetime(text)
        except (OverflowError, TypeError, IndexError) as error:  # what it raises for odd dates, besides ValueError
            raise ValueError(f"not a date: {error}") from None
    day, hour, minute, second = (int(found[n]) for n in (1, 4, 5, 6))
    return datetime(int(found[3]), _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC)
