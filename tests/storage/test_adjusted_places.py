"""One table of the places that read what requests cost: each counts a late cost, in rows and in hours alike."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.app.rebuild import rebuilt_book
from proxy.policy.quota import Quota
from proxy.storage.adjustment import Correction
from proxy.storage.export import Selection
from proxy.storage.performance import PerformanceFilter
from proxy.storage.request_reports import RequestFilter
from proxy.storage.rows import HOUR_MS, KeyHashes, id_text
from proxy.storage.spending import USAGE_WORDS, UsageSelection
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.idempotency import find_key
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import START_MS, book, booked

UTC = ZoneInfo("UTC")
CUT_MS = START_MS  # within an hour: what is summed from here on is read from rows
HOUR_START_MS = START_MS - START_MS % HOUR_MS
NOW_MS = START_MS + 1000
KEY = KeyHashes(b"k" * 32, b"b" * 32)
TRUTH_PUSD = 123_456_789


class Corrected:
    """A ledger with one request that was corrected, and its reports."""

    def __init__(self, path: Path, id_: int) -> None:
        self.path = path
        self.id = id_
        self.reports = SqliteReports(path)

    def view(self, name: str, column: str) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            value = connection.execute(f"SELECT {column} FROM {name}").fetchone()[0]  # noqa: S608 - of this file
        return round(value * 1e12) if isinstance(value, float) else int(value)

    def usage(self, word: str, since_ms: int | None) -> int:
        rows = self.reports.usage(UsageSelection((word,), since_ms=since_ms), UTC).rows
        return sum(row.cost_pusd for row in rows)

    def exported(self) -> int:
        (one,) = self.reports.export(Selection(("cost_pusd",)))
        return int(one.rows[0][0])

    def exported_as_csv(self) -> int:
        data = b"".join(chunk.data for chunk in self.reports.export_csv(Selection(("cost_pusd",))))
        return int(data.decode().split()[-1])

    def used(self) -> int:
        """Return what a limit counts after a restart."""
        book = rebuilt_book(self.reports, UTC, NOW_MS)
        (row,) = book.limits_view([Quota("user:anna", "cost", 1, "day")], NOW_MS)
        return row.used

    def verified(self) -> int:
        with closing(open_reader(self.path)) as connection:
            found = verify(connection, ExpectedTotals((), UTC, None, 1e9, 1e9), NOW_MS)
        assert found.differences == []
        return found.cost_pusd

    def backed_up(self) -> int:
        return self.reports.copy_to(self.path.with_name("copy.db"), force=True).cost_pusd

    def keyed(self) -> int | None:
        with closing(open_reader(self.path)) as connection:
            found = find_key(connection, KEY.key, 0)
        assert found is not None
        return found.earlier.cost_pusd


def _own(at: Corrected) -> int | None:
    found = at.reports.own_request("anna", id_text(at.id), NOW_MS)
    assert found is not None
    return found[0].cost_pusd


def _shown(at: Corrected) -> int | None:
    found = at.reports.request(id_text(at.id), NOW_MS)
    assert found is not None
    return found[0].cost_pusd


def _usage(word: str, since_ms: int | None) -> Callable[[Corrected], int]:
    return lambda at: at.usage(word, since_ms)


PLACES: dict[str, Callable[[Corrected], int | None]] = {
    "the view usage": lambda at: at.view("usage", "cost_pusd"),
    "the view usage in USD": lambda at: at.view("usage", "cost_usd"),
    "the view ai_usage_logs": lambda at: at.view("ai_usage_logs", "cost_usd"),
    "the roll-up": lambda at: at.view("usage_hourly", "sum(cost_pusd)"),
    **{f"usage by {word}": _usage(word, None) for word in USAGE_WORDS},
    **{f"usage by {word}, of an hour that is cut": _usage(word, CUT_MS) for word in USAGE_WORDS},
    "models stats": lambda at: sum(one.cost_pusd for one in at.reports.model_performance(PerformanceFilter())),
    "own spending": lambda at: at.reports.spent_since("anna", [HOUR_START_MS])[0],
    "own spending with a key": lambda at: at.reports.spent_with("anna", "main", [HOUR_START_MS])[0],
    "own usage by model": lambda at: sum(one.cost_pusd for one in at.reports.usage_by_model("anna", HOUR_START_MS)),
    "own usage of an hour that is cut": lambda at: sum(
        one.cost_pusd for one in at.reports.usage_by_model("anna", CUT_MS)
    ),
    "an own request": _own,
    "a list of requests": lambda at: at.reports.requests(RequestFilter(), None, 10).entries[0].cost_pusd,
    "requests that cost at least so much": lambda at: (
        at.reports.requests(RequestFilter(cost_min_pusd=TRUTH_PUSD), None, 10).entries[0].cost_pusd
    ),
    "a request": _shown,
    "an export": Corrected.exported,
    "an export as CSV": Corrected.exported_as_csv,
    "an export as FOCUS": lambda at: sum(
        charge.cost_pusd for piece in at.reports.charges(Selection()) for charge in piece.charges
    ),
    "the use of a key": lambda at: at.reports.key_use("openrouter", "main", 0)[0][1],
    "totals of limits": Corrected.used,
    "the audit": Corrected.verified,
    "a back-up": Corrected.backed_up,
    "a request that is repeated": Corrected.keyed,
}


@pytest.fixture(scope="module", params=["reservation", "unknown", "released"])
def corrected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    """Give a ledger whose only request was charged in full, at an unknown cost or not at all, and corrected twice."""
    path = tmp_path_factory.mktemp("adjusted") / "t.db"

    async def fill() -> int:
        async with booked(path) as ledger:
            id_ = await book(ledger, START_MS, random.Random(1), way=request.param)
            await ledger.claim_key(KEY, id_, 0)
            for actual in (TRUTH_PUSD + 7, TRUTH_PUSD):
                await ledger.correct([Correction(id_, actual, "late look-up", "generation")], NOW_MS)
        return id_

    return Corrected(path, asyncio.run(fill()))


def test_every_place_counts_a_late_cost(corrected: Corrected) -> None:
    found = {name: read(corrected) for name, read in PLACES.items()}
    assert {name: pusd for name, pusd in found.items() if pusd != TRUTH_PUSD} == {}


def test_no_place_is_missing_here() -> None:
    """Whatever of the storage reads costs of requests or attempts is known here, with why it needs no adjustments."""
    folder = Path(__file__).parents[2] / "proxy" / "storage" / "sqlite"
    reading = {
        path.name
        for path in folder.glob("*.py")
        if "cost_pusd" in (text := path.read_text()) and ("FROM requests" in text or "attempt" in text)
    }
    without = {path for path in reading if "adjust" not in (folder / path).read_text().lower()}
    assert without <= {
        "statements.py",  # writes rows, and reads what waits for its cost
        "unfinished.py",  # what has not ended cannot be corrected
        "verify_limits.py",
    }, without
