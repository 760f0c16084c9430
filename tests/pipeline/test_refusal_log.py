"""Refusals are kept whole while they are few and counted while they are many; what is kept names no secret."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.core.clock import SystemClock
from proxy.jobs.keep_refusals import KeepRefusals
from proxy.pipeline import run
from proxy.pipeline.refusal_log import GROUPS_MAX, SINGLE_MAX, RefusalLog, network_of
from proxy.pipeline.values.finished import RequestRefused
from proxy.storage.rows import id_text
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store
from tests.support.installation import token_hash_of, token_of
from tests.support.stand import Stand, stand


def refused(n: int, **changes: Any) -> RequestRefused:
    event = RequestRefused(
        request_id=id_text(n),
        at_ms=n,
        user=None,
        path="/v1/chat/completions",
        model=None,
        status=401,
        code="invalid_api_key",
        param=None,
        reason="It is not known.",
        fault="caller",
        duration_ms=0,
        address="10.0.0.7",
    )
    return event._replace(**changes)


def test_a_flood_is_the_newest_and_a_count_of_the_others() -> None:
    log = RefusalLog()
    for n in range(10_000):
        log.refused(refused(n, address=f"10.0.{n % 4}.{n % 200}", user="anna"))
    rows = log.take()
    assert len(rows) == SINGLE_MAX + 4
    assert sum(1 + row.more for row in rows) == 10_000
    single = [row for row in rows if not row.more]
    assert [row.id for row in single] == list(range(10_000 - SINGLE_MAX, 10_000))
    assert {row.address for row in rows if row.more} == {f"10.0.{n}.0/24" for n in range(4)}
    assert {row.user for row in rows} == {"anna"}
    assert [row.id for row in rows] == sorted({row.id for row in rows})
    assert log.take() == []


def test_a_flood_from_everywhere_is_bounded_too() -> None:
    log = RefusalLog()
    for n in range(30_000):
        code = ("invalid_api_key", "token_expired", "unknown_url")[n % 3]
        log.refused(refused(n, address=f"2001:db8:{n:x}:1", code=code, user=f"user {n}"))
    rows = log.take()
    assert len(rows) <= SINGLE_MAX + GROUPS_MAX + 3
    assert sum(1 + row.more for row in rows) == 30_000
    counted = [row for row in rows if row.more]
    assert {row.address for row in counted if row.more > 1} == {""}
    assert {row.user for row in counted} == {None}


def test_of_the_operator_only_who_was_not_let_in_is_kept() -> None:
    log = RefusalLog()
    for n, status in enumerate((400, 401, 403, 404, 412, 429), 1):
        log.refused(refused(n, path="/admin/v1/users", status=status))
    assert [row.status for row in log.take()] == [401, 403, 429]


def test_networks() -> None:
    assert [network_of(address) for address in ("10.1.2.3", "2001:db8:1:2", "", "::1")] == [
        "10.1.2.0/24",
        "2001:db8:1:2",
        "",
        "::1",
    ]


async def test_what_the_ledger_refuses_is_tried_again_and_the_rest_counted() -> None:
    store, log = Store(), RefusalLog()
    ledger = MemoryLedger(store, asyncio.get_running_loop())
    keep = KeepRefusals(log, ledger, MemoryReports(store), None, SystemClock())  # type: ignore[arg-type]
    log.refused(refused(1))
    ledger.is_down = True
    assert not await keep.flush()
    for n in range(2, 5000):
        log.refused(refused(n))
    assert not await keep.flush()
    ledger.is_down = False
    assert await keep.flush()
    assert sum(1 + row.more for row in store.refusals.values()) == 4999
    assert len(store.refusals) <= SINGLE_MAX + GROUPS_MAX + 2


USERS = {
    "bo": {"token_hash": token_hash_of("bo"), "limits": {"cost": "$0.000001/day"}, "group": "team"},
    "cleo": {"token_hash": token_hash_of("cleo"), "disabled": True},
    "dora": {"token_hash": token_hash_of("dora"), "models": ["openai/*"]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("refusals"), {"users": USERS, "groups": {"team": {}}}) as found:
        yield found


async def kept(proxy: Stand, request_id: str | None) -> dict[str, Any]:
    assert await proxy.app.refusals.flush()
    assert request_id is not None
    number = int(request_id.removeprefix("req_"), 16)
    [row] = await proxy.rows(f"SELECT * FROM refusals WHERE id = {number}")  # noqa: S608 - a number
    return row


@pytest.mark.asyncio(loop_scope="module")
async def test_each_way_to_be_refused_leaves_a_row(proxy: Stand) -> None:
    mistyped = token_of("anna")[:-1] + ("a" if token_of("anna")[-1] != "a" else "b")
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"token": token_of("nobody")}, {"status": 401, "error": "invalid_api_key", "user": None, "token_id": None}),
        ({"token": mistyped}, {"status": 401, "error": "invalid_api_key", "user": None}),
        ({"token": token_of("cleo")}, {"status": 403, "error": "token_disabled", "user": "cleo"}),
        (
            {"token": token_of("bo")},
            {"status": 402, "error": "insufficient_quota", "user": "bo", "group_name": "team", "fault": "caller"},
        ),
        ({"body": {"model": 7}}, {"status": 400, "user": "anna", "param": "model"}),
        (
            {"token": token_of("dora"), "body": {"model": "anthropic/claude"}},
            {"status": 403, "requested_model": "anthropic/claude", "user": "dora"},
        ),
    ]
    for more, expected in cases:
        answer = await proxy.chat(**more)
        row = await kept(proxy, answer.header("x-request-id"))
        assert {**row, **expected, "address": "127.0.0.1", "endpoint": "chat/completions", "more": 0} == row
        assert row["status"] == answer.status
    answer = await proxy.ask("GET", "/v1/secret-of-the-client")
    row = await kept(proxy, answer.header("x-request-id"))
    assert (row["status"], row["endpoint"]) == (404, "…")
    booked = {row["request_id"] for row in await proxy.rows("SELECT request_id FROM usage")}
    refused_ids = {f"req_{row['id']:016x}" for row in await proxy.rows("SELECT id FROM refusals")}
    assert not booked & refused_ids


@pytest.mark.asyncio(loop_scope="module")
async def test_no_part_of_a_token_is_kept(proxy: Stand) -> None:
    for token in (token_of("nobody"), token_of("nobody")[:20], "sk-or-v1-" + "ab" * 32, "pass-w0rd-of-mine"):
        row = await kept(proxy, (await proxy.chat(token=token)).header("x-request-id"))
        assert row["reason"]
        pieces = {token[at : at + 4] for at in range(3, len(token) - 4)}
        assert not [piece for piece in pieces if piece in row["reason"]], row["reason"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_fault_of_ours_leaves_a_row(proxy: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(run, "parse_request", fail)
    answer = await proxy.chat()
    row = await kept(proxy, answer.header("x-request-id"))
    assert (row["status"], row["error"], row["fault"], row["user"]) == (500, "internal_error", "ours", "anna")
    assert "a bug" not in str(row)


async def test_what_came_last_is_on_disk_after_a_stop(tmp_path: Path) -> None:
    async with stand(tmp_path) as proxy:
        answer = await proxy.chat(token=token_of("nobody"))
        await proxy.app.close()
        rows = await proxy.rows("SELECT id FROM refusals")
        assert [f"req_{row['id']:016x}" for row in rows] == [answer.header("x-request-id")]


async def test_too_many_and_too_old_ones_go(tmp_path: Path) -> None:
    async with stand(tmp_path, {"retention": {"refusals": "1d", "refusals_max": 1000}}) as proxy:
        log, now_ms = RefusalLog(), SystemClock().now_ms()
        app = proxy.app
        keep = KeepRefusals(log, app.ledger, app.reports, app.live, SystemClock())
        ages_ms = [*(n * 10 for n in range(1_300)), *(90_000_000 + n for n in range(10))]
        for part in range(0, len(ages_ms), SINGLE_MAX):
            for age_ms in reversed(ages_ms[part : part + SINGLE_MAX]):
                log.refused(refused(0, request_id=id_text((now_ms - age_ms) << 21), at_ms=now_ms - age_ms))
            assert await keep.flush()
        assert await keep.trim() == 310
        [found] = await proxy.rows("SELECT count(*) AS number, min(started_ms) AS oldest FROM refusals")
        assert found == {"number": 1000, "oldest": now_ms - 9_990}
        assert await keep.trim() == 0
