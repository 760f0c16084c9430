"""Requests with several attempts: each is settled on its own, the request is their sum, and no limit misses any.

The attempts are what the pipeline would have heard; ledger, quotas, look-ups and the provider's books are real.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from proxy.app.rebuild import rebuilt_book
from proxy.core.errors import ApiError
from proxy.pipeline.admission.reserve import reserve
from proxy.pipeline.context import RequestContext
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.settlement import BROKEN
from proxy.pipeline.values.tags import Tags
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from proxy.web.server.aiohttp_downstream import AiohttpDownstream
from proxy.wire.usage import Usage
from tests.quotas.place import Place, cost, user
from tests.support.book import book_of
from tests.support.installation import PROVIDER_KEY, token_hash_of
from tests.support.patience import eventually
from tests.support.stand import MESSAGES, MODEL, read_rows, simulator

UTC = ZoneInfo("UTC")
TARGETS = (
    "openai/gpt-oss-20b",
    "anthropic/claude-opus-5",
    "plain/gpt-4o-mini",
    "openai/gpt-4o-mini",
    "plain/gpt-4o",
    "openai/gpt-oss-20b:free",
)
LIMIT_PUSD = 40 * 10**9
LIMITS = {"cost": cost(LIMIT_PUSD), "tokens": "200k/month"}
MORE = {
    "users": {"anna": user("anna", limits=LIMITS)},
    "presets": {"route": list(TARGETS)},
    "ledger": {"lookup_timeout_s": 0.3},
    "quotas": {"wait_s": 0},
}

# what an attempt comes to; the figure is the cost, and for "late" how long an answer the provider charges for
KINDS = ("unreachable", "refused", "no_status", "billed", "uncounted", "late", "lost")
STEP = st.tuples(st.sampled_from(KINDS), st.integers(0, 3 * 10**9))
ENDS = ("end", "unsent", "crash")
HISTORY = st.tuples(st.lists(STEP, min_size=1, max_size=len(TARGETS)), st.sampled_from(ENDS))


@dataclass
class Told:
    """What one request must come to: the exact cost of each attempt, None where its share is charged."""

    id: int
    costs: list[int | None] = field(default_factory=list)
    refusal: ApiError | None = None
    crashed: bool = False


async def _heard(place: Place, step: tuple[str, int], provider: str, unique: str) -> tuple[AttemptResult, int | None]:
    kind, pusd = step
    plain = provider == "plain"
    if kind == "unreachable":
        return AttemptResult(error="upstream_unreachable"), 0
    if kind == "refused":
        return AttemptResult(dispatched=True, status=503, complete=True, error="upstream_error"), 0
    if kind == "no_status" or plain:
        return AttemptResult(dispatched=True, error="upstream_timeout"), None
    heard = AttemptResult(dispatched=True, status=200, error="upstream_broken", flags=frozenset({BROKEN}))
    if kind in ("billed", "uncounted"):
        counted = kind == "billed"
        tokens = (pusd % 97, pusd % 89) if counted else (None, None)
        heard.usage = Usage(tokens[0], tokens[1], None, None, pusd, True, None, False, None)
        return heard, pusd
    if kind == "lost":
        heard.generation_id = f"gen-1763000000-{unique}"
        return heard, None
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 1 + pusd % 20}
    answer = (await place.sim.chat(body, key=PROVIDER_KEY)).json()
    heard.generation_id = answer["id"]
    books = (await place.sim.books())["generations"]
    return heard, books[answer["id"]]["charged_pusd"]


async def _reserved(place: Place) -> tuple[RequestContext, Reservation]:
    parts, snapshot = place.app.services, place.app.live.current
    now_ms = parts.clock.now_ms()
    context = RequestContext(
        AiohttpDownstream(make_mocked_request("POST", "/")), parts.ledger.ids.next(now_ms), parts.clock, now_ms
    )
    found = snapshot.directory.find(token_hash_of("anna").removeprefix("sha256:"))
    assert found is not None
    body = {"model": "route", "messages": MESSAGES, "max_tokens": 60}
    context.snapshot, context.identity, context.tags = snapshot, found.identity, Tags(None, None, None)
    context.body, context.size_bytes = body, 200
    route = plan_route(body, found.identity, snapshot.routes)
    first = Hops(context, route, parts).place
    return context, await reserve(context, route, first, parts)


async def _play(place: Place, history: tuple[list[tuple[str, int]], str]) -> Told | None:
    """Walk a route by a history; None where not even the first attempt has room."""
    steps, end = history
    parts, snapshot = place.app.services, place.app.live.current
    try:
        context, reservation = await _reserved(place)
    except ApiError as refusal:
        if refusal.code != "insufficient_quota":
            raise
        return None
    booking, told, targets = (
        Recorder(context, reservation, parts),
        Told(context.id),
        reservation.route.targets,
    )
    opening = booking.open()
    if opening is not None:
        await opening
    await booking.opened()
    for n, step in enumerate(steps, 1):
        target = targets[n - 1]
        provider = snapshot.providers[target.provider]
        heard, exact = await _heard(place, step, target.provider, f"{context.id:016x}{n:04d}")
        key, now_s = provider.keys[0], parts.clock.monotonic_s()
        booking.attempt = attempt = Attempt(n, target, provider, key, now_s, provider.deadlines, heard)
        if heard.generation_id is not None:
            parts.ledger.note_generation(context.id, n, heard.generation_id)
        told.costs.append(exact)
        if n == len(targets) or (n == len(steps) and end != "unsent"):
            break
        following = targets[n]
        other = snapshot.providers[following.provider]
        told.refusal = await booking.next_attempt(
            attempt, following, other, other.keys[0], maybe_billed=step[0] == "no_status"
        )
        if told.refusal is not None:
            break
        if n == len(steps):
            told.costs.append(0)  # begun on disk, and nowhere else
    if end == "crash":
        told.crashed = True
    else:
        await booking.end(502, "upstream_error")
    return told


async def _audited(place: Place) -> list[str]:
    snapshot = place.app.live.current
    found = snapshot.directory.find(token_hash_of("anna").removeprefix("sha256:"))
    assert found is not None
    quotas = found.identity.allowance.quotas
    with closing(sqlite3.connect(f"file:{place.folder / 'ledger.db'}?mode=ro", uri=True, isolation_level=None)) as db:
        findings = verify(db, ExpectedTotals(quotas, UTC, None, 1e9, 1e9), place.clock.now_ms())
        return [f"{one.check} {one.where}: {one.text}" for one in findings.differences]


def _check(told: Told, row: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    """Hold a request's row against what its attempts were."""
    assert row["state"] in ("settled", "released")
    assert len(attempts) == len(told.costs)
    left = row["reserved_pusd"]
    for attempt, exact in zip(attempts, told.costs, strict=True):
        is_last = attempt["n"] == len(attempts)
        share = left if is_last else attempt["reserved_pusd"]
        left -= 0 if is_last else share
        assert left >= 0
        is_known = exact is not None and not (told.crashed and is_last and attempt["outcome"] == "crash")
        if is_known:
            assert attempt["cost_pusd"] == exact
        elif attempt["cost_source"] != "generation":
            assert (attempt["cost_pusd"], attempt["cost_source"] in ("reservation", "estimate")) == (share, True)
    assert row["cost_pusd"] == sum(attempt["cost_pusd"] for attempt in attempts)
    for name in ("input_tokens", "output_tokens"):
        counts = [attempt[name] for attempt in attempts if attempt[name] is not None]
        assert row[name] == (sum(counts) if counts else None)
    over = "over_reservation" in (row["flags"] or "").split()
    assert over == (row["cost_pusd"] > row["reserved_pusd"])


async def _example(place: Place, histories: list[tuple[list[tuple[str, int]], str]]) -> None:
    found = await asyncio.gather(*(_play(place, history) for history in histories))
    told = {one.id: one for one in found if one is not None}
    if any(one.crashed for one in told.values()):
        await place.restart()
    database = place.folder / "ledger.db"

    async def quiet() -> bool:
        return not book_of(place.app.services).open_requests()

    await eventually(quiet)
    rows = await asyncio.to_thread(read_rows, database, "SELECT * FROM requests")
    attempts = await asyncio.to_thread(read_rows, database, "SELECT * FROM attempts ORDER BY request_id, n")
    assert {row["id"] for row in rows} == told.keys()
    for row in rows:
        _check(told[row["id"]], row, [one for one in attempts if one["request_id"] == row["id"]])
    assert await _audited(place) == []
    book, now_ms = book_of(place.app.services), place.clock.now_ms()
    again = await asyncio.to_thread(rebuilt_book, place.app.reports, UTC, now_ms)
    token = place.app.live.current.directory.find(token_hash_of("anna").removeprefix("sha256:"))
    assert token is not None
    quotas = token.identity.allowance.quotas
    view = book.limits_view(quotas, now_ms)
    assert view == again.limits_view(quotas, now_ms)
    assert book.audit() == []
    spent = next(line for line in view if line.kind == "cost")
    assert (spent.used, spent.reserved) == (sum(row["cost_pusd"] for row in rows), 0)
    excess = sum(max(0, row["cost_pusd"] - row["reserved_pusd"]) for row in rows)
    assert spent.used <= LIMIT_PUSD + excess


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as found:
        yield found


@given(histories=st.lists(HISTORY, min_size=1, max_size=6))
@how(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_request_is_the_sum_of_its_attempts(
    runner: asyncio.Runner, histories: list[tuple[list[tuple[str, int]], str]]
) -> None:
    """Whatever each attempt came to, ended, refused or cut off by a crash, one by one or many at once."""

    async def live(folder: Path) -> None:
        async with AsyncExitStack() as stack:
            place = Place(folder, await stack.enter_async_context(simulator()), MORE)
            await place.start()
            stack.push_async_callback(place.stop)
            await _example(place, histories)

    with TemporaryDirectory() as folder:
        runner.run(live(Path(folder)))
