"""Limits as pages show them: what each says, whom it holds, and how much of it is used, reserved and left."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from proxy.web.dashboard.figures import NOTHING, money_text, short_count_text


class LimitGauge(Struct, frozen=True):
    """A limit of the operator's API. used, reserved, amount: pico-USD or counts; texts: the same for reading."""

    id: str
    text: str
    holder: str
    used: int
    reserved: int
    amount: int
    used_text: str
    reserved_text: str  # "" where nothing is set aside for what runs
    left_text: str
    resets_at: str | None
    is_known: bool  # a limit for each user has no figures of its own
    is_stored: bool  # in the database, so that it can be changed here
    note: str

    @property
    def words(self) -> str:
        """Return how much is used, set aside and left: $1.20 used, $0.05 set aside, $3.75 left."""
        held = f", {self.reserved_text} set aside" if self.reserved_text else ""
        return f"{self.used_text} used{held}, {self.left_text} left"

    @property
    def share(self) -> float:
        """Return how much is used or reserved, from 0 to 1 and beyond."""
        return (self.used + self.reserved) / self.amount if self.amount else 1.0


def limit_gauges(limits: Iterable[Mapping[str, Any]]) -> list[LimitGauge]:
    """Return limits of the operator's API as pages show them, in their order."""
    return [_shown(limit) for limit in limits]


def _shown(limit: Mapping[str, Any]) -> LimitGauge:
    unit = "_pusd" if limit["amount_pusd"] is not None else ""
    amount, used, reserved, left = (limit[f"{name}{unit}"] for name in ("amount", "used", "reserved", "remaining"))
    text = money_text if unit else short_count_text
    words = str(limit["limit"]) if unit else f"{limit['kind']} {limit['limit']}"
    return LimitGauge(
        id=limit["id"],
        text=words,
        holder=_holder(limit),
        used=used or 0,
        reserved=reserved or 0,
        amount=amount or 0,
        used_text=NOTHING if used is None else text(used),
        reserved_text=text(reserved) if reserved else "",
        left_text=NOTHING if left is None else text(left),
        resets_at=limit["resets_at"],
        is_known=used is not None,
        is_stored=limit["source"] == "database",
        note=_note(limit),
    )


def _holder(limit: Mapping[str, Any]) -> str:
    """Return whom a limit holds: all, each user, user bo."""
    what = str(limit["scope"]).replace("_", " ")
    return f"{what} {limit['name']}" if limit["name"] else what


def _note(limit: Mapping[str, Any]) -> str:
    """Return what is unusual about a limit."""
    notes = ["soft"] if limit["mode"] == "soft" else []
    if limit["models"]:
        notes.append(f"for {', '.join(limit['models'])}")
    if limit["on_spent"] != "refuse":
        notes.append(f"then {limit['on_spent']}")
    return ", ".join(notes)
