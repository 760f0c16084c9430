"""The head of an answer in one piece: put together at once, it is what the general way makes of the same headers."""

import itertools
from types import SimpleNamespace
from typing import Any, cast

from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.response_headers import response_headers, response_lines
from proxy.pipeline.values.attempt import Attempt
from proxy.wire.headers import header_lines

PASSED = {"content-type": "application/json", "x-generation-id": "gen-1", "cf-ray": "8a%s-FRA"}


def passed(secret: str) -> dict[str, str]:
    return {name: value for name, value in PASSED.items() if secret not in value}


def passed_lines(secret: str) -> str:
    return header_lines(passed(secret))


def test_lines_are_the_headers_whatever_an_answer_carries() -> None:
    cases = itertools.product(
        (None, "gzip", "br"), (None, 16), (None, "canned"), ("openai", "anthropic"), (dict, lambda: {"x-left": "1"})
    )
    seen = set()
    for encoding, most, static, errors, told in cases:
        answer = SimpleNamespace(passed=passed, passed_lines=passed_lines, header={"content-encoding": encoding}.get)
        target = SimpleNamespace(model="m/\u00fc", provider="p", static=static)
        attempt: Any = SimpleNamespace(
            answer=answer, target=target, told_max_tokens=most, n=2, key=SimpleNamespace(quoted="\0")
        )
        context: Any = SimpleNamespace(told=told, request_id="req_1", endpoint=SimpleNamespace(errors=errors))
        lines = response_lines(cast(RequestContext, context), cast(Attempt, attempt))
        assert lines == header_lines(response_headers(context, attempt))
        seen.add(lines)
    assert len(seen) == 32  # gzip is undone on the way, so that no header tells of it
