"""After a mixed run the figures are those of the ledger, and of the simulator's books; the page names each metric."""

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from proxy.core.money import PUSD_PER_USD
from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.storage.meanings import COST_SOURCES
from proxy.storage.reconciliation import ComparedDay, DayResult
from tests.metrics.documented import documented_metrics
from tests.metrics.page import OPEN_METRICS, read_metrics
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.stand import MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANAGEMENT_KEY = "sk-or-v1-management-" + "0" * 40
OTHER_MODEL = "anthropic/claude-haiku-4.5"
MORE: dict[str, Any] = {
    "metrics": {"users": True},
    "providers": {
        "openrouter": {"on_disconnect": "abort", "max_concurrency": 20, "management_key": MANAGEMENT_KEY},
        "plain": {"api_key": None, "keys": [{"name": "one", "api_key": "sk-proj-1", "limits": {"requests": "3/day"}}]},
    },
    "presets": {"two": {"targets": ["plain/gpt-4o-mini", MODEL]}},
    "limits": {"cost": {"amount": "$100", "window": "month", "mode": "soft"}},
    "groups": {"family": {"limits": {"tokens": "1000000/day", "concurrency": 9}}},
    "users": {
        "anna": {"group": "family"},
        "bo": {"token_hash": token_hash_of("bo"), "limits": {"requests": "2/day"}},
    },
    "alerts": {
        "rules": {"disk": {"watch": "disk_free", "at": "1B"}},
        "destinations": {"pager": {"kind": "command", "argv": ["true"]}},
    },
}
DAY = ComparedDay("openrouter", "", "calls", 0, 7 * PUSD_PER_USD, 1, False, None, 0)
COLUMNS = {"input": "input_tokens", "output": "output_tokens", "cached": "cached_tokens"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("metrics"), MORE) as found:
        await _mixed_run(found)
        await _compare(found)
        yield found


async def _compare(at: Stand) -> None:
    """Write two days down as comparisons with the bill have found them, and one that is too old to be shown."""
    now_ms = at.app.services.clock.now_ms()
    for days_ago, found in ((0, {"unknown": 3}), (1, {"unknown": 4, "refunded": -1}), (40, {"unknown": 9})):
        day = datetime.fromtimestamp(now_ms / 1000 - 86_400 * days_ago, UTC).date().isoformat()
        entries = [
            DriftEntry(name, usd * PUSD_PER_USD, None, None, "", MODEL, now_ms, 0, 0) for name, usd in found.items()
        ]
        compared = replace(DAY, day=day, compared_ms=now_ms - 60_000 * (1 + days_ago))
        await at.app.ledger.note_reconciliation(DayResult(compared, entries))


async def _mixed_run(at: Stand) -> None:
    """Answers, streams, failures, a fallback, a client that hangs up, refusals: 12 rows."""
    for n in range(4):
        body = {"stream": bool(n % 2), "model": MODEL if n < 2 else OTHER_MODEL}
        assert (await at.chat(body)).status == 200
    for status in (200, 200, 402):
        assert (await at.chat({}, token=token_of("bo"))).status == status
    await at.sim.behave(error="user-not-found")
    assert (await at.chat({"model": "two"})).status == 200
    assert (await at.chat({"model": "two"})).status == 200
    await at.sim.behave("all", named="error-invalid-model")
    for n in range(3):
        assert (await at.chat({"model": f"made-up/model-{n}"})).status == 400
    await at.sim.normal()
    assert (await at.chat({"messages": 5})).status == 400
    await at.sim.behave(completion_tokens=30, pace_ms=20, provider="OpenAI")
    client = await at.begin_chat({"stream": True})
    await client.read_until(b'"content"')
    await client.hang_up()
    await at.settled(12)


async def test_the_sums_are_those_of_the_ledger_and_of_the_provider(stand: Stand) -> None:
    page, rows = await read_metrics(stand), await stand.rows()
    booked = sum(row["cost_pusd"] for row in rows)
    assert booked == (await stand.sim.books())["total_pusd"]
    counts = stand.app.services.counters.ended()
    assert sum(sums.cost_pusd for sums in counts.usage.values()) == booked == sum(counts.cost_pusd.values())
    assert page.sum("tollkeeper_cost_usd_total") == pytest.approx(booked / PUSD_PER_USD)
    assert page.sum("tollkeeper_booked_usd_total") == pytest.approx(booked / PUSD_PER_USD)
    for name, column in COLUMNS.items():
        counted = sum(row[column] or 0 for row in rows)
        assert page.sum("tollkeeper_tokens_total", **{"class": name}) == counted
        assert page.sum("tollkeeper_usage_tokens_total", **{"class": name}) == counted
    assert page.sum("tollkeeper_usage_requests_total") == page.sum("tollkeeper_requests_total") == len(rows)
    for status, number in Counter(row["status"] for row in rows).items():
        assert page.sum("tollkeeper_requests_total", status=str(status)) == number


async def test_each_place_has_what_its_rows_have(stand: Stand) -> None:
    """Models that nobody knows are one place; what was looked up later counts where it was asked."""
    page, rows = await read_metrics(stand), await stand.rows()
    named = [{**row, "model": "other"} if row["model"].startswith("made-up/") else row for row in rows]
    wanted: Counter[tuple[str, str, str]] = Counter()
    for row in named:
        wanted[row["provider"], row["model"], row["user"]] += row["cost_pusd"]
    found = {
        (labels["provider"], labels["model"], labels["user"]): round(value * PUSD_PER_USD)
        for labels, value in page.series("tollkeeper_cost_usd_total")
    }
    assert found == wanted
    assert page.sum("tollkeeper_usage_requests_total", model="other", result="error") == 3
    answered = [row for row in rows if 200 <= row["status"] < 300]
    assert page.sum("tollkeeper_request_duration_seconds_count") == len(answered)
    assert page.sum("tollkeeper_model_duration_seconds_count") == len(answered)
    whole_s = sum(row["duration_ms"] for row in answered) / 1000
    assert page.sum("tollkeeper_model_duration_seconds_sum") == pytest.approx(whole_s)
    assert page.sum("tollkeeper_first_token_seconds_count") > 0


async def test_what_happened_on_the_way_is_counted(stand: Stand) -> None:
    page = await read_metrics(stand)
    assert page.series("tollkeeper_fallbacks_total") == [
        (
            {
                "from_provider": "plain",
                "from_model": "gpt-4o-mini",
                "to_provider": "openrouter",
                "to_model": MODEL,
                "reason": "bad_key",
            },
            1,
        )
    ]
    assert page.sum("tollkeeper_limit_refusals_total", scope="user:bo", kind="requests", window="day") == 1
    assert page.sum("tollkeeper_refusals_total", status="400") == 1
    assert page.sum("tollkeeper_key_state", provider="plain", key="one", state="set_aside") == 1
    assert page.sum("tollkeeper_key_state", provider="openrouter", state="in_use") == 1
    one_attempt = sum(row["attempts"] == 1 for row in await stand.rows())
    assert page.sum("tollkeeper_overhead_seconds_count") == one_attempt
    assert page.sum("tollkeeper_overhead_seconds_sum") > 0


async def test_limits_stand_where_the_ledger_says(stand: Stand) -> None:
    page, rows = await read_metrics(stand), await stand.rows()
    spent = sum(row["cost_pusd"] for row in rows) / PUSD_PER_USD
    assert page.sum("tollkeeper_limit_usd", scope="all") == 100
    assert page.sum("tollkeeper_limit_remaining_usd", scope="all", window="month") == pytest.approx(100 - spent)
    assert page.sum("tollkeeper_limit_used_ratio", scope="user:bo", kind="requests") == 1
    assert page.sum("tollkeeper_limit_remaining", scope="group:family", kind="concurrency") == 9
    assert 0 < page.sum("tollkeeper_limit_reset_seconds", scope="user:bo") <= 90_000
    assert page.sum("tollkeeper_held_usd") == page.sum("tollkeeper_holds") == 0


async def test_what_the_provider_says_is_there_once_it_has_said_it(stand: Stand) -> None:
    """No reading waits for the provider: the first one asks, and a later one has the answer."""

    async def told() -> bool:
        return bool((await read_metrics(stand)).series("tollkeeper_credits_remaining_usd"))

    await eventually(told)
    page = await read_metrics(stand)
    heard = stand.app.services.accounts.last_credits(stand.app.live.current.providers["openrouter"])
    assert heard is not None
    assert heard.value is not None
    left = heard.value.left_pusd / PUSD_PER_USD
    assert page.sum("tollkeeper_credits_remaining_usd", provider="openrouter") == pytest.approx(left)
    assert page.sum("tollkeeper_metrics_source_ok", source="credits") == 1
    assert page.sum("tollkeeper_drift_usd", **{"class": "unknown"}) == 7
    assert page.sum("tollkeeper_drift_usd", **{"class": "refunded"}) == -1
    assert page.sum("tollkeeper_drift_usd") == 6
    assert 60 <= page.sum("tollkeeper_reconciliation_age_seconds", provider="openrouter") < 120
    assert page.sum("tollkeeper_reconciliations") == page.sum("tollkeeper_reconciliations", level="calls") > 0


async def test_the_page_names_each_metric_and_its_kind(stand: Stand) -> None:
    await stand.app.alerts.check()
    page = await read_metrics(stand)
    documented = documented_metrics()
    found = {name + ("_total" if family.type == "counter" else ""): family for name, family in page.families.items()}
    assert found.keys() == documented.keys()
    for name, family in found.items():
        kind, labels = documented[name]
        assert (name, family.type) == (name, kind)
        for sample in family.samples:
            assert (name, frozenset(sample.labels) - {"le"}) == (name, labels)
    assert {name for name, family in found.items() if not family.samples} == {"tollkeeper_retries_total"}
    assert {labels["source"]: value for labels, value in page.series("tollkeeper_metrics_source_ok")} == {
        "alerts": 1,
        "credits": 1,
        "disk": 1,
        "drift": 1,
        "limits": 1,
    }


async def test_what_alert_rules_count_is_there_before_its_first_event(stand: Stand) -> None:
    """A counter that begins with what it counts first has risen by nothing, for Prometheus."""
    page = await read_metrics(stand)
    for name, label, known in (
        ("tollkeeper_booked_usd_total", "source", COST_SOURCES.keys() - {"none"}),
        ("tollkeeper_alert_deliveries_total", "destination", {"pager"}),
        ("tollkeeper_alerts_total", "rule", {"disk"}),
    ):
        assert {labels[label] for labels, _ in page.series(name)} == known
    assert page.series("tollkeeper_alert_deliveries_total") == [
        ({"destination": "pager", "state": state}, 0) for state in ("delivered", "failed")
    ]
    assert page.sum("tollkeeper_booked_usd_total", source="estimate") == 0


async def test_open_metrics_has_the_same_figures(stand: Stand) -> None:
    plain, other = await read_metrics(stand), await read_metrics(stand, OPEN_METRICS)
    for name in ("tollkeeper_cost_usd_total", "tollkeeper_model_duration_seconds_bucket", "tollkeeper_limit_usd"):
        assert plain.series(name) == other.series(name)
        assert plain.series(name)
    assert other.families["tollkeeper_build"].type == "info"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus")
async def test_prometheus_finds_nothing_to_mend(stand: Stand) -> None:
    """Names, units and texts are as its own linter wants them."""
    text = (await stand.ask("GET", "/metrics", token=None)).body
    linted = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


async def test_many_readers_share_a_rendering(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of readings makes no flood of threads: those that come while one is made get the next."""
    made = 0
    limits = stand.app.deps.limits
    rows = limits.rows

    async def counted(now_ms: int) -> Any:
        nonlocal made
        made += 1
        return await rows(now_ms)

    monkeypatch.setattr(limits, "rows", counted)
    pages = await asyncio.gather(*(read_metrics(stand) for _ in range(30)))
    assert len({page.sum("tollkeeper_cost_usd_total") for page in pages}) == 1
    assert 1 <= made < 30
