"""What OpenRouter says of its account, asked of the simulator over real sockets; the books are the truth."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy.config.load import load_file
from proxy.core.clock import SystemClock
from proxy.core.secret import Secret
from proxy.providers.account.costs_answer import read_costs
from proxy.providers.account.source import AccountError, AccountSource, TakenCosts
from proxy.providers.account.sources import account_source
from proxy.providers.build import build_providers
from tests.providers.scripted import Peer, plain, serving
from tests.support.control import CREATED, Controls
from tests.support.installation import PROVIDER_KEY, settings, write_config
from tests.support.raw import ask
from tests.support.stand import MESSAGES, simulator

MANAGEMENT_KEY = "sk-or-v1-management-" + "0" * 40
OTHER_KEY = "sk-or-v1-" + "0badcafe" * 8
HASH, OTHER_HASH = (sha256(key.encode()).hexdigest() for key in (PROVIDER_KEY, OTHER_KEY))
BODY: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": MESSAGES}
DAY_S = 86_400
_MANAGED = {"providers": {"openrouter": {"management_key": MANAGEMENT_KEY}}}


@asynccontextmanager
async def account_of(folder: Path, sim: Controls, more: Any = None) -> AsyncIterator[AccountSource]:
    loaded = load_file(write_config(folder, settings(sim.url, _MANAGED if more is None else more)), {})
    rows = build_providers(loaded.settings, {})
    try:
        source = account_source(rows["openrouter"], SystemClock())
        assert source is not None
        assert account_source(rows["plain"], SystemClock()) is None
        yield source
    finally:
        for row in rows.values():
            await row.transport.close()


@pytest.fixture
async def sim() -> AsyncIterator[Controls]:
    async with simulator() as controls:
        await controls.reset()
        yield controls


@pytest.fixture
async def account(tmp_path: Path, sim: Controls) -> AsyncIterator[AccountSource]:
    async with account_of(tmp_path, sim) as source:
        yield source


async def charged(sim: Controls) -> dict[str, int]:
    books = await sim.books()
    return {name: one["charged_pusd"] - one["upstream_pusd"] for name, one in books["generations"].items()}


async def test_a_key_and_the_credits_tell_what_the_books_say(account: AccountSource, sim: Controls) -> None:
    await sim.behave(cost_literal="0.00012345678901234567")
    await sim.chat(BODY, key=PROVIDER_KEY)
    await sim.chat(BODY, key=OTHER_KEY)
    costs = await charged(sim)
    key = await account.key(Secret(PROVIDER_KEY))
    assert (key.used.total_pusd, key.used.day_pusd) == (123_456_790, 123_456_790)
    assert (key.limit_pusd, key.left_pusd, key.is_management) == (None, None, False)
    assert key.free_requests is not None
    assert key.free_requests.left == 1000
    assert (await account.key(Secret(MANAGEMENT_KEY))).is_management
    credits_ = await account.credits()
    assert credits_.used_pusd == sum(costs.values())
    assert credits_.left_pusd == 1000 * 10**12 - credits_.used_pusd


async def test_layers_of_budgets_are_read_as_they_are_checked(account: AccountSource, sim: Controls) -> None:
    layer = {"limit_usd": 5, "reset_interval": "daily", "resets_at": "2026-11-02T00:00:00Z", "include_byok": True}
    over = {**layer, "scope": "member", "spend_usd": 5.25, "remaining_usd": -0.25, "guardrail_id": "g-1", "new": {}}
    own = {**layer, "scope": "key_limit", "limit_usd": 50.5, "spend_usd": 12, "remaining_usd": 38.5}
    never = {"reset_interval": None, "resets_at": None, "include_byok": False}
    data = {"label": "k", "usage": 12, "limit": 50.5, "limit_remaining": 38.5, "budgets": [over, {**own, **never}]}
    await sim.behave("path:/key", body=json.dumps({"data": {**data, "whatever": [1]}, "more": None}))
    key = await account.key(Secret(PROVIDER_KEY))
    first, second = key.budgets
    assert (first.scope, first.left_pusd, first.spent_pusd) == ("member", -250 * 10**9, 5250 * 10**9)
    assert (first.resets, first.resets_at, first.includes_byok) == ("daily", datetime(2026, 11, 2, tzinfo=UTC), True)
    assert (second.scope, second.limit_pusd, second.resets, second.resets_at) == (
        "key_limit",
        50_500 * 10**9,
        None,
        None,
    )
    assert key.used.day_pusd is None


class Taken(NamedTuple):
    costs: dict[str, int]
    is_truncated: bool


async def taken(account: AccountSource, start_ms: int, end_ms: int, key_hash: str | None) -> Taken:
    """Return all that answers tell of the cost of generations."""
    found: dict[str, int] = {}

    async def take(body: bytes) -> TakenCosts:
        costs, what = read_costs(body)
        found.update(costs)
        return what

    return Taken(found, await account.generation_costs(start_ms, end_ms, key_hash, take))


async def test_activity_is_of_a_day_and_of_one_key_or_all(account: AccountSource, sim: Controls) -> None:
    for key in (PROVIDER_KEY, PROVIDER_KEY, OTHER_KEY):
        await sim.chat(BODY, key=key)
    costs = await charged(sim)
    with pytest.raises(AccountError, match="last 30 \\(completed\\) UTC days") as refused:
        await account.activity(datetime.fromtimestamp(CREATED, UTC).date())
    assert refused.value.kind == "refused"
    await sim._ask("POST", "clock", {"advance_s": DAY_S})
    day = date(2026, 11, 1)
    (row,) = await account.activity(day)
    assert (row.date, row.usage_pusd, row.requests) == (day, sum(costs.values()), 3)
    assert row.permaslug == "openai/gpt-4o-mini-2024-07-18"
    (own,) = await account.activity(day, HASH)
    (other,) = await account.activity(day, OTHER_HASH)
    assert (own.requests, other.requests) == (2, 1)
    assert own.usage_pusd + other.usage_pusd == row.usage_pusd
    assert await account.activity(day, "0" * 64) == ()


async def test_costs_of_generations_are_whole_though_answers_are_cut(account: AccountSource, sim: Controls) -> None:
    for second in range(6):
        await sim.chat(BODY, key=PROVIDER_KEY if second % 2 else OTHER_KEY)
        await sim._ask("POST", "clock", {"advance_s": 7})
    costs = await charged(sim)
    start_ms, end_ms = CREATED * 1000, CREATED * 1000 + 3_600_000
    found = await taken(account, start_ms, end_ms, None)
    assert (found.costs, found.is_truncated) == (costs, False)
    own = await taken(account, start_ms, end_ms, HASH)
    assert {*own.costs} < {*costs}
    assert len(own.costs) == 3
    assert not (await taken(account, end_ms, 2 * end_ms - start_ms, None)).costs
    await sim.behave("path:/analytics/query", rows_max=2)
    cut = await taken(account, start_ms, end_ms, None)
    assert (cut.costs, cut.is_truncated) == (costs, False)
    await sim.behave("path:/analytics/query", rows_max=0)
    assert (await taken(account, start_ms, end_ms, None)).is_truncated


async def test_a_second_that_holds_too_much_is_told(account: AccountSource, sim: Controls) -> None:
    for _ in range(3):
        await sim.chat(BODY, key=PROVIDER_KEY)
    await sim.behave("path:/analytics/query", rows_max=2)
    cut = await taken(account, CREATED * 1000, CREATED * 1000 + 60_000, HASH)
    assert cut.is_truncated
    assert len(cut.costs) == 2


async def test_all_pages_of_keys_are_read(account: AccountSource, sim: Controls) -> None:
    names = [f"key {number}" for number in range(103)]
    for name in names:
        made = await ask_as_manager(sim, {"name": name, "limit": 0.1, "limit_reset": "weekly"})
        assert made["key"].startswith("sk-or-v1-")
    keys = await account.keys()
    assert sorted(key.name for key in keys) == sorted(names)
    assert {key.limit_pusd for key in keys} == {10**11}
    assert {(key.resets, key.used.total_pusd, key.is_disabled) for key in keys} == {("weekly", 0, False)}


async def ask_as_manager(sim: Controls, body: Any) -> Any:

    return (await ask(sim.port, "POST", "/api/v1/keys", body, token=MANAGEMENT_KEY)).json()


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (
            {"error": "management-only"},
            "refused",
            "may not ask for the credits of the account. Only a management key may",
        ),
        ({"error": "user-not-found"}, "refused", "does not know the key management: it is wrong, expired or deleted"),
        ({"error": "guardrail-budget"}, "refused", "the key itself is good"),
        ({"error": "workspace-budget"}, "refused", "the key itself is good"),
        ({"error": "key-limit"}, "refused", "until it resets at 2026-12-01T00:00:00Z; the key itself is good"),
        ({"error": "credits-insufficient"}, "refused", "no credits left; the key itself is good"),
        ({"error": "request-timeout"}, "unavailable", "answers 408"),
        ({"error": "server-error"}, "unavailable", "Try again later"),
        ({"error": "free-per-minute"}, "limited", "then ask again"),
        (
            {"body": json.dumps({"error": {"code": 403, "message": f"not with {PROVIDER_KEY}"}})},
            "refused",
            "(not with [key])",
        ),
        ({"body": "<html>"}, "unreadable", "is not whole JSON"),
        ({"body": '{"data":{"total_credits":"much","total_usage":1}}'}, "unreadable", "data.total_credits"),
        ({"body": '{"data":[]}'}, "unreadable", "data"),
        ({"stop_at": "before_headers"}, "unavailable", "cannot be asked for the credits"),
        ({"body": '{"error":{"code":503,"message":"later"}}'}, "unavailable", "answers 503 (later)"),
    ],
)
async def test_what_goes_wrong_is_said(
    account: AccountSource, sim: Controls, fault: dict[str, Any], kind: str, says: str
) -> None:
    await sim.behave("path:/credits", **fault)
    with pytest.raises(AccountError) as refused:
        await account.credits()
    assert refused.value.kind == kind
    assert says in str(refused.value)
    assert refused.value.is_bad_key == (fault.get("error") == "user-not-found")
    assert MANAGEMENT_KEY not in str(refused.value)


_PAGE = b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"


@pytest.mark.parametrize("status", [301, 302, 400, 401, 402, 403, 404, 405, 409, 451, 502, 503, 521])
@pytest.mark.parametrize(
    "body",
    [
        _PAGE,
        b"",
        b"error code: 1020",
        b'{"message":"Forbidden"}',
        b'{"success":false,"errors":[{"code":1020,"message":"Access denied"}]}',
        b'{"error":"Forbidden"}',
        b'["error"]',
        b'{"error":{"code":403,"message":"cut',
    ],
)
async def test_what_is_not_the_providers_own_error_says_nothing_of_a_key(
    tmp_path: Path, status: int, body: bytes
) -> None:
    head = f"HTTP/1.1 {status} Blocked\r\nContent-Length: {len(body)}\r\nRetry-After: 77\r\n\r\n".encode()

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(head + body)

    async with serving(play) as server, account_of(tmp_path, Controls(server.url)) as account:
        for question in (account.credits, account.keys, lambda: taken(account, CREATED * 1000, CREATED * 1001, None)):
            with pytest.raises(AccountError) as blocked:
                await question()
            error = blocked.value
            assert (error.kind, error.status, error.is_bad_key) == ("unavailable", status, False)
            assert error.retry_after_s == 77
            assert "may not ask" not in str(error)
            assert f"openrouter answers {status}" in str(error)


async def test_a_page_under_200_is_no_answer_and_no_refusal(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(plain(_PAGE))

    async with serving(play) as server, account_of(tmp_path, Controls(server.url)) as account:
        for question in (account.credits, lambda: taken(account, CREATED * 1000, CREATED * 1001, None)):
            with pytest.raises(AccountError, match="is not whole JSON") as error:
                await question()
            assert error.value.kind == "unreadable"


async def test_without_a_management_key_only_what_any_key_may_is_asked(tmp_path: Path, sim: Controls) -> None:
    async with account_of(tmp_path, sim, {}) as account:
        assert account.questions == {"key", "generation"}
        assert (await account.key(Secret(PROVIDER_KEY))).used.total_pusd == 0
        with pytest.raises(AccountError, match=r"providers\.openrouter\.management_key"):
            await account.credits()
    assert not await sim.requests("/credits")


async def test_a_server_that_takes_fewer_rows_is_asked_again(account: AccountSource, sim: Controls) -> None:
    await sim.chat(BODY, key=PROVIDER_KEY)
    await sim.behave("path:/analytics/query", error="bad-parameter")
    with pytest.raises(AccountError) as refused:
        await taken(account, CREATED * 1000, CREATED * 1000 + 1000, None)
    assert refused.value.status == 400
    asked = [json.loads(one["body"]) for one in await sim.requests("/analytics/query")]
    assert ["limit" in body for body in asked] == [True, False]


async def test_a_query_that_takes_too_long_is_asked_in_halves(tmp_path: Path) -> None:
    """The first answer is 408, later ones tell one generation each."""
    asked: list[Any] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            asked.append(json.loads(request.partition(b"\r\n\r\n")[2])["time_range"])
            if len(asked) == 1:
                await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
                continue
            rows = [{"generation_id": f"gen-{len(asked)}", "total_usage": "0.5"}]
            metadata = {"query_time_ms": 1, "row_count": 1, "truncated": False}
            await peer.send(plain(json.dumps({"data": {"data": rows, "metadata": metadata}}).encode()))

    async with serving(play) as server, account_of(tmp_path, Controls(server.url)) as account:
        found = await taken(account, CREATED * 1000, CREATED * 1000 + 4000, None)
    assert (found.costs, found.is_truncated) == ({"gen-2": 5 * 10**11, "gen-3": 5 * 10**11}, False)
    assert [one["end"][-9:] for one in asked] == ["0:04.000Z", "0:02.000Z", "0:04.000Z"]


async def test_a_spent_budget_shows_before_it_refuses(account: AccountSource, sim: Controls) -> None:
    budget = {"scope": "workspace", "limit_pusd": 15_000_000, "reset": "weekly"}
    await sim._ask("POST", "account", {"budgets": [budget]})
    lefts = []
    for _ in range(2):
        await sim.chat(BODY, key=PROVIDER_KEY)
        (layer,) = (await account.key(Secret(PROVIDER_KEY))).layers()
        lefts.append(layer.left_pusd)
    assert lefts == [4_950_000, -5_100_000]
    assert (layer.scope, layer.resets, layer.resets_at) == ("workspace", "weekly", datetime(2026, 11, 2, tzinfo=UTC))
    assert (await sim.chat(BODY, key=OTHER_KEY)).status == 403


async def test_odd_answers_are_read_as_far_as_they_make_sense(tmp_path: Path) -> None:
    usual = {"usage": 1, "requests": 1, "prompt_tokens": 1, "completion_tokens": 1}
    days = [
        {**usual, "date": day, "model": "a/m\x1b[31m"} for day in ("2026-11-01", "2026-11-02 00:00:00", "2026-11-03")
    ]
    keys = [{"hash": f"{n:064}", "usage": 1, "expires_at": "9999-12-31T23:59:59-05:00"} for n in range(100)]
    calls = [{"generation_id": "gen-\ud800", "total_usage": "0.5"}]
    answers = {
        "/activity": days,
        "/keys": keys,  # the same page, whichever is asked for
        "/analytics/query": {"data": calls, "metadata": {"truncated": False}},
    }
    asked: list[str] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            path = request.split(b" ")[1].decode().partition("?")[0]
            asked.append(path)
            data = next(data for end, data in answers.items() if path.endswith(end))
            await peer.send(plain(json.dumps({"data": data}).encode()))

    async with serving(play) as server, account_of(tmp_path, Controls(server.url)) as account:
        (row,) = await account.activity(date(2026, 11, 2))
        assert (row.date, row.model) == (date(2026, 11, 2), "a/m\ufffd[31m")
        listed = await account.keys()
        assert (len(listed), listed[0].expires_at) == (100, None)
        assert len(asked) == 3
        found = await taken(account, CREATED * 1000, CREATED * 1000 + 4000, None)
        assert found.costs == {"gen-\ufffd": 5 * 10**11}
        days[1]["requests"] = 2**63 - 1
        assert [one.requests for one in await account.activity(date(2026, 11, 2))] == [None]
        days[1]["usage"] = "much"
        with pytest.raises(AccountError, match=r"data\.1\.usage: not a decimal number"):
            await account.activity(date(2026, 11, 2))
