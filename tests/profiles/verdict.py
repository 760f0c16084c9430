"""What is wrong with what came of a cell, in words; nothing where it is as expected. Pure."""

import json
from typing import Any

from .cells import MAXIMUM, Cell, Expected, expected
from .stand import SPARE, Seen

_ASKED = 2  # the first target once, then the second


def faults(seen: Seen) -> list[str]:
    """Return what differs from what a user must get and the ledger must hold."""
    want = expected(seen.cell)
    return [*_answer(seen, want), *_wait(seen, want), *_content(seen, want), *_money(seen, want)]


def _answer(seen: Seen, want: Expected) -> list[str]:
    found = []
    if seen.answer.status != want.status:
        found.append(f"status {seen.answer.status}, not {want.status}: {seen.answer.body[:300]!r}")
    if seen.answer.end != "complete" and seen.cell.column.how.leaves is None:
        found.append(f"the answer ended by {seen.answer.end}")
    if want.by_spare and seen.row["provider"] != SPARE:
        found.append(f"answered by {seen.row['provider']}, not by the second target")
    if want.by_spare and len(seen.attempts) != _ASKED:
        found.append(f"{len(seen.attempts)} attempts: another target comes before a second try")
    if want.code is not None and seen.answer.status == want.status and _code(seen.answer.body) != want.code:
        found.append(f"code {_code(seen.answer.body)!r}, not {want.code!r}")
    return found


def _wait(seen: Seen, want: Expected) -> list[str]:
    """What a server says of a wait reaches the client as Retry-After, by whatever header or words it was said."""
    wait_s = seen.cell.profile.waits_s
    if seen.cell.column.failure != "rate_limited" or want.by_spare or wait_s is None:
        return []
    told = seen.answer.header("Retry-After")
    return [] if told is not None and float(told) >= wait_s else [f"Retry-After {told!r}, the server said {wait_s}"]


def _code(body: bytes) -> Any:
    try:
        error = json.loads(body).get("error", {})
    except ValueError:
        return None
    return error.get("code") or (error.get("metadata") or {}).get("error_type")


def _content(seen: Seen, want: Expected) -> list[str]:
    work, text = seen.cell.column.work or "", seen.answer.body.decode("utf-8", "replace")
    if want.status != 200 or seen.answer.status != 200 or seen.cell.column.how.leaves is not None:
        return []
    found = []
    if work.startswith("tools") and '"weather"' not in text:
        found.append("no tool was called")
    if (work in ("breaks_off", "cut") or (seen.cell.column.failure and not want.by_spare)) and '"error"' not in text:
        found.append("the end of the stream tells no error")
    if work.startswith("maximum") and not seen.row["output_tokens"] <= MAXIMUM:
        found.append(f"{seen.row['output_tokens']} tokens came, the maximum was {MAXIMUM}")
    if work in ("stream", "tools_stream", "preset_stream", "maximum_stream", "cost_stream") and not _ends(
        seen.cell, text
    ):
        found.append(f"the stream ended by {text[-100:]!r}")
    return found


def _ends(cell: Cell, text: str) -> bool:
    if cell.profile.api == "messages":
        return '"message_stop"' in text[-100:]
    return text.endswith("data: [DONE]\n\n") or not cell.profile.stream.done


def _money(seen: Seen, want: Expected) -> list[str]:
    booked, billed = seen.booked_pusd, seen.billed_pusd
    figures = f"{booked} pico-USD booked, {billed} billed, source {seen.row['cost_source']}, flags {seen.row['flags']}"
    if booked == billed:
        return []
    if booked is None and not billed and "cost_unknown" in (seen.row["flags"] or ""):
        return [f"not exact: {figures}"] if want.exact else []
    if booked is None or booked < billed:
        return [f"lower than the bill: {figures}"]
    if not seen.told_inexact:
        return [f"above the bill without a flag: {figures}"]
    return [f"not exact: {figures}"] if want.exact else []
