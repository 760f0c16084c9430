"""Points in time as the operator's API writes and reads them: ISO-8601 in UTC."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from proxy.core.errors import CallerError

_ISO = re.compile(r"[0-9]{4}-")
MomentText = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def _text(value: object) -> str:
    """Return a moment as it was sent; pydantic would read a number as seconds since 1970 too."""
    if isinstance(value, str) and _ISO.match(value):
        return value
    raise ValueError("write ISO-8601 with an offset, such as 2027-01-31T08:00:00Z")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year must be from 1 to 9999") from None


Moment = Annotated[
    AwareDatetime,
    Field(strict=False, description="ISO-8601 with an offset, such as 2027-01-31T08:00:00Z."),
    BeforeValidator(_text),
    AfterValidator(_in_utc),
]


def moment_text(ms: int | None) -> str | None:
    """Return milliseconds since 1970 as text such as 2027-01-31T08:00:00.000Z; None stays None."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_ahead(ms: int | None, field: str, now_ms: int) -> None:
    """Raise CallerError 422 for an end that has passed already."""
    if ms is not None and ms <= now_ms:
        raise CallerError(422, "invalid_field", f"{field} has passed already: {moment_text(ms)}.", param=field)


def moment_ms(moment: datetime | None) -> int | None:
    """Return milliseconds since 1970."""
    return None if moment is None else int(moment.timestamp() * 1000)
