"""The figures of a limit that refused a request, as errors carry them for programs to act on."""

from typing import Any, NamedTuple

from proxy.core.clock import iso_utc
from proxy.core.limit_kinds import BY_NAME
from proxy.core.money import pusd_to_usd


class LimitFigures(NamedTuple):
    """What a limit said when it refused; amounts are in pico-USD for cost, else counts.

    window is "" for concurrency, models empty for a limit on all of them. needed is what the request asked of it.
    resets_at_ms None: it never does. affordable_max_tokens: the longest answer that the limit would still pay for; None
    where no shorter answer would do, or nobody asked for one.
    """

    scope: str
    kind: str
    window: str
    mode: str
    models: tuple[str, ...]
    limit: int
    used: int
    reserved: int
    needed: int
    resets_at_ms: int | None
    affordable_max_tokens: int | None = None

    @property
    def remaining(self) -> int:
        """Return what is left, at least 0."""
        return max(0, self.limit - self.used - self.reserved)

    def as_json(self) -> dict[str, Any]:
        """Return the fields of an error object: money as decimal text in USD with ``_pusd`` integers beside it."""
        return {
            "scope": self.scope,
            "kind": self.kind,
            "window": self.window or None,
            "mode": self.mode,
            "models": list(self.models) or None,
            **amount_fields(self.kind, self._asdict(), ("limit", "used", "reserved", "needed")),
            **amount_fields(self.kind, {"remaining": self.remaining}, ("remaining",)),
            "resets_at": None if self.resets_at_ms is None else iso_utc(self.resets_at_ms),
            "affordable_max_tokens": self.affordable_max_tokens,
        }


def amount_fields(kind: str, amounts: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return amounts of a kind of limit as JSON has them: money as decimal text with an integer beside it."""
    if BY_NAME[kind].unit != "money":
        return {name: amounts[name] for name in names}
    shown: dict[str, Any] = {}
    for name in names:
        shown[name] = pusd_to_usd(amounts[name])
        shown[f"{name}_pusd"] = amounts[name]
    return shown
