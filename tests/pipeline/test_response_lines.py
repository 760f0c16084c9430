"""The head of an answer in one piece: put together at once, it is what the general way makes of the same headers."""

import itertools
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from proxy.core.money import PUSD_PER_USD
from proxy.pipeline.admission.limit_headers import LimitHeaders
from proxy.pipeline.relay.response_headers import response_headers, response_lines, stream_lines
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.attempt import Attempt
from proxy.policy.quota import Amounts, Quota, QuotaBook
from proxy.wire.endpoint import CHAT, MESSAGES
from proxy.wire.headers import STREAM_HEADERS, header_lines, headers_of
from tests.support.context import request_context

PASSED = {"content-type": "application/json", "x-generation-id": "gen-1", "cf-ray": "8a%s-FRA"}


def passed(secret: str) -> dict[str, str]:
    return {name: value for name, value in PASSED.items() if secret not in value}


def passed_lines(secret: str) -> str:
    return header_lines(passed(secret))


def test_lines_are_the_headers_whatever_an_answer_carries() -> None:
    cases = itertools.product(
        (None, "gzip", "br"),
        (None, {("p", "m/\u00fc"): 16}, {("p", "other"): 16}),
        (None, "canned"),
        (CHAT, MESSAGES),
        (dict, lambda: {"x-left": "1"}),
    )
    seen = set()
    for encoding, most, static, endpoint, told in cases:
        answer = SimpleNamespace(passed=passed, passed_lines=passed_lines, header={"content-encoding": encoding}.get)
        target = SimpleNamespace(model="m/\u00fc", provider="p", static=static)
        attempt: Any = SimpleNamespace(
            answer=answer, target=target, told_max_tokens=most, n=2, key=SimpleNamespace(quoted="\0")
        )
        context = request_context(1, told=told, endpoint=endpoint)
        lines = response_lines(context, cast(Attempt, attempt))
        assert lines == header_lines(response_headers(context, attempt))
        seen.add(lines)
    assert len(seen) == 32  # gzip is undone on the way, so that no header tells of it


def test_the_head_of_a_stream_says_what_every_stream_says() -> None:
    for theirs in (
        {},
        {"cache-control": "no-cache"},
        {"content-type": "text/event-stream", "cache-control": "private", "cf-ray": "8a"},
        {"x-provider-name": "cache-control: x", "cache-control": "no-cache"},
        {"x-provider-name": "cache-control: x"},
        {"x-openrouter-cache-control": "x"},
        {"anthropic-cache-control": "x", "cache-control": "no-cache"},
    ):
        answer = SimpleNamespace(
            passed=lambda _, theirs=theirs: dict(theirs),
            passed_lines=lambda _, theirs=theirs: header_lines(theirs),
            header={}.get,
        )
        target = SimpleNamespace(model="m", provider="p", static=None)
        attempt: Any = SimpleNamespace(
            answer=answer, target=target, told_max_tokens=None, n=1, key=SimpleNamespace(quoted="\0")
        )
        context = request_context(1)
        lines = stream_lines(context, cast(Attempt, attempt))
        expected = {**response_headers(context, attempt), **STREAM_HEADERS}
        assert headers_of(lines) == expected
        assert lines.count("\r\n") == len(expected)


QUOTAS = (
    Quota("user:anna", "cost", 5 * PUSD_PER_USD, "day"),
    Quota("group:office", "cost", 10**9, "total"),
    Quota("group:office", "cost", 3 * 10**9, "2h"),
    Quota("user:anna", "tokens", 1000, "3h"),
    Quota("user:anna", "tokens", 9, "hour", "hard", ("openai/*",)),
    Quota("all", "requests", 60, "minute"),
    Quota("user:anna", "images", 2, "total"),
)


def test_lines_of_limits_are_their_headers() -> None:
    book, seen = QuotaBook(ZoneInfo("Europe/Stockholm")), set()
    scopes = ("user:anna", "group:office", "all")
    for n, (count, above) in enumerate(itertools.product(range(len(QUOTAS) + 1), (None, "firm"))):
        for quotas in itertools.combinations(QUOTAS, count):
            told = LimitHeaders(cast(Allowance, SimpleNamespace(quotas=quotas, groups_above=above)), cast(Any, book), n)
            assert told.lines() == header_lines(told())
            seen.add(told.lines())
        book.check_and_reserve(n, scopes, n, Amounts(7 * 10**7 + n, n), QUOTAS[:1])
    assert len(seen) > 100


def test_what_a_provider_says_of_its_limits_is_written_over() -> None:
    quotas = QUOTAS[5:6]
    allowance, book = SimpleNamespace(quotas=quotas, groups_above=None), QuotaBook(ZoneInfo("UTC"))
    told = LimitHeaders(cast(Allowance, allowance), cast(Any, book), 0)
    context = request_context(1, told=told)
    for theirs in ({}, {"x-ratelimit-limit-requests": "7", "x-ratelimit-limit-tokens": "8"}):
        sent = {**PASSED, **theirs}
        answer = SimpleNamespace(
            passed=lambda _, sent=sent: dict(sent),
            passed_lines=lambda _, sent=sent: header_lines(sent),
            header={}.get,
        )
        target = SimpleNamespace(model="m", provider="p", static=None)
        attempt: Any = SimpleNamespace(
            answer=answer, target=target, told_max_tokens=None, n=1, key=SimpleNamespace(quoted="\0")
        )
        lines = response_lines(context, cast(Attempt, attempt))
        assert lines == header_lines(response_headers(context, attempt))
        assert headers_of(lines)["x-ratelimit-limit-requests"] == "60"
        assert lines.count("x-ratelimit-limit-requests") == 1
