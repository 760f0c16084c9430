"""What the configuration says of routes is what the proxy does."""

from pathlib import Path
from typing import Any

import pytest

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import TransportError, read_to
from tests.support.installation import PROVIDER_KEY, token_hash_of
from tests.support.stand import MESSAGES, MODEL
from tests.support.stand import stand as run_stand

OTHER_KEY = "sk-or-v1-" + "0ddba11" * 8


async def test_time_outs_from_the_provider_to_the_target(tmp_path: Path) -> None:
    """Provider, name of the model, preset, target: each overrules the one before in what it says."""
    more: dict[str, Any] = {
        "providers": {
            "openrouter": {
                "header_timeout_s": 11,
                "idle_timeout_s": 12,
                "timeouts": {"openai/*": {"idle_timeout_s": 22, "total_timeout_s": 23, "first_token_timeout_s": 24}},
            }
        },
        "presets": {
            "mine": {
                "targets": [{"target": MODEL, "first_token_timeout_s": 44}, "x-ai/grok-4.7"],
                "total_timeout_s": 33,
                "first_token_timeout_s": 34,
            }
        },
    }
    async with run_stand(tmp_path, more) as stand:
        current = stand.app.live.current
        first, second = (target.deadlines for target in current.presets["mine"].targets)
        assert first == Deadlines(5, 11, 22, 33, 44)
        assert second == Deadlines(5, 11, 12, 33, 34)
        assert current.providers["openrouter"].deadlines_for(MODEL) == Deadlines(5, 11, 22, 23, 24)


async def test_no_content_within_the_first_token_time_out(tmp_path: Path) -> None:
    """Comments are life, but no content."""
    more: dict[str, Any] = {
        "presets": {"two": [{"target": "openai/gpt-4.1-mini", "first_token_timeout_s": 0.2}, MODEL]},
        "providers": {"openrouter": {"idle_timeout_s": 5}},
    }
    async with run_stand(tmp_path, more) as stand:
        await stand.sim.behave("model:openai/gpt-4.1-mini", comments_before=1000, pace_ms=20)
        row = stand.app.live.current.providers["openrouter"]
        deadlines = Deadlines(5, 5, 5, 30, 0.2)
        body = b'{"model":"openai/gpt-4.1-mini","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        headers = {"Content-Type": "application/json", **row.auth_headers()}
        answer = await row.transport.send("POST", row.url("/chat/completions"), headers, body, deadlines)
        answer.awaits_content = True
        with pytest.raises(TransportError) as caught:
            await read_to(answer, lambda _piece: True)
        assert caught.value.kind == "first_token_timeout"


async def test_keys_by_priority_and_date(tmp_path: Path) -> None:
    keys = [
        {"name": "old", "api_key": OTHER_KEY, "valid_until": "2020-01-01T00:00:00Z"},
        {"name": "reserve", "api_key": OTHER_KEY, "priority": 2},
        {"name": "now", "api_key": PROVIDER_KEY, "valid_from": "2020-01-01T00:00:00Z"},
    ]
    async with run_stand(tmp_path, {"providers": {"openrouter": {"api_key": None, "keys": keys}}}) as stand:
        assert (await stand.chat()).status == 200
        await stand.sim.behave(error="credits-insufficient")
        assert (await stand.chat()).status == 200
        attempts = await stand.rows("SELECT key FROM attempts ORDER BY request_id, n")
        assert [attempt["key"] for attempt in attempts] == ["now", "now", "reserve"]


async def test_a_key_of_the_users_own(tmp_path: Path) -> None:
    users = {"anna": {"token_hash": token_hash_of("anna"), "provider_keys": {"openrouter": OTHER_KEY}}}
    async with run_stand(tmp_path, {"users": users}) as stand:
        await stand.sim.behave(error="user-not-found")
        refused = await stand.chat()
        assert (refused.status, refused.json()["error"]["code"]) == (502, "upstream_auth")
        assert (await stand.chat()).status == 200
        assert {row["key"] for row in await stand.rows("SELECT key FROM attempts")} == {"own"}
        assert all(
            key["set_aside_until"] is None
            for key in (await stand.ask("GET", "/readyz?verbose")).json()["providers"]["openrouter"]["keys"]
        )


async def test_targets_handed_over(tmp_path: Path) -> None:
    """OpenRouter gets its further targets in one call, and the reservation covers the dearest of them."""
    preset = {"targets": [MODEL, "plain/gpt-4o-mini", "openai/gpt-5"], "hand_over": True}
    async with run_stand(tmp_path, {"presets": {"mine": preset}}) as stand:
        await stand.sim.behave(fail_models=[MODEL])
        answer = await stand.chat({"model": "mine", "max_tokens": 10})
        assert (answer.status, answer.json()["model"]) == (200, "openai/gpt-5")
        (row,) = await stand.settled()
        assert (row["attempts"], row["model"]) == (1, "openai/gpt-5")
        assert row["reserved_pusd"] >= row["cost_pusd"] > 0


async def test_a_static_target_of_the_configuration(tmp_path: Path) -> None:
    preset = {"targets": [MODEL, {"static": {"default": "Please call again."}}]}
    async with run_stand(tmp_path, {"presets": {"phone": preset}}) as stand:
        await stand.sim.behave("all", error="overloaded")
        answer = await stand.chat({"model": "phone"})
        assert answer.header("x-tollkeeper-static") == "1"
        assert answer.json()["choices"][0]["message"]["content"] == "Please call again."


async def test_a_static_target_costs_nothing(tmp_path: Path) -> None:
    """An attempt that may have been billed has taken what there is; the next target cannot be paid for, a text can."""
    more: dict[str, Any] = {
        "presets": {"phone": ["openai/gpt-5-mini", MODEL, {"static": {"default": "Please call again."}}]},
        "users": {"anna": {"token_hash": token_hash_of("anna"), "limits": {"cost": "$0.0025"}}},
        "quotas": {"on_over_budget": "refuse", "wait_s": 0},
    }
    async with run_stand(tmp_path, more) as stand:
        await stand.sim.behave(named="rst-before-headers")
        answer = await stand.chat({"model": "phone", "max_tokens": 1000})
        assert (answer.status, answer.header("x-tollkeeper-static")) == (200, "1")
        (row,) = await stand.settled()
        assert [attempt["provider"] for attempt in await stand.rows("SELECT * FROM attempts ORDER BY n")] == [
            "openrouter",
            "static",
        ]
        assert 2_000_000_000 < row["cost_pusd"] <= row["reserved_pusd"] <= 2_500_000_000


ASKED: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": MESSAGES},
    "completions": {"prompt": "Say something."},
    "responses": {"input": "Say something."},
    "messages": {"messages": MESSAGES, "max_tokens": 100},
}


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("endpoint", ASKED)
async def test_checks_of_answers(tmp_path: Path, endpoint: str, stream: bool, lane: bool) -> None:
    """An answer that is not what the preset promises is flagged, and passed on where nothing better is to be had."""
    rules = {"valid_json": True, "min_chars": 5, "pattern": "yes"}
    preset = {"targets": [MODEL], "checks": rules}
    async with run_stand(tmp_path, {"presets": {"strict": preset}, "server": {"fast_path": lane}}) as stand:
        body = {"model": "strict", "stream": stream, **ASKED[endpoint]}
        cases = (
            ("no", "check_no_pattern check_not_json check_too_short"),
            ('{"a": "yes, naïve 橋"}', None),
            ("yes but no JSON", "check_not_json"),
        )
        for content, flags in cases:
            await stand.clear()
            await stand.sim.behave(content=content)
            answer = await stand.ask("POST", f"/v1/{endpoint}", body)
            assert (answer.status, answer.end) == (200, "complete")
            (row,) = await stand.settled()
            assert (row["flags"], row["attempts"]) == (flags, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_next_target_where_an_answer_is_not_as_asked(tmp_path: Path, stream: bool) -> None:
    """Both answers are paid for; a stream has gone out when its end can be judged."""
    checks = {"valid_json": True, "on_failure": "next_target"}
    preset = {"targets": ["openai/gpt-4.1-mini", MODEL], "checks": checks}
    async with run_stand(tmp_path, {"presets": {"strict": preset}}) as stand:
        await stand.sim.behave(content="no JSON")
        await stand.sim.behave(content="[1]")
        answer = await stand.chat({"model": "strict", "stream": stream})
        assert answer.status == 200
        (row,) = await stand.settled()
        assert (row["attempts"], row["flags"]) == (1 if stream else 2, "check_not_json")
        books = await stand.sim.books()
        assert (row["cost_pusd"], len(books["generations"])) == (books["total_pusd"], row["attempts"])


@pytest.mark.parametrize("behaviour", [{"named": "rst-after-3-chunks"}, {"named": "midstream-error-after-3"}])
async def test_half_a_stream_is_not_checked(tmp_path: Path, behaviour: dict[str, Any]) -> None:
    preset = {"targets": [MODEL], "checks": {"valid_json": True}}
    async with run_stand(tmp_path, {"presets": {"strict": preset}}) as stand:
        await stand.sim.behave(**behaviour)
        await stand.chat({"model": "strict", "stream": True})
        (row,) = await stand.settled()
        assert "check" not in (row["flags"] or "")


async def test_an_answer_that_was_turned_down_is_not_free_where_nobody_has_its_record(tmp_path: Path) -> None:
    """It answered, and is charged at its share: only one that said that it failed is let go."""
    checks = {"valid_json": True, "on_failure": "next_target"}
    preset = {"targets": ["openai/gpt-4.1-mini", MODEL], "checks": checks}
    more: dict[str, Any] = {"presets": {"strict": preset}, "ledger": {"lookup_timeout_s": 0}}
    async with run_stand(tmp_path, more) as stand:
        await stand.sim.behave(content="no JSON", usage="missing", generation_missing=True)
        await stand.sim.behave(content="[1]")
        assert (await stand.chat({"model": "strict"})).status == 200
        (row,) = await stand.settled()
        first, second = await stand.rows("SELECT * FROM attempts ORDER BY n")
        assert (row["attempts"], row["cost_source"]) == (2, "reservation")
        assert (first["cost_source"], first["cost_pusd"]) == ("reservation", first["reserved_pusd"])
        assert first["cost_pusd"] > 0
        assert row["cost_pusd"] == first["cost_pusd"] + second["cost_pusd"]
