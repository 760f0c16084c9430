"""The views that sum: days of the zone, classes of tokens, late costs, how models answered."""

from contextlib import closing
from pathlib import Path
from typing import Any

from proxy.core.counts import Counts
from proxy.core.token_split import TokenSplit, split_tokens
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.labels import Labels
from proxy.storage.sqlite.adjustments import book_unattached, correct
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.labels import set_labels
from tests.storage.made_requests import opened, read, request_end, running

EVENING_MS = 1_793_572_200_000  # 2026-11-01 22:30 UTC, 23:30 in Stockholm
HOUR_MS = 3_600_000
COUNTS = Counts(cache_write_tokens=30, audio_input_tokens=20, image_output_tokens=4, searches=2)


async def _filled(path: Path) -> list[int]:
    """Book two requests an hour, from 22:30 to 1:30 UTC, half of them with rarer counts."""
    ids = []
    async with running(path) as ledger:
        for n in range(8):
            row = await opened(ledger, started_ms=EVENING_MS + n // 2 * HOUR_MS, group_name="g", streamed=n % 2)
            tokens = {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 40, "reasoning_tokens": 3}
            told: dict[str, Any] = {
                "counts": COUNTS if n % 2 else None,
                "duration_ms": 100 * n,
                "ttft_ms": 50,
                "fell_back": n == 7,
            }
            await ledger.end(request_end(row, **tokens, **told, error="upstream_error" if n == 0 else None))
            ids.append(row.id)
    with closing(connect_owner(path, 1.0)) as connection:
        set_labels(connection, Labels("Europe/Stockholm", "SEK", "10"), 0)
    return ids


async def test_days_classes_and_late_costs(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ids = await _filled(path)
    with closing(connect_owner(path, 1.0)) as connection:
        [booked] = correct(connection, [Correction(ids[0], 1700, "late", "bill")], EVENING_MS)
        assert booked.amount_pusd == 1000
        lost = UnattachedCost(
            reference="gen-lost",
            at_ms=EVENING_MS,
            day="2026-11-01",
            provider="p",
            model="m",
            key="main",
            actual_pusd=5 * 10**12,
            reason="lost row",
            source="bill",
        )
        book_unattached(connection, [lost], EVENING_MS)
    names = ", ".join(TokenSplit._fields)
    found = read(
        path,
        f"SELECT day, user, group_name, requests, cost_pusd, total_tokens, {names} FROM usage_analytics"  # noqa: S608
        " ORDER BY day, user",
    )
    split = split_tokens(200, 20, 80, 6, COUNTS)
    nothing = (0,) * len(split)
    assert found == [
        ("2026-11-01", None, None, 0, 5 * 10**12, 0, *nothing),
        ("2026-11-01", "anna", "g", 2, 2400, 220, *split),
        ("2026-11-02", "anna", "g", 6, 4200, 660, *(3 * count for count in split)),
    ]
    assert {row[0] for row in read(path, "SELECT day FROM usage")} == {"2026-09-21"}  # each row keeps its own
    rows = read(path, "SELECT user_id, generation_id, cost_usd, cost_sek, status, source FROM ai_usage_logs")
    assert rows[-1] == (None, "gen-lost", 5.0, 50.0, "success", "bill")
    assert [row[5] for row in rows[:-1]] == ["proxy"] * 8
    whole = read(path, "SELECT uncached_input_tokens, visible_output_tokens FROM usage ORDER BY request_id LIMIT 2")
    assert whole == [(60, 7), (10, 3)]


async def test_how_models_answered(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await _filled(path)
    [found] = read(
        path,
        "SELECT provider, model, requests, answered, errors, cancelled, fallbacks, success_share, fallback_share,"
        " mean_latency_ms, mean_first_token_ms, cost_pusd FROM model_performance_summary",
    )
    assert found == ("p", "m", 8, 7, 1, 0, 1, 7 / 8, 1 / 7, 400.0, 50.0, 5600)


async def test_hours_of_an_older_version_are_in_no_share(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await _filled(path)
    with closing(connect_owner(path, 1.0)) as connection:
        mark = EVENING_MS - EVENING_MS % HOUR_MS + HOUR_MS
        connection.execute("UPDATE meta SET value = ? WHERE name = 'performance_from_ms'", (str(mark),))
    assert read(path, "SELECT requests, errors FROM model_performance_summary") == [(6, 0)]
