"""The time that a question of the operator's API is about, as people type it: see policy/period.py."""

from typing import Final
from zoneinfo import ZoneInfo

from pydantic import Field

from proxy.core.errors import CallerError
from proxy.policy.period import read_moment, read_month
from proxy.web.admin.route import AdminQuery

MOMENT_WORDS: Final = "ISO-8601, or such as 7d, today, this-month, 2026-11; without an offset it is the configured zone"


class PeriodFilter(AdminQuery):
    """The base of queries about a time: requests that began in [since, until), or within a month."""

    since: str | None = Field(default=None, description=f"Requests that began at this time or later: {MOMENT_WORDS}.")
    until: str | None = Field(default=None, description="Requests that began before this time.")
    month: str | None = Field(default=None, description="In place of both: 2026-11, this-month, last-month.")

    def bounds_ms(self, zone: ZoneInfo, now_ms: int) -> tuple[int | None, int | None]:
        """Return the bounds as epoch ms, None for none; raises CallerError 400 that names the parameter."""
        if self.month is not None:
            if self.since is not None or self.until is not None:
                raise invalid_query("month", "send it, or since and until")
            return month_ms(self.month, zone, now_ms)
        since_ms = moment_or_none_ms("since", self.since, zone, now_ms)
        until_ms = moment_or_none_ms("until", self.until, zone, now_ms)
        if since_ms is not None and until_ms is not None and since_ms >= until_ms:
            raise invalid_query("until", "it is not after since")
        return since_ms, until_ms


def moment_or_none_ms(name: str, text: str | None, zone: ZoneInfo, now_ms: int) -> int | None:
    """Return the moment of a parameter; raises CallerError 400 that names it."""
    try:
        return None if text is None else read_moment(text, zone, now_ms)
    except ValueError as error:
        raise invalid_query(name, error) from None


def month_ms(text: str, zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    """Return the bounds of a month; raises CallerError 400."""
    try:
        return read_month(text, zone, now_ms)
    except ValueError as error:
        raise invalid_query("month", error) from None


def invalid_query(field: str, problem: object) -> CallerError:
    """Return the answer to a parameter that cannot be used."""
    return CallerError(400, "invalid_query", f"{field}: {str(problem).rstrip('.')}.", param=field)
