"""Thirty days as they may go: what the proxy booked, what the provider charged, and why the two differ.

Each request and call is written with the class that its difference belongs to, so that the script is the witness: it
knows neither of the comparison nor of the simulator's sums.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from proxy.config.key_overlay import MAIN
from proxy.storage.rows import id_floor
from tests.support.installation import PROVIDER_KEY

OTHER_KEY: Final = "sk-or-v1-" + "0badcafe" * 8
KEY_HASH: Final = sha256(PROVIDER_KEY.encode()).hexdigest()
OURS, FOREIGN = "tollkeeper", "curl/8.0"
USERS: Final = ("anna", "bob")
MODELS: Final = ("openai/gpt-4o-mini", "anthropic/claude-haiku-4.5")
DAY_MS: Final = 86_400_000
_WAYS: Final = (
    *("agreed",) * 3,
    *("pending", "reservation", "hung_up", "never_charged", "estimated", "cheap", "price_changed", "rounded"),
    *("refunded", "raised", "outside", "other_key", "byok", "own", "midnight", "lost", "released"),
)
ALL_WAYS: Final = frozenset(_WAYS)


@dataclass
class Month:
    """rows: of the ledger; calls: on the bill; changes: charges that the provider changes later, by generation id.

    classes: what the first comparison must find, by day; later: what it must find after the changes. final: what must
    be booked for each user once all is booked; apart: what is booked under no user.
    """

    days: list[date]
    rows: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    classes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    later: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    final: Counter[str] = field(default_factory=Counter)
    apart: int = 0
    other_keys: int = 0
    elsewhere: int = 0  # booked here, and billed by somebody else

    @property
    def charged(self) -> int:
        """Return what the bill comes to in the end."""
        changed = {one["id"]: one["charged_pusd"] - one.get("upstream_pusd", 0) for one in self.calls}
        return sum({**changed, **self.changes}.values())


class _Script:
    """Writes one month. Each request has a minute of its own, so that it is known which call is whose."""

    def __init__(self, today: date, days: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.month = Month([today - timedelta(days=n) for n in range(days, 0, -1)])
        self._ids = 0

    def play(self) -> Month:
        for number, day in enumerate(self.month.days):
            ways = list(_WAYS) if number % 3 == 0 else self.chance.sample(_WAYS, 6)
            for n, way in enumerate(ways):
                self._event(day, 30 + n * 60, way)
        return self.month

    def _event(self, day: date, minute: int, way: str) -> None:
        at_ms = _ms(day) + minute * 60_000
        cost = self.chance.randrange(10**6, 10**10)
        less = self.chance.randrange(5_000, 10**6)
        getattr(self, f"_{way}")(day, at_ms, cost, less)

    # --- what may happen

    def _agreed(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        self._row(day, at_ms, cost, "provider", call=self._call(at_ms, cost))

    def _pending(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        call = self._call(at_ms, cost, is_hidden=True)
        self._row(day, at_ms, None, "none", call=call, state="pending", reserved_pusd=cost * 2)
        self._drift(day, "pending", cost)
        self._book(cost)

    def _reservation(self, day: date, at_ms: int, cost: int, less: int) -> None:
        self._row(day, at_ms, cost + less, "reservation", call=self._call(at_ms, cost))
        self._drift(day, "reservation_charged", -less)
        self._book(-less)

    def _hung_up(self, day: date, at_ms: int, cost: int, less: int) -> None:
        self._call(at_ms, cost)
        self._row(day, at_ms, cost + less, "reservation", call=None)
        self._drift(day, "reservation_charged", -less)
        self._book(-less)

    def _never_charged(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        self._row(day, at_ms, cost, "reservation", call=None)
        self._drift(day, "reservation_charged", -cost)
        self._book(-cost)

    def _estimated(self, day: date, at_ms: int, cost: int, less: int) -> None:
        self._row(day, at_ms, cost, "estimate", call=self._call(at_ms, cost + less))
        self._drift(day, "estimated", less)
        self._book(less)

    def _cheap(self, day: date, at_ms: int, cost: int, less: int) -> None:
        self._row(day, at_ms, cost, "estimate", call=self._call(at_ms, cost - less))
        self._drift(day, "estimated", -less)
        self._book(-less)

    def _price_changed(self, day: date, at_ms: int, cost: int, less: int) -> None:
        """Work the cost out by a list of prices that was no longer true."""
        assert less
        charged = cost * 11 // 10
        self._row(day, at_ms, cost, "price", call=self._call(at_ms, charged))
        self._drift(day, "estimated", charged - cost)
        self._book(charged - cost)

    def _rounded(self, day: date, at_ms: int, cost: int, less: int) -> None:
        self._row(day, at_ms, cost, "provider", call=self._call(at_ms, cost - less % 1000 - 1))
        self._drift(day, "price_rounding", -(less % 1000) - 1)
        self._book(-(less % 1000) - 1)

    def _refunded(self, day: date, at_ms: int, cost: int, less: int) -> None:
        call = self._call(at_ms, cost)
        self._row(day, at_ms, cost, "provider", call=call)
        self.month.changes[call] = cost - less
        self.month.later[day.isoformat()]["refunded"] -= less
        self._book(-less)

    def _raised(self, day: date, at_ms: int, cost: int, less: int) -> None:
        call = self._call(at_ms, cost)
        self._row(day, at_ms, cost, "generation", call=call)
        self.month.changes[call] = cost + less
        self.month.later[day.isoformat()]["raised"] += less
        self._book(less)

    def _outside(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        self._call(at_ms, cost, user_agent=FOREIGN)
        self._drift(day, "outside_call", cost)
        self.month.apart += cost

    def _other_key(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        self._call(at_ms, cost, key=OTHER_KEY)
        self._drift(day, "other_key", cost)
        self.month.other_keys += cost

    def _byok(self, day: date, at_ms: int, cost: int, less: int) -> None:
        call = self._call(at_ms, cost + less, upstream_pusd=cost)
        self._row(day, at_ms, cost + less, "provider", call=call, is_byok=1, upstream_cost_pusd=cost)
        self._drift(day, "own_key", -cost)
        self.month.elsewhere += cost

    def _own(self, day: date, at_ms: int, cost: int, less: int) -> None:
        """Send with a key that the user brought: to another account."""
        assert less
        self._ids += 1
        self._row(day, at_ms, cost, "provider", call=f"gen-{at_ms // 1000}-elsewhere{self._ids}", key="own")
        self._drift(day, "own_key", -cost)
        self.month.elsewhere += cost

    def _midnight(self, day: date, at_ms: int, cost: int, less: int) -> None:
        """Begin a stream just before midnight; it ends, and is billed, on the next day."""
        assert at_ms
        start_ms = _ms(day) + DAY_MS - 3_000
        call = self._call(start_ms, cost, billed_s=start_ms // 1000 + 30)
        self._row(day, start_ms, cost + less, "reservation", call=call)
        self._drift(day, "reservation_charged", -less)
        self._drift(day, "other_day", -cost)
        self._drift(day + timedelta(days=1), "other_day", cost)
        self._book(-less)

    def _lost(self, day: date, at_ms: int, cost: int, less: int) -> None:
        assert less
        self._call(at_ms, cost)
        self._drift(day, "lost_row", cost)
        self.month.apart += cost

    def _released(self, day: date, at_ms: int, cost: int, less: int) -> None:
        """Take for free what was charged after all."""
        assert cost
        self._row(day, at_ms, 0, "none", call=self._call(at_ms, less), state="released")
        self._drift(day, "estimated", less)
        self._book(less)

    # --- how it is written

    def _drift(self, day: date, name: str, pusd: int) -> None:
        self.month.classes[day.isoformat()][name] += pusd

    def _book(self, pusd: int) -> None:
        """Count what is to be booked for the user of the last row beside what is."""
        self.month.final[self.month.rows[-1]["user"]] += pusd

    def _call(self, at_ms: int, charged_pusd: int, **more: Any) -> str:
        self._ids += 1
        id_ = f"gen-{at_ms // 1000}-{self._ids:06}"
        billed_s = more.pop("billed_s", None)
        usual = {"key": PROVIDER_KEY, "user_agent": OURS, "model": self._model(at_ms), "provider": "OpenAI"}
        timed = {} if billed_s is None else {"billed": billed_s}
        self.month.calls.append(
            {**usual, **timed, "id": id_, "created": at_ms // 1000, "charged_pusd": charged_pusd, **more}
        )
        return id_

    def _model(self, at_ms: int) -> str:
        return MODELS[at_ms // 60_000 % len(MODELS)]

    def _row(self, day: date, at_ms: int, cost: int | None, source: str, *, call: str | None, **more: Any) -> None:
        self._ids += 1
        user = self.chance.choice(USERS)
        self.month.final[user] += cost or 0
        model = self._model(at_ms)
        usual = {
            "id": id_floor(at_ms + 10) + self._ids,
            "started_ms": at_ms + 10,
            "finished_ms": at_ms + 2_000,
            "day": day.isoformat(),
            "user": user,
            "group_name": None,
            "token_id": "tok_1",
            "endpoint": "chat/completions",
            "requested_model": model,
            "model": model,
            "provider": "openrouter",
            "target_provider": "openrouter",
            "target_model": model,
            "key": MAIN,
            "use_case": None,
            "status": 200,
            "state": "settled",
            "input_tokens": 10,
            "output_tokens": 10,
            "reserved_pusd": cost,
            "cost_pusd": cost,
            "cost_source": source,
            "generation_id": call,
            "outcome": "ok",
            "streamed": 0,
            "attempts": 1,
            "error": None,
            "flags": "usage_missing" if source in ("reservation", "estimate") else None,
            "is_byok": None,
            "upstream_cost_pusd": None,
        }
        self.month.rows.append({**usual, **more})


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def month_before(today: date, *, days: int = 30, seed: int = 1) -> Month:
    """Return the script of the days before today."""
    return _Script(today, days, seed).play()
