"""The paragraph about a request reads as a person would write it, and leaves no figure out."""

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from proxy.core.limit_figures import LimitFigures
from proxy.policy.quota import Quota
from proxy.storage.meanings import COST_SOURCES, FLAGS, OF_THE_ANSWER, OUTCOMES, flag_meaning, outcome_meaning
from proxy.storage.request_reports import AttemptEntry, RequestEntry
from proxy.web.admin.explanation import EarlierUse, explain_request

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("Europe/Stockholm")
AT_MS = 1_796_000_000_000  # 2026-11-30 00:53:20 UTC


def entry(**changes: Any) -> RequestEntry:
    made = RequestEntry(
        id=AT_MS << 21,
        started_ms=AT_MS,
        finished_ms=AT_MS + 1920,
        user="anna",
        group_name="family",
        token_id="tok_1",
        endpoint="chat/completions",
        requested_model="openai/gpt-5-mini",
        model="openai/gpt-5-mini",
        provider="openrouter",
        use_case=None,
        session_id=None,
        tags=None,
        status=200,
        state="settled",
        error=None,
        finish_reason="stop",
        input_tokens=1200,
        output_tokens=300,
        cached_tokens=800,
        reasoning_tokens=120,
        reserved_pusd=12_300_000_000,
        cost_pusd=912_000_000,
        cost_source="provider",
        ttft_ms=410,
        duration_ms=1920,
        streamed=1,
        attempts=1,
        generation_id="gen-1",
        flags=None,
    )
    return made._replace(**changes)


def attempt(**changes: Any) -> AttemptEntry:
    made = AttemptEntry(
        request_id=AT_MS << 21,
        n=1,
        started_ms=AT_MS,
        provider="openrouter",
        key="main",
        model="openai/gpt-5-mini",
        served_model="openai/gpt-5-mini-2025",
        served_by="OpenAI",
        generation_id="gen-1",
        status=200,
        outcome="ok",
        input_tokens=1200,
        output_tokens=300,
        cached_tokens=800,
        reasoning_tokens=120,
        cost_pusd=912_000_000,
        cost_source="provider",
        ttft_ms=410,
        duration_ms=1920,
        reserved_pusd=None,
        is_byok=0,
        upstream_cost_pusd=912_000_000,
        key_hash="ab" * 32,
        endpoint_id=None,
        permaslug=None,
    )
    return made._replace(**changes)


def refused(**changes: Any) -> RequestEntry:
    nothing = dict.fromkeys(("model", "provider", "finish_reason", "reserved_pusd", "ttft_ms", "generation_id"))
    tokens = dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"))
    bare = {"state": "refused", "cost_pusd": 0, "cost_source": "none", "streamed": 0, "attempts": 0, "duration_ms": 2}
    told = {"status": 402, "error": "insufficient_quota", "fault": "caller", "address": "10.0.0.7"}
    return entry(**{**nothing, **tokens, **bare, **told, **changes})


def text_of(text: str) -> str:
    """Return a text that is written over several lines as one."""
    return re.sub(r"\s+", " ", text).strip()


def told(found: RequestEntry, *attempts: AttemptEntry, earlier: tuple[EarlierUse, ...] = ()) -> str:
    return explain_request(found, attempts, earlier, ZONE)


ASKED = """
anna (group family) asked for openai/gpt-5-mini (chat/completions, streamed) on 2026-11-30 at 01:53:20 CET, with token
tok_1. It was let in, and $0.0123 was set aside for it.
"""


def test_an_answer() -> None:
    earlier = (
        EarlierUse(Quota("user:anna", "cost", 5 * 10**12, "day"), 3_210_000_000_000),
        EarlierUse(Quota("all", "requests", 1000, "hour", "soft"), 12),
    )
    expected = """
        Of the limits that hold now, earlier requests in the same window had used $3.21 of the hard limit of $5.00 per
        day for user anna, 12 of the soft limit of 1,000 requests per hour for everyone together. It went to openrouter
        as openai/gpt-5-mini with key main, which answered (status 200) after 1.92 s, with the first content after 410
        ms; it was served by OpenAI as openai/gpt-5-mini-2025. It cost $0.000912 for 1,200 tokens in (800 of them
        cached) and 300 out (120 of them reasoning): the provider's own figure in its answer. That is exact.
    """
    assert told(entry(), attempt(), earlier=earlier) == text_of(ASKED + expected)


def test_a_fallback() -> None:
    failed = {"status": 503, "outcome": "upstream_error", "cost_pusd": 0, "ttft_ms": None, "duration_ms": 40}
    first = attempt(provider="plain", served_by=None, **failed)
    second = attempt(n=2, started_ms=AT_MS + 60, served_model=None, served_by=None)
    expected = """
        First it went to plain as openai/gpt-5-mini with key main, which failed with an error of the provider (status
        503) after 40 ms; that cost nothing. Then it went to openrouter as openai/gpt-5-mini with key main, which
        answered (status 200) after 1.92 s, with the first content after 410 ms. In all it cost $0.000912 for 1,200
        tokens in (800 of them cached) and 300 out (120 of them reasoning): the provider's own figure in its answer.
        That is exact.
    """
    assert told(entry(attempts=2), first, second) == text_of(ASKED + expected)


FIGURES = LimitFigures(
    scope="user:anna",
    kind="cost",
    window="day",
    mode="hard",
    models=("openai/*",),
    limit=5 * 10**12,
    used=4_980_000_000_000,
    reserved=10**10,
    needed=2 * 10**10,
    resets_at_ms=AT_MS + 3_600_000,
    affordable_max_tokens=40,
)


def test_a_limit_refuses() -> None:
    found = refused(limit_json=orjson.dumps(FIGURES.as_json()).decode(), reason="It is spent.")
    assert told(found) == text_of("""
        anna (group family) asked for openai/gpt-5-mini (chat/completions) on 2026-11-30 at 01:53:20 CET from 10.0.0.7,
        with token tok_1. It was refused after 2 ms with status 402 (insufficient_quota). What refused it is the hard
        limit of $5.00 per day for user anna on openai/*: $4.98 of it was spent, $0.01 set aside by open requests, $0.02
        needed, $0.01 left; it resets on 2026-11-30 at 02:53:20 CET. An answer of at most 40 tokens would have fit. The
        client was told: "It is spent." Nothing was sent to a provider, and nothing was booked.
    """)
    minute = FIGURES._replace(kind="requests", window="minute", models=(), limit=60, used=60, reserved=0, needed=1)
    text = told(refused(limit_json=orjson.dumps(minute._replace(affordable_max_tokens=None).as_json()).decode()))
    assert "the hard limit of 60 requests per minute for user anna: 60 of it were used, 0 set aside" in text


def test_a_wrong_token_and_a_flood_of_them() -> None:
    nobody: dict[str, Any] = dict.fromkeys(("user", "group_name", "token_id", "requested_model"))
    wrong = {**nobody, "status": 401, "error": "invalid_api_key", "reason": "The token is mistyped."}
    assert told(refused(**wrong)) == text_of("""
        Somebody unknown called /chat/completions on 2026-11-30 at 01:53:20 CET from 10.0.0.7. It was refused after 2 ms
        with status 401 (invalid_api_key). The client was told: "The token is mistyped." Nothing was sent to a provider,
        and nothing was booked.
    """)
    assert told(refused(**wrong, more=41, fault="ours")).startswith(
        text_of("""
        This is one of 42 refusals alike that came within about a second up to 2026-11-30 at 01:53:20 CET from 10.0.0.7:
        there were too many to keep each of them. It was refused with status 401 (invalid_api_key), which is the proxy's
        fault.
        """)
    )


ENDS: list[tuple[dict[str, Any], str]] = [
    (
        {"status": 499, "flags": "client_gone", "cost_source": "generation"},
        """
        The client hung up before the end, 1.92 s after it had asked. It cost $0.000912 for 1,200 tokens in (800 of them
        cached) and 300 out (120 of them reasoning): the provider's own figure, looked up afterwards. That is exact.
        Noted with it: the client hung up.
        """,
    ),
    (
        {"flags": "usage_fell"},
        """
        It cost $0.000912 for 1,200 tokens in (800 of them cached) and 300 out (120 of them reasoning): the provider's
        own figure in its answer. Noted with it: a later count was smaller than an earlier one; the greater is booked.
        """,
    ),
    (
        {"state": "pending", "cost_pusd": None, "status": 502, "error": "upstream_broken"},
        """
        The client got status 502 (upstream_broken), 1.92 s after it had asked. What it cost is not known yet: the
        provider is asked, and what was set aside counts meanwhile.
        """,
    ),
    (
        {"state": "open", "cost_pusd": None, "status": None, "duration_ms": None},
        "It has not ended: it runs, or ran when the proxy was killed, and what was set aside counts meanwhile.",
    ),
    (
        {"cost_source": "reservation", "flags": "crash usage_missing", "input_tokens": None, "status": 500},
        """
        It cost $0.000912, with its tokens not counted: the amount set aside, because nobody can tell any more; it is
        not less than what was spent. Noted with it: the proxy was killed while the request ran; no token counts came.
        """,
    ),
    ({"state": "released", "cost_pusd": 0}, "It cost nothing, for certainly nothing was billed."),
    ({"cost_pusd": None, "cost_source": "none"}, "What it cost is not known, and nobody can tell any more."),
]


@pytest.mark.parametrize(("changes", "ends"), ENDS)
def test_ends_that_are_not_plain(changes: dict[str, Any], ends: str) -> None:
    assert told(entry(**changes), attempt()).endswith(f" {text_of(ends)}")


def test_without_a_known_price_it_says_so() -> None:
    assert "let in without an amount set aside" in told(entry(reserved_pusd=None), attempt())


def test_the_words_are_those_of_the_docs() -> None:
    page = (ROOT / "docs" / "concepts" / "ledger.md").read_text()
    flags = page.partition("\n## Flags\n")[2].partition("\n## ")[0]
    assert {
        word for cell in re.findall(r"^\| (`.*?) \|", flags, re.MULTILINE) for word in re.findall(r"`(\w+)`", cell)
    } == {*FLAGS}
    states = page.partition("\n## States\n")[2].partition("\n## ")[0]
    assert {*re.findall(r"^\| `(\w+)` \|", states, re.MULTILINE)} == {"cost_source", *COST_SOURCES}
    outcomes = page.partition("\n## Outcomes of attempts\n")[2].partition("\n## ")[0]
    assert {*re.findall(r"`(\w+)`", outcomes)} == {*OUTCOMES}
    assert {*FLAGS} > OF_THE_ANSWER
    assert flag_meaning("of_tomorrow") == "of_tomorrow"
    assert outcome_meaning("cut") == "failed with cut"
