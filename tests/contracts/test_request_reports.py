"""Reports on single requests say the same whatever holds the rows, page by page, with any filter."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from proxy.storage.refusals import REFUSAL_WORDS, RefusalRow, RefusalSelection
from proxy.storage.reports import Reports
from proxy.storage.request_reports import AttemptEntry, AttemptFilter, RequestEntry, RequestFilter
from proxy.storage.rows import HOUR_MS, OpenRow, id_floor, id_text
from proxy.storage.sqlite import requests
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store
from tests.storage.made_requests import START_MS, attempt_end, attempt_row, open_row, request_end

USERS, MODELS, CODES = ("anna", "bob"), ("openai/a", "openai/b", "x/c"), ("insufficient_quota", "invalid_api_key")


@dataclass
class Kept:
    sqlite: Reports
    memory: Reports
    rows: list[OpenRow]
    refusals: list[RefusalRow]


def refusal(id_: int, started_ms: int, chance: random.Random) -> RefusalRow:
    code = chance.choice(CODES)
    return RefusalRow(
        id=id_,
        started_ms=started_ms,
        user=chance.choice((*USERS, None)),
        group_name=chance.choice((None, "team")),
        token_id="t",
        address="10.0.0.7",
        endpoint="chat/completions",
        requested_model=chance.choice((*MODELS, None)),
        use_case=None,
        session_id=None,
        status=402 if code == "insufficient_quota" else 401,
        error=code,
        param=None,
        fault="caller",
        reason="Text.",
        limit_json='{"kind":"cost"}' if code == "insufficient_quota" else None,
        duration_ms=3,
        more=chance.choice((0, 0, 4)),
    )


async def book(ledger: Any, row: OpenRow, chance: random.Random) -> None:
    await ledger.open(row)
    kind, n = chance.choice(("open", "pending", "settled", "settled", "settled", "failed")), 1
    if kind != "open" and chance.random() < 0.4:
        n = 2
        before = attempt_end(row.id, outcome="upstream_error", cost_pusd=0, cost_source="none", generation_id="gen-0")
        await ledger.add_attempt(attempt_row(row.id)._replace(started_ms=row.started_ms), before)
    changes: dict[str, Any] = {"generation_id": f"gen-{row.id}", "model": chance.choice(MODELS)}
    if kind == "pending":
        changes |= {"state": "pending", "cost_pusd": None, "cost_source": "none"}
    elif kind == "failed":
        changes |= {"status": 502, "error": "upstream_error", "cost_pusd": 0}
    if kind != "open":
        await ledger.end(request_end(row, n=n, **{"cost_pusd": chance.randrange(2000), **changes}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Make the same requests and refusals in both kinds of ledger."""
    path: Path = tmp_path_factory.mktemp("requests") / "ledger.db"
    loop, chance = asyncio.get_running_loop(), random.Random(12)
    store, rows, refusals = Store(), list[OpenRow](), list[RefusalRow]()
    ledger = open_ledger(path, loop, purpose="a test", busy_timeout_s=0.5, queue_max=1000)
    try:
        both = (ledger, MemoryLedger(store, loop))
        for n in range(90):
            started_ms = START_MS + n * HOUR_MS // 4
            id_ = ledger.ids.next(started_ms)
            if chance.random() < 0.3:
                refusals.append(refusal(id_, started_ms, chance))
                continue
            group = chance.choice((None, "team"))
            row = open_row(id_, started_ms=started_ms, user=chance.choice(USERS), group_name=group)
            row = row._replace(requested_model=chance.choice(MODELS), use_case=chance.choice((None, "sms")))
            rows.append(row)
            seed = chance.random()
            for each in both:
                await book(each, row, random.Random(seed))
        for each in both:
            await each.add_refusals(refusals)
    finally:
        await ledger.close()
    return Kept(SqliteReports(path), MemoryReports(store), rows, refusals)


def drawn(kept: Kept, chance: random.Random) -> RequestFilter:
    choices: dict[str, Sequence[Any]] = {
        "user": (*USERS, "nobody"),
        "group": ("team",),
        "token_id": ("t", "other"),
        "model": ("openai/*", "x/c", "*a"),
        "provider": ("p", "q"),
        "status_from": (400, 200),
        "status_below": (300, 500),
        "state": ("open", "pending", "settled", "refused"),
        "error": (*CODES, "upstream_error"),
        "text": ("QUOTA", "text.", "upstream"),
        "endpoint": ("chat/completions", "embeddings"),
        "use_case": ("sms",),
        "cost_min_pusd": (1, 1000),
        "generation_id": ("gen-0", f"gen-{kept.rows[7].id}"),
        "since_ms": (START_MS + 5 * HOUR_MS,),
        "until_ms": (START_MS + 9 * HOUR_MS,),
        "after_id": (id_floor(START_MS + 3 * HOUR_MS),),
    }
    names = chance.sample(sorted(choices), chance.choice((0, 1, 1, 2, 3)))
    return RequestFilter(**{name: chance.choice(choices[name]) for name in names})


def walk(reports: Reports, wanted: RequestFilter, count: int) -> list[RequestEntry]:
    found: list[RequestEntry] = []
    before_id, pages = None, 0
    while True:
        page = reports.requests(wanted, before_id, count)
        found += page.entries
        assert len(page.entries) <= count
        if page.before_id is None:
            return found
        assert before_id is None or page.before_id < before_id, "a page must lead on"
        before_id = page.before_id
        pages += 1
        assert pages < 200


@pytest.fixture
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_SLICE_ROWS", 4)
    monkeypatch.setattr(requests, "_SLICES_MAX", 3)


@pytest.mark.usefixtures("short_slices")
def test_any_filter_finds_the_same_page_by_page(kept: Kept) -> None:
    chance = random.Random(7)
    sizes = []
    for _ in range(80):
        wanted = drawn(kept, chance)
        expected = walk(kept.memory, wanted, 1000)
        assert walk(kept.sqlite, wanted, chance.choice((1, 5, 1000))) == expected, wanted
        sizes.append(len(expected))
    assert max(sizes) == len(kept.rows) + len(kept.refusals)
    assert 20 < sum(size > 0 for size in sizes) < 80


@pytest.mark.usefixtures("short_slices")
def test_a_page_that_matches_nothing_reads_a_bounded_number_of_rows(kept: Kept) -> None:
    page = kept.sqlite.requests(RequestFilter(user="nobody"), None, 10)
    assert page.entries == []
    assert page.before_id is not None
    read = sum(row.id >= page.before_id for rows in (kept.rows, kept.refusals) for row in rows)
    assert 3 * 4 <= read <= 2 * 3 * 4
    assert walk(kept.sqlite, RequestFilter(user="nobody"), 10) == []


def test_a_request_is_found_by_either_id_with_its_attempts(kept: Kept) -> None:
    now_ms = START_MS + 100 * HOUR_MS
    for row in kept.rows:
        found = kept.sqlite.request(id_text(row.id), now_ms)
        assert found == kept.memory.request(id_text(row.id), now_ms)
        assert found is not None
        entry, attempts = found
        assert [one.n for one in attempts] == list(range(1, max(1, entry.attempts) + 1))
        if entry.generation_id is not None:
            assert kept.sqlite.request(entry.generation_id, now_ms) == found
    by_first = kept.sqlite.request("gen-0", now_ms)
    assert by_first is not None
    assert by_first[1][0].generation_id == "gen-0"
    for refused in kept.refusals:
        found = kept.sqlite.request(id_text(refused.id), now_ms)
        assert found is not None
        assert (found[0].state, found[0].reason, found[0].more, list(found[1])) == (
            "refused",
            "Text.",
            refused.more,
            [],
        )
    for id_ in (id_text(1), "gen-9", "req_zz", ""):
        assert kept.sqlite.request(id_, now_ms) is None


@pytest.mark.usefixtures("short_slices")
def test_attempts_are_the_same_page_by_page(kept: Kept) -> None:
    filters = [
        AttemptFilter(),
        AttemptFilter(provider="p", outcome="upstream_error"),
        AttemptFilter(outcome="ok", since_ms=START_MS + 4 * HOUR_MS, until_ms=START_MS + 12 * HOUR_MS),
        AttemptFilter(request_id=kept.rows[3].id),
        AttemptFilter(key="other"),
        AttemptFilter(model="m*"),
    ]
    for wanted in filters:
        [expected, found] = [_attempts_of(reports, wanted) for reports in (kept.memory, kept.sqlite)]
        assert found == expected
    assert len(_attempts_of(kept.sqlite, AttemptFilter())) > len(kept.rows)


def _attempts_of(reports: Reports, wanted: AttemptFilter) -> list[AttemptEntry]:
    found: list[AttemptEntry] = []
    before: tuple[int, int] | None = None
    while True:
        page = reports.attempts(wanted, before, 3)
        found += page.entries
        if page.before is None:
            return found
        before = page.before


def test_counts_of_refusals_and_how_far_back_they_go(kept: Kept) -> None:
    for since_ms in (0, START_MS + 6 * HOUR_MS):
        assert kept.sqlite.refusal_counts(since_ms) == kept.memory.refusal_counts(since_ms)
    assert sum(one.requests for one in kept.sqlite.refusal_counts(0)) == sum(1 + one.more for one in kept.refusals)
    for wanted in (
        RefusalSelection(),
        *(RefusalSelection((word,)) for word in REFUSAL_WORDS),
        RefusalSelection(("day", "user", "error"), START_MS + HOUR_MS + 1, START_MS + 9 * HOUR_MS),
        RefusalSelection(("status",), user=kept.refusals[0].user),
        RefusalSelection(("hour",), error=kept.refusals[0].error),
        RefusalSelection(("month",), until_ms=0),
        RefusalSelection((), until_ms=0),
    ):
        for zone in (ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu")):
            assert kept.sqlite.refusal_sums(wanted, zone) == kept.memory.refusal_sums(wanted, zone), wanted
    assert kept.sqlite.kept_since() == kept.memory.kept_since()
    assert kept.sqlite.size_bytes() > 10_000
