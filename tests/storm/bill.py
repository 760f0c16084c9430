"""How an operator closes the books of a storm: late look-ups, the bill of the day, a restart, the bill when it is over.

There is a SIGKILL among it. In the end each request is booked at what was charged for it, to the pico-dollar, and so is
each user, each day and the sum; rows stay as they were, and what is done again changes nothing.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .closed_books import (
    ADJUSTMENTS,
    ROWS,
    booking_differences,
    charged_with_ours,
    class_differences,
    drift_differences,
    read_all,
    reasons,
    wrong_requests,
)
from .counted import adjustment_differences
from .draw import PLAIN_PROVIDER, Plan
from .limits import GROUPS, WIDE
from .outsiders import happen
from .processes import OPERATOR_TOKEN, ProxyProcess, SimulatorProcess, http_json
from .totals import disagreements, told_limits
from .views import Books, LedgerView

_AT_ONCE = 8
_DAY_S, _HOUR_S = 86_400, 3_600
_OVER_S = 3 * _HOUR_S  # after midnight, when a bill shows all that it will
_BOOKING_S = 10.0  # for the first booking of a sync, at which it is killed


@dataclass(slots=True)
class Closing:
    """What came of it. classes: what was booked by its reason, as (bookings, pico-USD).

    charged_pusd: by the simulator's books, with all that the proxy's keys were used for.
    """

    charged_pusd: int
    told: int = 0
    by_hand: int = 0
    too_cheap: int = 0
    classes: dict[str, tuple[int, int]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


class Operator:
    """Works on the books of one storm with the commands that there are."""

    def __init__(self, proxy: ProxyProcess, simulator: SimulatorProcess, plan: Plan) -> None:
        self._proxy = proxy
        self._simulator = simulator
        self._plan = plan
        self._days: tuple[str, str] = ("", "")
        self._differences: list[str] = []

    async def close_books(self, tokens: dict[str, str], books: Books) -> Closing:
        """Book all that was charged; say what does not hold afterwards. Raises ProcessError."""
        proxy, ledger = self._proxy, self._proxy.ledger_path
        before = read_all(ledger, ROWS)
        self._days = _days(ledger)
        with LedgerView(ledger) as view:
            outsiders = happen(self._simulator, self._plan.seed, books, view)
        self._simulator.tell_generations()
        told = json.loads(await self._command("adjustments", "look-up", "--json"))
        await asyncio.sleep(1.1)  # the bill is asked for up to the last whole second
        if not self._plan.checks_starts:
            await self._killed_sync()
        await self._sync()
        self._differences += await disagreements(proxy.port, tokens, self._plan.limits, ledger)
        await self._next_day()
        last_id = max((row[0] for row in read_all(ledger, ADJUSTMENTS)), default=0)
        await self._sync()
        books = Books(self._simulator.books())
        found = Closing(charged_with_ours(books), told["told"], differences=self._differences)
        found.by_hand = await self._book_by_hand(books)
        found.too_cheap = await self._believe_the_bill()
        await self._sync_by_api()
        found.classes = reasons(ledger)
        booked = read_all(ledger, ADJUSTMENTS)
        await self._sync_by_api()
        if read_all(ledger, ADJUSTMENTS) != booked:
            self._differences.append("a second sync has booked something")
        if read_all(ledger, ROWS) != before:
            self._differences.append("rows of requests were changed by what became known later")
        self._differences += class_differences(ledger, outsiders, books)
        self._differences += booking_differences(ledger, books, outsiders)
        self._differences += await self._reconciled(books)
        self._differences += await disagreements(proxy.port, tokens, self._plan.limits, ledger, proxy.ahead_s)
        self._differences += self._limits(tokens, books)
        self._differences += adjustment_differences(proxy.port, ledger, last_id)
        await self._command("audit", "check")
        return found

    async def _command(self, *arguments: str) -> str:
        done = await asyncio.to_thread(self._proxy.command, *arguments)
        if done.returncode != 0:
            text = f"tollkeeper {' '.join(arguments)}: exit code {done.returncode}: {done.stdout[-400:]}{done.stderr}"
            self._differences.append(text)
        return done.stdout

    async def _sync(self) -> None:
        first, last = self._days
        await self._command("sync", "--from", first, "--to", last)

    async def _ask(self, path: str, fields: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"http://127.0.0.1:{self._proxy.port}/admin/v1{path}"
        return (await asyncio.to_thread(http_json, url, fields, headers))["data"]

    async def _sync_by_api(self) -> None:
        """Do what the command does, without waiting for it to start."""
        for day in sorted({*self._days}):
            for problem in (await self._ask("/account/sync", {"day": day}))["problems"]:
                self._differences.append(f"sync of {day}: {problem}")

    async def _killed_sync(self) -> None:
        """Kill the proxy in the middle of a sync, when it has begun to book."""
        booked = len(read_all(self._proxy.ledger_path, ADJUSTMENTS))
        syncing = asyncio.create_task(self._sync_by_api())
        with suppress(TimeoutError):
            async with asyncio.timeout(_BOOKING_S):
                while len(read_all(self._proxy.ledger_path, ADJUSTMENTS)) == booked and not syncing.done():  # noqa: ASYNC110  another process writes them
                    await asyncio.sleep(0.002)
        self._proxy.kill()
        with suppress(OSError):
            await syncing
        self._proxy.spawn()
        await asyncio.to_thread(self._proxy.wait_ready)

    async def _next_day(self) -> None:
        """Stop the proxy, and start it when the storm's last day is over and its bill complete."""
        exit_code = await asyncio.to_thread(self._proxy.stop)
        if exit_code != 0:
            self._differences.append(f"SIGTERM: the proxy ended with exit code {exit_code}")
        now = datetime.now(UTC)
        over = datetime.fromisoformat(f"{self._days[1]}T00:00:00Z") + timedelta(seconds=_DAY_S + _OVER_S)
        ahead_s = int((over - now).total_seconds())
        self._simulator.advance(ahead_s)
        self._proxy.ahead_s = ahead_s
        self._proxy.spawn()
        await asyncio.to_thread(self._proxy.wait_ready)

    async def _believe_the_bill(self) -> int:
        """Book what the bill has far below its price: somebody must look at it; return how many requests that were."""
        rows = await self._ask(f"/reconciliations/rows?since={self._days[0]}&name=unknown&limit=1000")
        named = [row for row in rows if row["request"] is not None]
        for row in named:
            await self._book(row["request"], row["billed_pusd"], "the bill, as it was looked at")
        return len(named)

    async def _book(self, request: str, pusd: int, reason: str) -> None:
        usd = f"{pusd // 10**12}.{pusd % 10**12:012}"
        await self._ask("/adjustments", {"request_id": request, "actual_usd": usd, "reason": reason})

    async def _book_by_hand(self, books: Books) -> int:
        """Book the invoice of the provider whose bill can't be read; return how many requests that were."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def book(id_: str, pusd: int) -> None:
            async with slots:
                await self._book(id_, pusd, "the invoice")

        wrong = dict(wrong_requests(self._proxy.ledger_path, books, PLAIN_PROVIDER))
        await asyncio.gather(*(book(*truth) for truth in wrong.items()))
        return len(wrong)

    async def _reconciled(self, books: Books) -> list[str]:
        first, last = self._days
        report = await self._command("reconcile", "--from", first, "--to", last, "--json")
        return [*drift_differences(json.loads(report)["days"], books)]

    def _limits(self, tokens: dict[str, str], books: Books) -> Iterator[str]:
        """Hold limits on money that still count the storm against the books."""
        charged = books.charged()
        for limit, totals in told_limits(self._proxy.port, tokens, self._plan.limits).items():
            if limit.kind != "cost" or limit.window not in ("total", WIDE) or limit.scope == "all":
                continue
            asks = [ask for ask in self._plan.asks if limit.holds_for(ask.user, GROUPS.get(ask.user))]
            pusd = sum(charged.get(ask.session, 0) for ask in asks)
            if totals.used != pusd:
                yield f"{limit}: GET /v1/me/limits says {totals.used}, {pusd} pico-USD were charged"


def _days(ledger: Path) -> tuple[str, str]:
    """Return the UTC days of the first and the last request."""
    ((first_ms, last_ms),) = read_all(ledger, "SELECT min(started_ms), max(started_ms) FROM requests")
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).date().isoformat() for ms in (first_ms, last_ms))
    return first, last
