"""A limit as the operator's API shows it: what it says, whom it holds, and what is used and left of it."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.limit import Limit, written
from proxy.core.limit_kinds import BY_NAME
from proxy.core.loop_turn import LoopTurn
from proxy.core.money import pusd_to_usd
from proxy.pipeline.admission.allowance import quotas_on
from proxy.policy.quota import LimitRow
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.people import HeldLimit, People
from proxy.web.admin.route import AdminRequest

_FIGURES = ("amount", "used", "reserved", "remaining")
_MONEY = "Decimal text in USD; null for what is counted."


class LimitEntry(BaseModel):
    """A limit. Figures of money are in USD and in pico-USD, all others are counts.

    Those of a limit for each user are null: every user has figures of their own.
    """

    id: str = Field(description="It stays while the amount changes.")
    scope: Literal["all", "each_user", "each_end_user", "user", "group", "use_case"]
    name: str | None = Field(description="Of the user, group or use case.")
    limit: str = Field(description="As it is written: $5/day.")
    kind: str
    window: str | None
    mode: Literal["hard", "soft"]
    models: list[str] = Field(description="Patterns of the models that it counts; empty: all.")
    on_spent: str = Field(description="What follows when it has no room: refuse, downgrade: PRESET, slow: 6/minute.")
    source: Literal["config", "database"]
    amount: int | None
    amount_usd: str | None = Field(description=_MONEY)
    amount_pusd: int | None
    used: int | None
    used_usd: str | None
    used_pusd: int | None
    reserved: int | None = Field(description="Set aside by requests that are open.")
    reserved_usd: str | None
    reserved_pusd: int | None
    remaining: int | None
    remaining_usd: str | None
    remaining_pusd: int | None
    resets_at: MomentText | None = Field(description="When the window ends; null for all time, and for concurrency.")


async def limit_entries(request: AdminRequest, people: People, limits: Iterable[HeldLimit]) -> list[dict[str, Any]]:
    """Return limits with their figures now."""
    entries, turn = [], LoopTurn()
    for one in limits:
        entries.append(await limit_entry(request, one, people.source(one.path)))
        await turn.rest()
    return entries


async def limit_entry(request: AdminRequest, one: HeldLimit, source: str) -> dict[str, Any]:
    """Return a limit with its figures now."""
    scope, limit, _ = one
    row = None if scope.what.startswith("each_") else await _row(request, scope.text, limit)
    return {
        "id": one.id,
        "scope": scope.what,
        "name": scope.name or None,
        "limit": written(limit),
        "kind": limit.kind,
        "window": limit.window or None,
        "mode": limit.mode,
        "models": list(limit.models),
        "on_spent": limit.on_spent.text,
        "source": source,
        **_figures(limit, row),
        "resets_at": None if row is None else moment_text(row.resets_at_ms),
    }


async def _row(request: AdminRequest, scope: str, limit: Limit) -> LimitRow:
    services = request.deps.services
    (row,) = await services.limiter.limits(quotas_on(scope, (limit,)), services.clock.now_ms())
    return row


def _figures(limit: Limit, row: LimitRow | None) -> dict[str, Any]:
    is_money = BY_NAME[limit.kind].unit == "money"
    values = (limit.amount, *((None,) * 3 if row is None else (row.used, row.reserved, row.remaining)))
    found: dict[str, Any] = {}
    for name, value in zip(_FIGURES, values, strict=True):
        found[name] = None if is_money else value
        found[f"{name}_usd"] = pusd_to_usd(value) if is_money and value is not None else None
        found[f"{name}_pusd"] = value if is_money else None
    return found


def unchanging(entry: dict[str, Any]) -> dict[str, Any]:
    """Return of an entry what changes only when somebody changes it: what its ETag is made of."""
    names = {f"{name}{unit}" for name in _FIGURES[1:] for unit in ("", "_usd", "_pusd")} | {"resets_at"}
    return {name: value for name, value in entry.items() if name not in names}
